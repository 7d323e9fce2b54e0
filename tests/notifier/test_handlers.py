"""Each fact once over each channel, whatever fails and however often it is read."""

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest
from tests.notifier.world import BROKEN, CANCELED, FAILED, IDS, READY, REJECTED, REVOKED, STALLED, World

from lifemask.bus.outcomes import Keep, Later, Outcome, Reminder
from lifemask.contracts import Event, NotificationDelivered, Stage
from lifemask.notifier.domain import Delivery, Fact, Settled, State, Stopped, Tried
from lifemask.notifier.handlers import HANDLERS, DeliverMail, DeliverWebhook
from lifemask.testkit.stepping import SteppingTurn, step

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


async def take(world: World, message: Event | Reminder, at: datetime = NOON) -> list[Outcome]:
    outcomes = await step(
        HANDLERS,
        message,
        turn=SteppingTurn(got_at=at),
        notifications=world.notifications,
        people=world.people,
        mail=world.mail,
        webhooks=world.webhooks,
        schedule=world.schedule,
    )
    world.notifications.apply(outcomes)
    return outcomes


async def begin(world: World, fact: Fact) -> list[Later]:
    return [outcome for outcome in await take(world, fact) if isinstance(outcome, Later)]


async def live(world: World, first: Later, at: datetime = NOON) -> list[tuple[timedelta, NotificationDelivered | None]]:
    """Follows a chain of reminders to its end: when each try was, and what was told at last."""
    story: list[tuple[timedelta, NotificationDelivered | None]] = []
    now, reminder = at, first
    while True:
        now += reminder.after
        outcomes = await take(world, reminder.message, now)
        told = next((outcome for outcome in outcomes if isinstance(outcome, NotificationDelivered)), None)
        story.append((now - at, told))
        following = [outcome for outcome in outcomes if isinstance(outcome, Later)]
        if not following:
            return story
        [reminder] = following


async def test_the_operator_is_to_be_told_of_broken_custody_alone() -> None:
    [row] = [one.row for one in await take(World(), BROKEN) if isinstance(one, Keep) and isinstance(one.row, Stopped)]
    assert row == Stopped(BROKEN)
    assert not [one for one in await take(World(), FAILED) if isinstance(one, Keep) and isinstance(one.row, Stopped)]


@pytest.mark.parametrize("fact", [READY, REJECTED, FAILED, CANCELED, REVOKED])
async def test_a_fact_goes_over_both_channels(fact: Fact) -> None:
    world = World()
    mail, webhook = await begin(world, fact)
    assert (type(mail.message), mail.after) == (DeliverMail, timedelta(0))
    assert (type(webhook.message), webhook.after) == (DeliverWebhook, timedelta(0))
    [(_, told)] = await live(world, mail)
    assert told
    assert (told.channel, told.result, told.tries, told.outcome) == ("email", "delivered", 1, fact.ce_type)
    [(_, told)] = await live(world, webhook)
    assert told
    assert (told.channel, told.result, told.tries, told.outcome) == ("webhook", "delivered", 1, fact.ce_type)
    assert len(world.mail.sent) == len(world.webhooks.calls) == 1


async def test_a_fact_that_is_read_again_tells_nobody_twice() -> None:
    world = World()
    for fact in (READY, REVOKED):
        for reminder in await begin(world, fact):
            await live(world, reminder)
    for fact in (READY, REVOKED):
        for reminder in await begin(world, fact):
            assert await take(world, reminder.message) == []
    assert len(world.mail.sent) == len(world.webhooks.calls) == 2


async def test_a_fact_that_is_read_again_between_two_tries_starts_no_second_chain() -> None:
    world = World()
    world.mail.answer = Delivery.FAILED
    mail, _ = await begin(world, READY)
    await take(world, mail.message)
    again, _ = await begin(world, READY)
    assert await take(world, again.message) == []
    assert len(world.mail.sent) == 1


async def test_a_redelivered_try_carries_the_same_id() -> None:
    world = World()
    world.mail.answer = Delivery.FAILED
    mail, _ = await begin(world, READY)
    await live(world, mail)
    assert len({notification for _, _, notification in world.mail.sent}) == 1


