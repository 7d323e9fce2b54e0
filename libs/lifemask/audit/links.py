"""The six links of a chain, each judged: a pure decision over the files of the run's custody folder and the keyring."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from lifemask.audit.case import Case
from lifemask.audit.findings import Finding, State
from lifemask.contracts.signing import Sealed
from lifemask.custody import CustodyBroken, Link
from lifemask.custody.envelopes import StepKeys, holder_of, read_envelope
from lifemask.custody.statements import digest_of, read_statement, read_time
from lifemask.custody.steps import PUBLICATION, STEPS, AnyStep
from lifemask.custody.verify import Place, verify
from lifemask.objects.keys import Key
from lifemask.objects.port import Absent, File

AnyLink = Link[Any, Any]


@dataclass(frozen=True, slots=True)
class Judged:
    """One step: its link when it holds, else what does not."""

    step: AnyStep
    link: AnyLink | None
    finding: Finding


@dataclass(frozen=True, slots=True)
class Chained:
    """All steps of a chain, in order."""

    judged: tuple[Judged, ...]

    def link(self, step: AnyStep) -> AnyLink | None:
        """The verified link of a step."""
        return next(one.link for one in self.judged if one.step is step)

    @property
    def digests(self) -> dict[str, str]:
        """Of the verified statements, by step."""
        return {one.step.name: one.link.digest for one in self.judged if one.link}


def judge_links(case: Case, trusted: StepKeys, seen: datetime | None) -> Chained:
    """The chain of a case. `seen`: when somebody else than the publisher saw the last link, if anybody did.

    Each step is judged by itself as far as that goes, so that one broken link does not hide another.
    """
    place = Place(case.user, case.run, case.attempt)
    files = _Files(case.custody)
    attempt = _Attempt(place, files, trusted)
    last = case.statement or _digest(PUBLICATION, files[place.statement(PUBLICATION)])
    whole = attempt.opened(PUBLICATION, last, seen)
    if isinstance(whole, Link):
        links = [whole.back(step) for step in STEPS]
        return Chained(tuple(Judged(link.step, link, _holds(link, trusted)) for link in links))
    sketches = [_sketch(step, files[place.statement(step)], trusted) for step in STEPS]
    judged: list[Judged] = []
    for number, step in enumerate(STEPS):
        after = sketches[number + 1 :]
        named = (after[0].previous if after else case.statement) or sketches[number].digest
        alone = attempt.opened(step, named, _witness(sketches[number], after) or seen)
        if isinstance(alone, Link):
            judged.append(Judged(step, alone, _holds(alone, trusted)))
        else:
            judged.append(Judged(step, None, _broken(step, alone)))
    return Chained(tuple(judged))


def attempts_in(custody: Mapping[Key, File]) -> tuple[int, ...]:
    """The training attempts of which there are statements."""
    found = set[int]()
    for key in custody:
        position, _, rest = key.rpartition("/")[2].partition("-")
        name, _, number = rest.partition(".")[0].rpartition("-")
        if position.isdigit() and number.isdigit() and name in {step.name for step in STEPS[3:]}:
            found.add(int(number))
    return tuple(sorted(found))


def judge_earlier(case: Case, trusted: StepKeys) -> tuple[Finding, ...]:
    """The statements of training attempts that led to nothing."""
    findings: list[Finding] = []
    files = _Files(case.custody)
    for number in attempts_in(case.custody):
        place = Place(case.user, case.run, number)
        there = [step for step in STEPS[3:] if isinstance(files[place.statement(step)], bytes)]
        if number == case.attempt or not there:
            continue
        last = there[-1]
        digest = _digest(last, files[place.statement(last)])
        found = _Attempt(place, files, trusted).opened(last, digest, None)
        one = _holds(found, trusted) if isinstance(found, Link) else _broken(last, found)
        findings.append(Finding(f"attempt {number}", one.state, what=f"ended after its {last.name}", below=(one,)))
    return tuple(findings)


class _Files(dict[Key, File]):
    def __missing__(self, key: Key) -> File:
        return Absent.MISSING


@dataclass(frozen=True, slots=True)
class _Sketch:
    """What a statement says before anything of it is believed."""

    digest: str
    previous: str | None
    holder: str | None
    at: datetime | None


def _digest(step: AnyStep, file: File) -> str:
    """Of what is there as the statement; empty when that is none."""
    sealed = _sealed(step, file)
    return digest_of(sealed.payload) if sealed else ""


def _sealed(step: AnyStep, file: File) -> Sealed | None:
    try:
        return read_envelope(step, file if isinstance(file, bytes) else b"")
    except CustodyBroken:
        return None


def _sketch(step: AnyStep, file: File, trusted: StepKeys) -> _Sketch:
    if (sealed := _sealed(step, file)) is None:
        return _Sketch("", None, None, None)
    digest, holder = digest_of(sealed.payload), holder_of(sealed, trusted)
    try:
        common = read_statement(step, sealed.payload).common
        return _Sketch(digest, common.previous, holder, read_time(common.at, step))
    except CustodyBroken:
        return _Sketch(digest, None, holder, None)


def _witness(mine: _Sketch, after: Sequence[_Sketch]) -> datetime | None:
    return next((one.at for one in after if one.at and one.holder != mine.holder), None)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """The files of one attempt, and whom to trust."""

    place: Place
    files: _Files
    trusted: StepKeys

    def opened(self, step: AnyStep, digest: str, seen: datetime | None) -> AnyLink | CustodyBroken:
        try:
            return verify(step, digest, self.place, self.files, trusted=self.trusted, seen=seen)
        except CustodyBroken as problem:
            return problem


def _holds(link: AnyLink, trusted: StepKeys) -> Finding:
    key = trusted.find(link.keyid)
    why = "" if link.witnessed_at else "nobody but its signer has seen it: the time is the signer's own"
    return Finding(
        link.step.name,
        State.REHASHED,
        what=_said(link),
        who=key.holder if key else None,
        keyid=link.keyid,
        at=link.witnessed_at or link.at,
        why=why,
        found=link.digest,
    )


def _broken(step: AnyStep, problem: CustodyBroken) -> Finding:
    """A step whose ground does not hold is broken as well, and says which step that is."""
    at_fault = problem.link.partition(":")[0]
    earlier = at_fault in {one.name for one in STEPS[: step.position - 1]}
    why = f"rests on a link that is broken: {problem.link}" if earlier else problem.link
    return Finding(step.name, State.BROKEN, why=why, expected=problem.expected, found=problem.found)


def _said(link: AnyLink) -> str:
    """The signed fields in a line."""
    fields = link.fields.model_dump(mode="json", exclude_none=True)
    return ", ".join(f"{name} {_short(value)}" for name, value in fields.items())


def _short(value: object) -> str:
    if isinstance(value, list):
        return " and ".join(map(str, value)) or "none"
    text = str(value)
    return f"{text[:12]}…" if len(text) >= 40 else text
