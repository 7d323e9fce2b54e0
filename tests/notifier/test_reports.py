"""Attacks are told to the operator: one mail for all services, and not again for a while."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.notifier.test_service import Process, process  # noqa: F401  a fixture
from tests.notifier.world import InMemoryMail

from lifemask.bus.outcomes import Keep, Later, Outcome, Reminder
from lifemask.contracts import OPERATOR, Event, Refused, SecurityReported
from lifemask.notifier.domain import Delivery, Mailed, Operator, Reported, Schedule, report_id
from lifemask.notifier.handlers import HANDLERS
from lifemask.testkit.stepping import SteppingTurn, step

NOON = datetime(2026, 1, 2, 12, 0, tzinfo=UTC)


def report(service: str, count: int = 3, reason: str = "bad signature") -> SecurityReported:
    refused = (Refused(reason=reason, type="lifemask.model.ready", count=count),)
    return SecurityReported(user_id=OPERATOR, service=service, since=NOON, refused=refused)


@dataclass
class World:
    """Rows, mail server and address."""

    operator: Operator = field(default_factory=lambda: Operator("ops@example.com"))
    mail: InMemoryMail = field(default_factory=InMemoryMail)
    rows: dict[str, SecurityReported] = field(default_factory=dict)
    mailed: datetime | None = None
    now: datetime = NOON

    async def waiting(self, _user: str) -> list[SecurityReported]:
        return list(self.rows.values())

    async def mailed_at(self, _user: str) -> datetime | None:
        return self.mailed

    async def take(self, message: Event | Reminder) -> list[Later]:
        outcomes = await step(
            HANDLERS,
            message,
            turn=SteppingTurn(got_at=self.now),
            reports=self,
            operator=self.operator,
            mail=self.mail,
            schedule=Schedule(),
        )
        self._keep(outcomes)
        return [outcome for outcome in outcomes if isinstance(outcome, Later)]

    def _keep(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            match outcome:
                case Keep(row=Reported(report=told)):
                    self.rows[report_id(told)] = told
                case Keep(row=Mailed(ids=ids)):
                    self.mailed = self.now
                    for id_ in ids:
                        del self.rows[id_]


async def test_reports_of_several_services_are_one_mail_in_the_window() -> None:
    world = World()
    [one] = await world.take(report("trainer"))
    [two] = await world.take(report("publisher", count=5))
    assert one.after == two.after == timedelta(seconds=10)
    assert await world.take(one.message) == await world.take(two.message) == []
    [(address, letter, _)] = world.mail.sent
    assert (address, letter.subject) == ("ops@example.com", "Lifemask refused 8 forged or unknown records")
    assert "trainer: 3 x lifemask.model.ready, bad signature" in letter.text
    assert "publisher: 5 x lifemask.model.ready, bad signature" in letter.text
    world.now += timedelta(minutes=20)
    [three] = await world.take(report("trainer", count=1))
    assert three.after == timedelta(minutes=40)
    [again] = await world.take(three.message)  # a reminder that came too early
    assert again.after == timedelta(minutes=40)
    world.now += timedelta(minutes=40)
    assert await world.take(three.message) == []
    assert len(world.mail.sent) == 2


async def test_a_mail_server_that_is_away_is_tried_again_for_days_and_not_for_ever() -> None:
    world = World(mail=InMemoryMail(answer=Delivery.FAILED))
    pending = await world.take(report("trainer"))
    tries = 0
    while pending:
        [later] = pending
        world.now += later.after
        pending = await world.take(later.message)
        tries += 1
    assert timedelta(days=1) < world.now - NOON < timedelta(days=6)
    assert len(world.mail.sent) == tries - 1 == 15
    assert not world.rows


async def test_without_an_address_nobody_is_mailed_and_nothing_waits() -> None:
    world = World(operator=Operator(None))
    [later] = await world.take(report("trainer"))
    assert await world.take(later.message) == []
    assert (world.mail.sent, world.rows) == ([], {})


async def test_the_operator_gets_a_mail(process: Process) -> None:  # noqa: F811  the fixture
    await process.receive(report("trainer"))
    await process.receive(report("trainer"))
    await process.receive(report("ingest", reason="unsigned"))
    await process.time_passes()
    [mail] = await process.mails()
    assert mail["to"] == ["ops@example.com"]
    assert mail["subject"] == "Lifemask refused 6 forged or unknown records"
    assert await process.told() == []
