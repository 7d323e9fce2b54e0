"""Attacks and broken custody are told to the operator: one mail for all services, and not again for a while."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from tests.notifier.test_service import Process, process  # noqa: F401  a fixture
from tests.notifier.world import BROKEN, InMemoryMail

from lifemask.bus.outcomes import Keep, Later, Outcome, Reminder
from lifemask.contracts import OPERATOR, Event, Refused, RunFailed, SecurityReported
from lifemask.notifier.domain import CUSTODY, Delivery, Mailed, Operator, Reported, Schedule, StoppedRun, report_id
from lifemask.notifier.handlers import HANDLERS
from lifemask.testkit.events import a_run, an_event
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
    runs: list[StoppedRun] = field(default_factory=list)
    mailed: datetime | None = None
    now: datetime = NOON

    async def waiting(self, _user: str) -> list[SecurityReported]:
        return list(self.rows.values())

    async def stopped(self, since: datetime) -> list[StoppedRun]:
        assert since == NOON
        return self.runs

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


async def test_runs_with_broken_custody_are_named_without_the_person() -> None:
    world = World(runs=[StoppedRun(f"acme.user-{number}", f"run-{number}") for number in range(2)])
    [later] = await world.take(report("notifier", count=3, reason=CUSTODY))
    await world.take(report("trainer"))
    assert await world.take(later.message) == []
    [(_, letter, _)] = world.mail.sent
    assert letter.subject == "Custody broken: 3 runs were stopped; Lifemask refused 3 forged or unknown records"
    assert "Run run-0 of app acme" in letter.text
    assert "and 1 more" in letter.text
    assert "user-" not in letter.text


async def test_broken_custody_of_many_runs_is_one_mail_at_once_and_one_in_the_window(
    process: Process,  # noqa: F811  the fixture
) -> None:
    """Of all users: who writes to the bucket stops many runs, and an operator reads one mail."""
    runs = [a_run(), a_run("other"), a_run()]
    for run in (*runs, runs[0]):
        await process.receive(an_event(RunFailed, **run, stage="package", failure=BROKEN.failure))
    await process.hears_itself()
    await process.time_passes()
    [mail] = await process.operators_mails()
    assert mail["subject"] == "Custody broken: 3 runs were stopped"
    assert all(run["run_id"] in mail["text"] for run in runs)
    assert not any(run["user_id"] in mail["text"] for run in runs)
    for _ in range(2):
        await process.receive(an_event(RunFailed, **a_run(), stage="train", failure=BROKEN.failure))
        await process.hears_itself()
        await process.time_passes()
    assert len(await process.operators_mails()) == 1
    await process.an_hour_passes()
    await process.hears_itself()
    await process.time_passes()
    _, second = await process.operators_mails()
    assert second["subject"] == "Custody broken: 2 runs were stopped"
    assert not any(run["run_id"] in second["text"] for run in runs)
