"""Chance against the lanes: any records in any mixture, several workers at once, and no statement in another's way."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.bus.lab import Note, Nudge, note_the_end, record, write_note
from tests.bus.test_crashes import counters_agree, notes

from lifemask.bus import lanes
from lifemask.bus.inbound import Raw
from lifemask.bus.outcomes import Keep, Later, Outcome, Retryable, on
from lifemask.bus.rows import Pool
from lifemask.bus.service import Bus, Service
from lifemask.contracts import (
    DatasetSealed,
    FailureCode,
    PhotoJudged,
    PhotosValidated,
    RunCancelRequested,
    Stage,
    new_id,
)
from lifemask.runtime.settings import ServiceSettings
from lifemask.testkit.events import a_run, an_event


@dataclass
class Chance:
    """Handlers that note what they see, after failing as often as they are told."""

    failures: dict[str, list[Exception]] = field(default_factory=dict)

    async def look(self, event: PhotoJudged) -> Sequence[Outcome]:
        await asyncio.sleep(0)
        if self.failures.get(event.photo_id):
            raise self.failures[event.photo_id].pop()
        return [Keep(Note(event.user_id, event.photo_id))]

    async def seal(self, event: PhotosValidated) -> Sequence[Outcome]:
        again = Later(Nudge(user_id=event.user_id, note="again"), timedelta(0))
        return [again, again, an_event(DatasetSealed, **event.run)]

    async def nudge(self, reminder: Nudge) -> Sequence[Outcome]:
        return [Keep(Note(reminder.user_id, reminder.note))]

    def process(self, pool: Pool, **changes: object) -> Service:
        bus = Bus("packager", Stage.PACKAGE, ServiceSettings.model_validate(changes), pool)
        routes = (on(PhotosValidated, self.seal, brings="run"), on(PhotoJudged, self.look), on(Nudge, self.nudge))
        return bus.serve(routes, writer=write_note, on_end=note_the_end)


@dataclass(frozen=True)
class Sent:
    """One record of a made-up log: whose, how often it fails, whether the broker sends it again, or nobody reads it."""

    user: int
    fails: int
    twice: bool
    bad: bool


a_record = st.builds(
    Sent, user=st.integers(0, 4), fails=st.sampled_from([0, 0, 0, 1, 2]), twice=st.booleans(), bad=st.booleans()
)
NOT_READABLE = Raw("lifemask.photos", "", b"acme.u", b"[" * 100_000, [("ce_type", None)])


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(logs=st.lists(st.lists(a_record, min_size=1, max_size=12), min_size=1, max_size=3), batch=st.integers(1, 5))
async def test_any_log_is_handled_in_order_and_once(pool: Pool, logs: list[list[Sent]], batch: int) -> None:
    """Each log is a partition with users of its own; intakes of all of them and three workers run at once."""
    chance = Chance()
    processes = [chance.process(pool, lanes=3) for _ in range(3)]
    expected: dict[str, list[str]] = defaultdict(list)
    partitions = [made_up(log, chance, expected) for log in logs]
    bad_before = await pool.fetchval("select sum(times) from security") or 0
    stored = asyncio.gather(*(take_in(processes[0], part, batch) for part in partitions))
    while not stored.done() or await pool.fetchval("select count(*) from lane where todo > 0"):
        await asyncio.gather(*(process.worker.step() for process in processes))
        await pool.execute(  # no back-off is waited for; leases, which are longer, are left alone
            """update lane set ready_at = now() where lane in (
                   select lane from lane where ready_at < now() + interval '20 seconds' order by lane for update)"""
        )
    await stored
    for user, photos in expected.items():
        assert await notes(pool, user) == photos
    assert await counters_agree(pool)
    bad = (await pool.fetchval("select sum(times) from security") or 0) - bad_before
    assert bad == sum(one.bad for log in logs for one in log)


def made_up(log: Sequence[Sent], chance: Chance, expected: dict[str, list[str]]) -> list[Raw]:
    """The records of a log; what each user's lane must do is added to `expected`."""
    runs = [a_run() for _ in range(5)]
    records = []
    for sent in log:
        event = an_event(PhotoJudged, **runs[sent.user], photo_id=new_id())
        chance.failures[event.photo_id] = [Retryable(FailureCode.HUB_BUSY)] * sent.fails
        expected[event.user_id].append(event.photo_id)
        raw = record(event)
        records += [raw, raw] if sent.twice else [raw]
        if sent.bad:
            records.append(Raw(NOT_READABLE.topic, new_id(), b"acme.u", NOT_READABLE.value, NOT_READABLE.headers))
    return records


async def take_in(service: Service, records: Sequence[Raw], batch: int) -> None:
    for start in range(0, len(records), batch):
        await service.intake.store(records[start : start + batch])
        if start:
            await service.intake.store(records[start - batch : start + batch])  # not acknowledged in time: again


async def test_nothing_stands_in_anothers_way(pool: Pool) -> None:
    """Intakes of the same records in other orders, claims, finishes, renewals, ends and reminders, all at once.

    A deadlock would be raised by whichever statement PostgreSQL ends.
    """
    chance = Chance()
    for _ in range(12):
        one, two = chance.process(pool), chance.process(pool)
        runs = [a_run() for _ in range(12)]
        records = [record(an_event(PhotosValidated, **run)) for run in runs]
        records += [record(an_event(PhotoJudged, **run, photo_id=new_id())) for run in runs]
        cancels = [record(an_event(RunCancelRequested, **run)) for run in runs[::2]]
        claimed = [lane for lane, _ in await one.worker._claim()]
        await asyncio.gather(
            one.intake.store([*records, *cancels]),
            two.intake.store([*reversed(cancels), *reversed(records)]),
            one.worker.step(),
            two.worker.step(),
            renew(pool, claimed),
            renew(pool, claimed[::-1]),
            *(service.timer.step() for service in (one, two)),
            *(service.ender.end(run["user_id"], run["run_id"]) for service in (one, two) for run in runs),
        )
        await pool.execute("update lane set ready_at = now()")
    service = chance.process(pool)
    for _ in range(60):
        if not await service.timer.step() + await service.worker.step():
            break
    assert await counters_agree(pool)
    assert await pool.fetchval("select count(*) from inbox where done_at is null") == 0
    assert not await pool.fetch("select key from outbox group by key having count(*) > 1")  # one fact per run


async def renew(pool: Pool, claimed: Sequence[lanes.Claimed]) -> None:
    async with pool.acquire() as connection:
        await lanes.renew(connection, claimed, timedelta(seconds=30))
