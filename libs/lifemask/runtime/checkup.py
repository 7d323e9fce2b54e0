"""Whether a service could do its work: each outside call it needs is made once, and what fails is named with its fix.

At a service's start this runs beside its work and never stands in its way; `lifemask doctor` runs the same probes.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

log = structlog.get_logger()

PATIENCE: Final = 3.5
"""Seconds for one probe: all of them run at once, and a person waits for the answer."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried. `problem` is empty when it worked; `fix` says what to do about it.

    No personal data and no secrets: a finding is shown on readiness and in logs.
    """

    part: str
    what: str
    problem: str = ""
    fix: str = ""

    @property
    def ok(self) -> bool:
        """Whether it worked."""
        return not self.problem

    def __str__(self) -> str:
        return f"{self.part}: {self.problem}" if self.problem else f"{self.part}: {self.what}"


@dataclass(frozen=True, slots=True)
class Probe:
    """Tries one part. `away`: what to do when it does not answer."""

    part: str
    act: Callable[[], Awaitable[Sequence[Finding]]]
    away: str


async def examine(probes: Iterable[Probe], patience: float = PATIENCE) -> list[Finding]:
    """Makes all probes at once; never raises, and takes no longer than `patience`, in seconds."""
    found = await asyncio.gather(*(_tried(probe, patience) for probe in probes))
    return [finding for findings in found for finding in findings]


async def _tried(probe: Probe, patience: float) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(patience):
            return await probe.act()
    except TimeoutError:
        return [Finding(probe.part, "answers", f"no answer within {patience:g} s", probe.away)]
    except Exception as problem:  # noqa: BLE001  a probe that breaks is a finding, too
        return [Finding(probe.part, "answers", f"the probe failed: {type(problem).__name__}", probe.away)]


class Checkup:
    """The probes of one running service, repeated while anything is wrong, at growing intervals."""

    def __init__(self, probes: Sequence[Probe], *, after: float, again: float, longest: float) -> None:
        self._probes = probes
        self._after = after
        self._again = again
        self._longest = longest
        self.findings: Sequence[Finding] | None = None
        """Of the last time; None before the first."""

    @property
    def problems(self) -> tuple[str, ...]:
        """What was wrong the last time."""
        return tuple(str(finding) for finding in self.findings or () if not finding.ok)

    async def run(self) -> None:
        """Begins `after` seconds from now, when the start is over; ends when everything works."""
        await asyncio.sleep(self._after)
        delay = self._again
        while await self.once():
            await asyncio.sleep(delay)
            delay = min(delay * 2, self._longest)

    async def once(self) -> bool:
        """Makes all probes and logs what changed; whether anything is wrong."""
        known = set(self.findings or ())
        self.findings = await examine(self._probes)
        for finding in self.findings:
            if not finding.ok and finding not in known:
                log.error("probe_failed", part=finding.part, problem=finding.problem, fix=finding.fix)
        if known and not self.problems:
            log.info("probes_pass")
        return bool(self.problems)
