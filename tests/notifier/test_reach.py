"""A dead target delays nobody else: few lanes wait for it, it is left alone for growing times, and tried for days."""

from datetime import timedelta
from typing import Any

import pytest
from tests.bus.lab import record
from tests.notifier.test_handlers import begin, live, take
from tests.notifier.test_service import SECRET, Process, process
from tests.notifier.world import READY, World

from lifemask.bus.outcomes import Later
from lifemask.contracts import ModelReady, NotificationDelivered, new_id
from lifemask.notifier.adapters.reach import Bounds, Reach
from lifemask.notifier.domain import Delivery, Target
from lifemask.notifier.handlers import DeliverWebhook
from lifemask.testkit.events import an_event

__all__ = ["process"]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def seconds(wait: timedelta | None) -> float | None:
    return None if wait is None else wait.total_seconds()


def test_a_silent_target_is_left_alone_for_growing_times_and_others_are_not() -> None:
    clock, waits = Clock(), []
    reach = Reach(Bounds(failures=2, first=timedelta(seconds=10), longest=timedelta(seconds=35)), clock)
    for _ in range(6):
        assert reach.wait("dead") is None
        assert reach.wait("alive") is None
        reach.silent("dead")
        waits.append(seconds(reach.wait("dead")))
        clock.now += waits[-1] or 0
    assert waits == [None, 10, 20, 35, 35, 35]
    assert reach.wait("dead") is None, "one call tries"
    assert seconds(reach.wait("dead")) == 35, "the others wait for it"
    reach.answered("dead")
    assert reach.wait("dead") is None


def test_calls_of_one_target_at_once_are_bounded() -> None:
    reach = Reach(Bounds(at_once=2), Clock())
    with reach.calling("slow"):
        assert reach.wait("slow") is None
        with reach.calling("slow"):
            assert seconds(reach.wait("slow")) == 1
            assert reach.wait("other") is None
    assert reach.wait("slow") is None


@pytest.mark.parametrize("channel", [0, 1])
async def test_what_waits_for_its_target_counts_no_try_and_is_given_up_in_time(channel: int) -> None:
    world = World()
    reminder = (await begin(world, READY))[channel]
    target: Any = (world.mail, world.webhooks)[channel]
    target.left_alone, target.answer = timedelta(minutes=5), Delivery.FAILED
    [again] = await take(world, reminder.message)
    assert again == Later(reminder.message, timedelta(minutes=5))
    story = await live(world, reminder)
    at, told = story[-1]
    assert isinstance(told, NotificationDelivered)
    assert (told.result, told.tries) == ("gave_up", 1), "the last moment is tried whatever is known"
    assert timedelta(days=3) - timedelta(minutes=5) < at <= timedelta(days=3)
    assert {row.tries for row in world.notifications.rows.values() if row.id == told.notification} == {1}


async def test_many_people_of_a_dead_app_cost_few_calls_and_delay_no_other_app(process: Process) -> None:
    webhooks: Any = process.service.worker.calls._ports[DeliverWebhook.ce_type]["webhooks"]
    webhooks._targets = {**webhooks._targets, "dead": Target("http://127.0.0.1:9/hook", SECRET)}
    people = [an_event(ModelReady, user_id=f"dead.person-{number}", run_id=new_id()) for number in range(30)]
    await process.service.intake.store([record(event) for event in people])
    await process.receive(READY)
    assert len(process.app.received) == 1
    for _ in range(3):
        await process.time_passes()
    tried = webhooks._reach._states["http://127.0.0.1:9/hook"].failures
    assert 3 <= tried <= 3 + process.service.bus.settings.lanes, "of some 120 that were due"
    assert [told for told in await process.told() if told[1] == "gave_up"] == []
    assert await process.service.bus.pool.fetchval("select count(*) from reminder") == len(people)
