"""What was done about a run beside its chain: who refused, disposed of, revoked what, and when. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from lifemask.audit.case import Case
from lifemask.audit.findings import Finding, State, broken
from lifemask.contracts.keyring import Key as TrustedKey
from lifemask.custody import CustodyBroken
from lifemask.custody.envelopes import StepKeys, check_signer, read_envelope
from lifemask.custody.statements import digest_of, read_act, read_time
from lifemask.custody.steps import ACTS, DISPOSAL, REVOCATION, AnyAct, DisposalFields, Gone, RevocationFields, Signed
from lifemask.custody.verify import Place, present
from lifemask.objects import keys
from lifemask.objects.keys import SIGNED, Key
from lifemask.objects.port import Absent, File

PARTS: Final = {"original": "original", "clean": "clean", "archive": "archive", "weights": "weights"}
"""The run's folders of temporary objects, and what disposals call them."""


DOUBT: Final = "its key was compromised later, and nobody but its signer is known to have seen it before"


@dataclass(frozen=True, slots=True)
class Act:
    """One verified act. `doubt`: why it may be a forgery that was dated back; empty when it cannot be."""

    kind: AnyAct
    fields: Signed
    at: datetime
    previous: str | None
    holder: str | None
    doubt: str = ""


@dataclass(frozen=True, slots=True)
class Acts:
    """All acts of a run, and what is wrong with any."""

    acts: tuple[Act, ...]
    findings: tuple[Finding, ...]

    def disposed(self, folder: str) -> Act | None:
        """The first disposal of one of the run's folders, one beyond doubt before others; None: nobody has said so."""
        return _first(act for act in self.acts if _gone(act, PARTS[folder]))

    def most_gone(self, folder: str) -> tuple[int, int]:
        """How many objects of a folder, and how many bytes, the largest of its disposals tells."""
        told = [gone for act in self.acts for gone in _gone(act, PARTS[folder])]
        return max((one.objects for one in told), default=0), max((one.bytes for one in told), default=0)

    @property
    def revoked(self) -> Act | None:
        """The revocation of the model, one beyond doubt before others."""
        return _first(act for act in self.acts if act.kind is REVOCATION)

    @property
    def is_revoked(self) -> bool:
        """Whether the model was revoked, beyond doubt."""
        return self.revoked is not None and not self.revoked.doubt

    def witness(self, statement: str, signer: str) -> datetime | None:
        """When another holder than `signer` wrote an act that names a statement: it has seen it by then."""
        times = [
            act.at
            for act in self.acts
            if act.previous == statement and act.holder not in {None, signer} and not act.doubt
        ]
        return min(times, default=None)


def is_act(key: Key) -> bool:
    """Whether the name of a file in the custody folder is an act's."""
    return _kind(key) is not None


def judge_acts(case: Case, trusted: StepKeys) -> Acts:
    """Every act in the run's custody folder."""
    acts: list[Act] = []
    findings: list[Finding] = []
    for key in sorted(filter(is_act, case.custody)):
        name = key.rpartition("/")[2]
        try:
            act, keyid, subject = _read(case, key, trusted)
        except CustodyBroken as problem:
            findings.append(broken(name, problem.link, problem.expected, problem.found))
            continue
        acts.append(act)
        told = Finding(
            act.kind.name, State.TOLD, what=_said(act), who=act.holder, keyid=keyid, at=act.at, found=subject
        )
        findings.append(replace(told, state=State.UNSEEN, why=act.doubt) if act.doubt else told)
    return Acts(tuple(acts), tuple(findings))


def _read(case: Case, key: Key, trusted: StepKeys) -> tuple[Act, str, str]:
    kind = _kind(key)
    assert kind is not None
    place = Place(case.user, case.run)
    sealed = read_envelope(kind, present(case.custody[key], f"{kind.name}: statement"))
    statement = read_act(kind, sealed.payload)
    common = statement.common
    at = read_time(common.at, kind)
    check_signer(kind, sealed, trusted, at)
    if common.run != case.run:
        raise CustodyBroken(f"{kind.name}: statement is of another run")
    owner: File = case.custody.get(place.owner, Absent.MISSING)
    if isinstance(owner, bytes) and common.owner not in {None, digest_of(owner)}:
        raise CustodyBroken(f"{kind.name}: owner differs", expected=digest_of(owner), found=common.owner)
    known = trusted.find(sealed.keyid)
    holder = known.holder if known else None
    if not key.endswith(keys.act(case.user, case.run, kind.name, "x", at).rpartition("-x-")[2]):
        raise CustodyBroken(f"{kind.name}: the file's name has another time")
    act = Act(kind, statement.fields, at, common.previous, holder, _doubt(case, known, statement.fields, at))
    return act, sealed.keyid, digest_of(sealed.payload)


def _doubt(case: Case, key: TrustedKey | None, fields: Signed, at: datetime) -> str:
    """Why its key's holder may not have signed it; empty when there is no doubt.

    Its own time is believed, as of any statement that nobody else has seen, unless the key was compromised later: then
    a database must have known of it before that.
    """
    if key is None or key.compromised_at is None:
        return ""
    seen = _seen(case, fields, at)
    return "" if seen and seen < key.compromised_at else DOUBT


def _seen(case: Case, fields: Signed, at: datetime) -> datetime | None:
    """When a database wrote down that it was done: for a disposal ingest's own, for a revocation ingest's as well,
    which had it from the publisher. The database's clock, not the signer's.
    """
    rows = case.rows or {}
    if isinstance(fields, DisposalFields):
        kinds = {gone.what for gone in fields.gone}
        times = [row["at"] for row in rows.get("ingest.disposal", ()) if row["what"] in kinds and row["at"] >= at]
    elif isinstance(fields, RevocationFields):
        times = [
            row["revoked_at"]
            for row in rows.get("ingest.model", ())
            if row["revoked"] == fields.reason and row["revoked_at"] and row["revoked_at"] >= at
        ]
    else:
        times = []
    return min(times, default=None)


def _first(acts: Iterable[Act]) -> Act | None:
    return min(acts, key=lambda act: (bool(act.doubt), act.at), default=None)


def _gone(act: Act, what: str) -> list[Gone]:
    return [gone for gone in act.fields.gone if gone.what == what] if isinstance(act.fields, DisposalFields) else []


def _kind(key: Key) -> AnyAct | None:
    name = key.rpartition("/")[2]
    return next((act for act in ACTS if name.startswith(f"{act.name}-") and name.endswith(SIGNED)), None)


def _said(act: Act) -> str:
    fields: dict[str, Any] = act.fields.model_dump(mode="json", exclude_none=True)
    actor = fields.pop("actor")
    if act.kind is REVOCATION:  # the operator, not the service that carried it out
        return f"by {actor}: {fields['reason']}"
    if act.kind is DISPOSAL:
        gone = ", ".join(f"{one['objects']} {one['what']}" for one in fields.pop("gone"))
        return f"{gone} ({fields['reason']})"
    return ", ".join(str(value) for value in fields.values())
