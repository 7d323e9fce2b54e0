"""A fact that ends a run is told once over each channel; each try is a message of its own."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import ClassVar, Final

from pydantic import Field

from lifemask.bus.outcomes import Keep, Later, Outcome, Reminder, Retryable, Turn, on
from lifemask.contracts import (
    Digest,
    ModelReady,
    ModelRevoked,
    NotificationDelivered,
    RunCanceled,
    RunFailed,
    RunId,
    RunRejected,
    RunStalled,
    SecurityReported,
)
from lifemask.notifier.domain import (
    Answered,
    Channel,
    Delivery,
    Fact,
    Mailed,
    Notification,
    Operator,
    Pending,
    Reopened,
    Reported,
    Schedule,
    Settled,
    State,
    Tried,
    Why,
    delay,
    is_in_time,
    of,
    report_id,
    stopped,
    wait_before_next,
    wait_for_mail,
    webhook_body,
)
from lifemask.notifier.letter import warn, write
from lifemask.notifier.ports import Mail, Notifications, People, Reports, Webhooks


class _Deliver(Reminder):
    run_id: RunId
    notification: Digest
    tries: int = Field(default=0, ge=0)
    """Failed tries before this one; a reminder of an older try is void."""


class DeliverMail(_Deliver):
    """Try to hand in a mail."""

    ce_type: ClassVar[str] = "lifemask.notifier.deliver-mail.v1"


class DeliverWebhook(_Deliver):
    """Try to call an app's webhook."""

    ce_type: ClassVar[str] = "lifemask.notifier.deliver-webhook.v1"


class ResendOrdered(Reminder):
    """An operator wants a notification sent again. `order` is where the answer goes."""

    ce_type: ClassVar[str] = "lifemask.notifier.resend-ordered.v1"

    run_id: RunId
    notification: Digest
    order: str


class MailOperator(Reminder):
    """Mail the operator what waits."""

    ce_type: ClassVar[str] = "lifemask.notifier.mail-operator.v1"

    tries: int = Field(default=0, ge=0)
    """Failed tries before this one."""


_OPERATOR_TRIES: Final = 15
"""With the delays of a schedule these are about three days."""


async def tell_everybody(event: Fact, *, turn: Turn) -> Sequence[Outcome]:
    """The end of a run, or of a model, goes to the person and to the app: neither waits for the other.

    The operator hears of broken custody with whatever else is reported, in one mail for all users.
    """
    return [
        *(outcome for channel in Channel for outcome in _begin(event, channel, turn.got_at)),
        *(Keep(row) for row in stopped(event)),
    ]


async def tell_app(event: RunStalled, *, turn: Turn) -> Sequence[Outcome]:
    """A delay is ours to mend: the app may show it, the person gets no mail about it."""
    return _begin(event, Channel.WEBHOOK, turn.got_at)


async def deliver_mail(
    reminder: DeliverMail, *, notifications: Notifications, people: People, mail: Mail, schedule: Schedule, turn: Turn
) -> Sequence[Outcome]:
    """One try, unless the server is to be left alone. A store that is away counts as a failed one, so that days of it
    lose no mail.
    """
    note = await _awaited(reminder, notifications)
    if note is None:
        return []
    try:
        address = await people.address(reminder.user_id)
        if address is None:
            return _settle(note, State.SKIPPED, note.tries, Why.NO_ADDRESS)
        letter = write(note.fact, await people.called(reminder.user_id, reminder.run_id))
        if (wait := mail.wait()) and is_in_time(note, turn.got_at + wait, schedule):
            return [Later(reminder, wait)]
        delivery = await mail.send(address, letter, note.id)
    except Retryable:
        delivery = Delivery.FAILED
    return _after(delivery, note, reminder, turn.got_at, schedule)


async def deliver_webhook(
    reminder: DeliverWebhook, *, notifications: Notifications, webhooks: Webhooks, schedule: Schedule, turn: Turn
) -> Sequence[Outcome]:
    """One try, unless the app is to be left alone. A delay is not told any more when the run has ended."""
    note = await _awaited(reminder, notifications)
    if note is None:
        return []
    target = webhooks.target(reminder.user_id)
    late = isinstance(note.fact, RunStalled) and await notifications.is_over(reminder.user_id, reminder.run_id)
    if target is None or late:
        return _settle(note, State.SKIPPED, note.tries, Why.RUN_OVER if late else Why.NO_WEBHOOK)
    if (wait := webhooks.wait(target)) and is_in_time(note, turn.got_at + wait, schedule):
        return [Later(reminder, wait)]
    delivery = await webhooks.call(target, note.id, webhook_body(note))
    return _after(delivery, note, reminder, turn.got_at, schedule)


