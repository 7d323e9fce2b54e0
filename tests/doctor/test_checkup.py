"""A check-up finds, says and repeats; whatever a probe does, it keeps nobody from working."""

import asyncio
from collections.abc import Sequence

import structlog

from lifemask.runtime.checkup import Checkup, Finding, Probe, examine

WRONG = Finding("store", "s3:GetObject", "s3:GetObject denied on bucket/users/*", "Allow it.")
RIGHT = Finding("store", "s3:GetObject")


class Scripted:
    """A probe that finds one thing after the other; the last for ever."""

    def __init__(self, *findings: Finding) -> None:
        self._left = list(findings)
        self.times = 0

    async def __call__(self) -> Sequence[Finding]:
        self.times += 1
        return [self._left.pop(0) if len(self._left) > 1 else self._left[0]]


def checkup(*acts: Scripted) -> Checkup:
    return Checkup([Probe("store", act, "Look.") for act in acts], after=0, again=0.001, longest=0.002)


async def test_it_is_repeated_until_everything_works() -> None:
    act = Scripted(WRONG, WRONG, WRONG, RIGHT)
    one = checkup(act)
    with structlog.testing.capture_logs() as logs:
        await one.run()
    assert (act.times, one.problems) == (4, ())
    assert [entry["event"] for entry in logs] == ["probe_failed", "probes_pass"]
    assert (logs[0]["problem"], logs[0]["fix"]) == (WRONG.problem, WRONG.fix)


async def test_what_is_wrong_can_be_read_meanwhile() -> None:
    one = checkup(Scripted(WRONG), Scripted(RIGHT))
    assert one.problems == ()
    assert await one.once()
    assert list(one.problems) == ["store: s3:GetObject denied on bucket/users/*"]


async def test_a_probe_that_breaks_or_hangs_is_a_finding() -> None:
    async def breaks() -> Sequence[Finding]:
        raise ZeroDivisionError

    async def hangs() -> Sequence[Finding]:
        await asyncio.Event().wait()
        return []

    found = await examine(
        [
            Probe("kafka", breaks, "Look at it."),
            Probe("hub", hangs, "Wait."),
            Probe("store", Scripted(RIGHT), ""),
        ],
        patience=0.01,
    )
    assert [(finding.part, finding.problem, finding.fix) for finding in found] == [
        ("kafka", "the probe failed: ZeroDivisionError", "Look at it."),
        ("hub", "no answer within 0.01 s", "Wait."),
        ("store", "", ""),
    ]
