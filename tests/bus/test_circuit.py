"""Something outside is away: what needs it waits without losing attempts, and goes on by itself; the rest goes on."""

import pytest
from tests.bus.lab import Lab, note_the_end
from tests.bus.test_pause import DENIED, bring, stalled

from lifemask.bus.circuit import Circuit
from lifemask.bus.outcomes import Retryable
from lifemask.bus.rows import Pool
from lifemask.contracts import FailureCode, PhotoJudged, RunStalled, new_id
from lifemask.testkit.events import a_run, an_event

CODES = (FailureCode.STORE_UNAVAILABLE, FailureCode.PROVIDER_UNAVAILABLE, FailureCode.HUB_UNAVAILABLE)
AWAY = Retryable(FailureCode.HUB_UNAVAILABLE)


def lab_of(pool: Pool, **settings: object) -> Lab:
    """Pauses that are over at once, and no attempt to spare."""
    return Lab.of(pool, None, note_the_end, **QUICK | settings)


QUICK: dict[str, object] = {"pause": 0.001, "pause_max": 0.001, "max_attempts": 2, "max_claims": 3}


def circuit_of(lab: Lab) -> Circuit:
    """The only one there is."""
    [circuit] = lab.service.circuits._by_code.values()
    return circuit


async def time_passes(lab: Lab) -> None:
    """Back-offs and pauses are over, and whatever is ready has its turn."""
    await lab.time_passes()
    for circuit in lab.service.circuits._by_code.values():
        circuit.pause._until = 0
    await lab.turn()


@pytest.mark.parametrize("code", CODES)
async def test_an_absence_longer_than_all_attempts_costs_none_and_everything_goes_on_by_itself(
    pool: Pool, code: FailureCode
) -> None:
    lab = lab_of(pool)
    lab.script.failures = [Retryable(code)] * 30
    runs = [await bring(lab) for _ in range(3)]
    while len(lab.script.failures) > len(runs):  # more than one turn can use up
        await time_passes(lab)
    assert (await lab.service.readiness()).away
    while len(lab.script.seen) < len(runs):
        await time_passes(lab)
    assert (await lab.kinds()).count("DatasetSealed") == len(runs)
    assert await lab.count("attempts > 0 or claims > 1 or dead_at is not null") == 0
    report = await lab.service.readiness()
    assert (report.away, report.dead) == ((), 0)


async def test_further_messages_are_not_tried_but_for_one_probe_at_a_time(pool: Pool) -> None:
    lab = lab_of(pool, circuit_after=2, pause=1000, pause_max=1000)
    lab.script.failures = [AWAY] * 100
    for _ in range(10):
        await bring(lab)
    await lab.turn()
    tried = 100 - len(lab.script.failures)
    assert 2 <= tried <= 10
    for _ in range(5):
        await bring(lab)
    await lab.time_passes()
    assert await lab.turn() == 15
    assert 100 - len(lab.script.failures) == tried
    circuit_of(lab).pause._until = 0
    await lab.time_passes()
    assert await lab.turn() == 15
    assert 100 - len(lab.script.failures) == tried + 1


async def test_lanes_that_do_not_need_it_go_on_and_the_service_stays_ready(pool: Pool) -> None:
    lab = lab_of(pool, circuit_after=1, pause=1000, pause_max=1000)
    lab.script.failures = [AWAY]
    await bring(lab)
    await lab.turn()
    other = an_event(PhotoJudged, **a_run(), photo_id=new_id())
    await lab.receive(other)
    await lab.time_passes()
    await lab.turn()
    assert lab.script.seen == [other]
    report = await lab.service.readiness()
    assert (report.paused, len(report.away)) == (None, 1)
    assert report.away[0].startswith("hub_unavailable: 1 failures in a row")


async def test_runs_are_told_of_an_absence_that_lasts_and_not_of_a_moment(pool: Pool) -> None:
    lab = lab_of(pool)
    lab.script.failures = [AWAY] * 3
    run = await bring(lab)
    for _ in range(3):
        await time_passes(lab)
    assert await stalled(lab) == []
    lab.script.failures = [AWAY] * 2
    await time_passes(lab)
    await time_passes(lab)
    assert await stalled(lab) == [(run["run_id"], "hub_unavailable")]
    fact = next(fact for fact in await lab.facts() if isinstance(fact, RunStalled))
    assert fact.failure.move == "provider"


async def test_a_message_that_fails_while_others_get_through_is_to_blame_itself(pool: Pool) -> None:
    lab = lab_of(pool, max_attempts=3)
    bad = await bring(lab)
    for _ in range(3):
        lab.script.failures = [AWAY]
        await time_passes(lab)
        await bring(lab)
        await lab.settle()
    lab.script.failures = [AWAY]
    await time_passes(lab)
    assert await lab.count("dead_at is not null") == 1
    assert await stalled(lab) == [(bad["run_id"], "hub_unavailable")]
    assert await lab.count("done_at is not null") == 3


async def test_the_pause_ends_when_nobody_needs_it_any_more(pool: Pool) -> None:
    lab = lab_of(pool, circuit_after=1)
    lab.script.failures = [AWAY]
    run = await bring(lab)
    await lab.turn()
    await lab.cancel(run)
    await lab.end_due()
    assert (await lab.kinds())[-1] == "RunCanceled"
    await pool.execute("update inbox set done_at = now() where done_at is null")
    await pool.execute("update lane set todo = 0")
    await time_passes(lab)
    assert (await lab.service.readiness()).away == ()


async def test_probes_come_at_growing_intervals_and_a_success_starts_anew(pool: Pool) -> None:
    lab = lab_of(pool, circuit_after=1, pause=10, pause_max=35)
    lab.script.failures = [AWAY] * 5
    await bring(lab)
    seconds = []
    for _ in range(5):
        await time_passes(lab)
        seconds.append(round(circuit_of(lab).pause.remaining().total_seconds()))
    assert seconds == [10, 20, 35, 35, 35]
    await time_passes(lab)
    lab.script.failures = [AWAY]
    await bring(lab)
    await lab.turn()
    assert round(circuit_of(lab).pause.remaining().total_seconds()) == 10


async def test_readiness_tells_a_wrong_setting_from_what_is_away(pool: Pool) -> None:
    lab = lab_of(pool, circuit_after=1)
    lab.script.failures = [AWAY, DENIED]
    await bring(lab)
    await lab.receive(an_event(PhotoJudged, **a_run(), photo_id=new_id()))
    await lab.turn()
    report = await lab.service.readiness()
    assert (report.paused or "").startswith("store_denied")
    assert len(report.away) == 1
