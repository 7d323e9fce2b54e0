"""What was done about a run beside its chain: who refused, disposed of, revoked what, and when. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from lifemask.audit.case import Case
from lifemask.audit.findings import Finding, State, broken
from lifemask.custody import CustodyBroken
from lifemask.custody.envelopes import StepKeys, check_unwitnessed, read_envelope
from lifemask.custody.statements import digest_of, read_act, read_time
from lifemask.custody.steps import ACTS, DISPOSAL, REVOCATION, AnyAct, DisposalFields, Signed
from lifemask.custody.verify import Absent, File, Place, present
from lifemask.objects import keys
from lifemask.objects.keys import SIGNED, Key

PARTS: Final = {"original": "original", "clean": "clean", "archive": "archive", "weights": "weights"}
"""The run's folders of temporary objects, and what disposals call them."""


@dataclass(frozen=True, slots=True)
class Act:
    """One verified act."""

    kind: AnyAct
    fields: Signed
    at: datetime
    previous: str | None
    holder: str | None


@dataclass(frozen=True, slots=True)
class Acts:
    """All acts of a run, and what is wrong with any."""

    acts: tuple[Act, ...]
    findings: tuple[Finding, ...]

    def disposed(self, folder: str) -> datetime | None:
        """When the objects of one of the run's folders were disposed of; None: nobody has said so."""
        times = [
            act.at
            for act in self.acts
            if isinstance(act.fields, DisposalFields) and any(gone.what == PARTS[folder] for gone in act.fields.gone)
        ]
        return min(times, default=None)

    @property
    def revoked(self) -> Act | None:
        """The revocation of the model."""
        return next((act for act in self.acts if act.kind is REVOCATION), None)

    def witness(self, statement: str, signer: str) -> datetime | None:
        """When another holder than `signer` wrote an act that names a statement: it has seen it by then."""
        times = [act.at for act in self.acts if act.previous == statement and act.holder not in {None, signer}]
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
        findings.append(
            Finding(act.kind.name, State.TOLD, what=_said(act), who=act.holder, keyid=keyid, at=act.at, found=subject)
        )
    return Acts(tuple(acts), tuple(findings))


def _read(case: Case, key: Key, trusted: StepKeys) -> tuple[Act, str, str]:
    kind = _kind(key)
    assert kind is not None
    place = Place(case.user, case.run)
    sealed = read_envelope(kind, present(case.custody[key], f"{kind.name}: statement"))
    statement = read_act(kind, sealed.payload)
    common = statement.common
    at = read_time(common.at, kind)
    check_unwitnessed(kind, sealed, trusted, at)
    if common.run != case.run:
        raise CustodyBroken(f"{kind.name}: statement is of another run")
    owner: File = case.custody.get(place.owner, Absent.MISSING)
    if isinstance(owner, bytes) and common.owner not in {None, digest_of(owner)}:
        raise CustodyBroken(f"{kind.name}: owner differs", expected=digest_of(owner), found=common.owner)
    known = trusted.find(sealed.keyid)
    holder = known.holder if known else None
    if not key.endswith(keys.act(case.user, case.run, kind.name, "x", at).rpartition("-x-")[2]):
        raise CustodyBroken(f"{kind.name}: the file's name has another time")
    return Act(kind, statement.fields, at, common.previous, holder), sealed.keyid, digest_of(sealed.payload)


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
