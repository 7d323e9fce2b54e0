"""A stage that is paused: its runs are told, new ones as well, each once; it ends when nothing is held up any more."""

from tests.bus.lab import Lab

from lifemask.bus.outcomes import Misconfigured
from lifemask.bus.rows import Pool
from lifemask.contracts import FailureCode, PhotosValidated, RunStalled, Stage
from lifemask.testkit.events import a_run, an_event

DENIED = Misconfigured(FailureCode.STORE_DENIED, "s3:GetObject denied on bucket/users/…")
FULL = Misconfigured(FailureCode.STORE_FULL, "the disk is full")


async def stalled(lab: Lab) -> list[tuple[str, str]]:
    """Runs that were told of a delay, and why."""
    return [(fact.run_id, fact.failure.code) for fact in await lab.facts() if isinstance(fact, RunStalled)]


async def bring(lab: Lab) -> dict[str, str]:
    run = a_run()
    await lab.receive(an_event(PhotosValidated, **run))
    return run


async def probe(lab: Lab) -> None:
    """The pause's delay is over, and a lane is tried."""
    await lab.time_passes()
    while not lab.service.pause.may_probe():
        pass
    await lab.turn()


async def test_every_run_that_a_paused_stage_holds_is_told_once(pool: Pool) -> None:
    lab = Lab.of(pool, pause=0.001, pause_max=0.001, lanes=1)
    lab.script.failures = [DENIED] * 3
    first, second = await bring(lab), await bring(lab)
    await lab.turn()
    assert sorted(await stalled(lab)) == sorted((run["run_id"], "store_denied") for run in (first, second))
    third = await bring(lab)
    await probe(lab)
    await probe(lab)
    told = await stalled(lab)
    assert sorted(told) == sorted((run["run_id"], "store_denied") for run in (first, second, third))
    fact = next(fact for fact in await lab.facts() if isinstance(fact, RunStalled))
    assert (fact.stage, fact.failure.category, fact.failure.move) == (Stage.PACKAGE, "configuration", "us")


async def test_another_reason_is_told_as_well(pool: Pool) -> None:
    lab = Lab.of(pool, pause=0.001, pause_max=0.001)
    lab.script.failures = [DENIED, FULL]
    run = await bring(lab)
    await lab.turn()
    await probe(lab)
    assert await stalled(lab) == [(run["run_id"], "store_denied"), (run["run_id"], "store_full")]


async def test_a_pause_costs_no_attempt_and_everything_goes_on_by_itself(pool: Pool) -> None:
    lab = Lab.of(pool, pause=0.001, pause_max=0.001, max_attempts=1, max_claims=2)
    lab.script.failures = [DENIED] * 5
    runs = [await bring(lab) for _ in range(3)]
    while lab.script.failures or lab.service.pause.active:
        await probe(lab)
    await lab.settle()
    assert (await lab.kinds()).count("DatasetSealed") == len(runs)
    assert await lab.count("attempts > 0 or dead_at is not null") == 0
    assert (await lab.service.readiness()).paused is None


async def test_the_pause_ends_when_the_run_that_met_it_is_canceled(pool: Pool) -> None:
    lab = Lab.of(pool, pause=0.001, pause_max=0.001)
    lab.script.failures = [DENIED]
    run = await bring(lab)
    await lab.turn()
    assert lab.service.pause.active
    await lab.cancel(run)
    await lab.end_due()
    await lab.time_passes()
    await pool.execute("update inbox set done_at = now() where done_at is null")
    await pool.execute("update lane set todo = 0")
    await probe(lab)
    assert not lab.service.pause.active
    assert (await lab.service.readiness()).paused is None


async def test_probes_come_at_growing_intervals(pool: Pool) -> None:
    lab = Lab.of(pool, pause=10, pause_max=35)
    pause = lab.service.pause
    seconds = [pause.start(DENIED, "acme.ann").total_seconds()]
    for _ in range(3):
        pause.probing("acme.ann")
        seconds.append(pause.start(DENIED, "acme.ann").total_seconds())
    assert seconds == [10, 20, 35, 35]