async def test_failed_tries_go_on_for_three_days_with_growing_delays() -> None:
    world = World()
    world.webhooks.answer = Delivery.FAILED
    _, webhook = await begin(world, READY)
    story = await live(world, webhook)
    times = [at for at, _ in story]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert timedelta(seconds=3.75) <= waits[0] <= timedelta(seconds=5)
    assert timedelta(hours=6) <= waits[-1] <= timedelta(hours=8)
    assert timedelta(days=2, hours=16) <= times[-1] <= timedelta(days=3)
    assert len(story) == len(world.webhooks.calls)
    assert 17 <= len(story) <= 21
    told = story[-1][1]
    assert told
    assert (told.result, told.tries) == ("gave_up", len(story))


async def test_a_target_that_comes_back_is_told() -> None:
    world = World()
    world.webhooks.answer = Delivery.FAILED
    _, webhook = await begin(world, READY)
    kept, again = await take(world, webhook.message)
    assert isinstance(kept, Keep)
    assert isinstance(kept.row, Tried)
    assert isinstance(again, Later)
    world.webhooks.answer = Delivery.ACCEPTED
    [(_, told)] = await live(world, again)
    assert told
    assert (told.result, told.tries) == ("delivered", 2)


@pytest.mark.parametrize("channel", [0, 1])
async def test_a_refusal_for_good_ends_the_chain_at_once(channel: int) -> None:
    world = World()
    world.mail.answer = world.webhooks.answer = Delivery.REFUSED
    [(_, told)] = await live(world, (await begin(world, FAILED))[channel])
    assert told
    assert (told.result, told.tries) == ("gave_up", 1)


async def test_without_an_address_the_mail_is_skipped() -> None:
    world = World()
    world.people.email = None
    mail, _ = await begin(world, READY)
    kept, told = await take(world, mail.message)
    assert isinstance(kept, Keep)
    assert isinstance(kept.row, Settled)
    assert kept.row.state is State.SKIPPED
    assert isinstance(told, NotificationDelivered)
    assert (told.result, told.tries) == ("skipped", 0)
    assert world.mail.sent == []


async def test_without_a_webhook_the_call_is_skipped() -> None:
    world = World()
    world.webhooks.targets = {}
    _, webhook = await begin(world, READY)
    [(_, told)] = await live(world, webhook)
    assert told
    assert told.result == "skipped"


async def test_a_store_that_is_away_delays_the_mail_for_days_at_most() -> None:
    world = World()
    world.people.is_away = True
    mail, _ = await begin(world, READY)
    _, again = await take(world, mail.message)
    world.people.is_away = False
    assert isinstance(again, Later)
    [(_, told)] = await live(world, again)
    assert told
    assert told.result == "delivered"


async def test_a_delay_goes_to_the_app_alone_and_once_per_stage() -> None:
    world = World()
    [webhook] = await begin(world, STALLED)
    [(_, told)] = await live(world, webhook)
    assert told
    assert (told.channel, told.outcome) == ("webhook", "lifemask.run.stalled.v1")
    [again] = await begin(world, STALLED)
    assert await take(world, again.message) == []
    [elsewhere] = await begin(world, STALLED.model_copy(update={"stage": Stage.TRAIN}))
    assert len(await live(world, elsewhere)) == 1
    assert len(world.webhooks.calls) == 2


async def test_a_delay_is_not_told_after_the_end() -> None:
    world = World()
    [webhook] = await begin(world, STALLED)
    await begin(world, READY)
    [(_, told)] = await live(world, webhook)
    assert told
    assert told.result == "skipped"
    assert world.webhooks.calls == []


async def test_the_app_is_sent_the_event_itself() -> None:
    world = World()
    _, webhook = await begin(world, FAILED)
    await live(world, webhook)
    [(_, notification, body)] = world.webhooks.calls
    assert json.loads(body) == {
        "type": "lifemask.run.failed.v1",
        "timestamp": "2026-01-02T12:00:00.000+00:00",
        "data": {
            **IDS,
            "stage": "train",
            "failure": {
                "code": "training_failed",
                "category": "service_error",
                "move": "provider",
                "what": "The training failed at the training provider.",
                "next_step": FAILED.failure.next_step,
            },
            "cost_usd": "1.04",
        },
    }
    assert notification == next(id_ for id_, note in world.notifications.rows.items() if note.channel == "webhook")