async def resend(order: ResendOrdered, *, notifications: Notifications) -> Sequence[Outcome]:
    """Another try now, under the same id; of a settled one the days of tries begin anew."""
    note = await notifications.find(order.user_id, order.notification)
    if note is None:
        return [Keep(Answered(order.order, "refused: no such notification"))]
    now = Later(_reminder(note), timedelta(0))
    if note.state is State.PENDING:
        return [Keep(Answered(order.order, "tried_now")), now]
    return [Keep(Reopened(order.user_id, note.id)), Keep(Answered(order.order, "sent_again")), now]


async def note_report(
    event: SecurityReported, *, reports: Reports, operator: Operator, turn: Turn
) -> Sequence[Outcome]:
    """Attacks and broken custody are told to the operator in one mail for all services, and not again for a while."""
    wait = wait_for_mail(operator, await reports.mailed_at(event.user_id), turn.got_at)
    later = Later(MailOperator(user_id=event.user_id), max(wait, operator.gather))
    return [Keep(Reported(event, turn.got_at)), later]


async def mail_operator(
    reminder: MailOperator,
    *,
    reports: Reports,
    operator: Operator,
    mail: Mail,
    schedule: Schedule,
    turn: Turn,
) -> Sequence[Outcome]:
    """One try to mail whatever waits. Without an address, or after days, the log and the table have to do."""
    waiting = await reports.waiting(reminder.user_id)
    if not waiting:
        return []
    if wait := wait_for_mail(operator, await reports.mailed_at(reminder.user_id), turn.got_at):
        return [Later(reminder, wait)]
    ids = tuple(report_id(report) for report in waiting)
    mailed = Keep(Mailed(reminder.user_id, ids))
    if operator.address is None or reminder.tries >= _OPERATOR_TRIES:
        return [mailed]
    runs = await reports.stopped(min(report.since for report in waiting))
    delivery = await mail.send(operator.address, warn(waiting, runs), ids[-1])
    if delivery is not Delivery.FAILED:
        return [mailed]
    tries = reminder.tries + 1
    return [Later(reminder.model_copy(update={"tries": tries}), delay(ids[-1], tries, schedule))]


def _begin(event: Fact, channel: Channel, since: datetime) -> list[Outcome]:
    note = of(event, channel, since)
    return [Keep(Pending(note)), Later(_reminder(note), timedelta(0))]


def _reminder(note: Notification) -> _Deliver:
    run = note.fact
    return _REMINDERS[note.channel](user_id=run.user_id, run_id=run.run_id, notification=note.id, tries=note.tries)


async def _awaited(reminder: _Deliver, notifications: Notifications) -> Notification | None:
    """The notification, unless it is settled or this reminder belongs to an earlier try of it."""
    note = await notifications.find(reminder.user_id, reminder.notification)
    is_due = note is not None and note.state is State.PENDING and note.tries == reminder.tries
    return note if is_due else None


def _after(
    delivery: Delivery, note: Notification, reminder: _Deliver, now: datetime, schedule: Schedule
) -> Sequence[Outcome]:
    tries = note.tries + 1
    if delivery is Delivery.ACCEPTED:
        return _settle(note, State.DELIVERED, tries)
    wait = wait_before_next(note, now, schedule)
    if delivery is Delivery.REFUSED:
        return _settle(note, State.GAVE_UP, tries, Why.REFUSED)
    if wait is None:
        return _settle(note, State.GAVE_UP, tries, Why.TOO_LONG)
    again = reminder.model_copy(update={"tries": tries})
    return [Keep(Tried(reminder.user_id, note.id, tries)), Later(again, wait)]


def _settle(note: Notification, state: State, tries: int, why: Why | None = None) -> Sequence[Outcome]:
    settled = Keep(Settled(note.fact.user_id, note.id, tries, state, why))
    told = NotificationDelivered.model_validate(
        {
            **note.fact.run,
            "notification": note.id,
            "outcome": note.fact.ce_type,
            "channel": note.channel.value,
            "result": state.value,
            "tries": tries,
        }
    )
    return [settled, told]


_REMINDERS: Final[dict[Channel, type[_Deliver]]] = {
    Channel.EMAIL: DeliverMail,
    Channel.WEBHOOK: DeliverWebhook,
}

HANDLERS = (
    on(ModelReady, tell_everybody),
    on(ModelRevoked, tell_everybody),
    on(RunRejected, tell_everybody),
    on(RunFailed, tell_everybody),
    on(RunCanceled, tell_everybody),
    on(RunStalled, tell_app),
    on(SecurityReported, note_report),
    on(DeliverMail, deliver_mail),
    on(DeliverWebhook, deliver_webhook),
    on(MailOperator, mail_operator),
    on(ResendOrdered, resend),
)
