"""A process that dies between any two statements, and replies of commits that are lost: each effect happens once."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import cast

import asyncpg
import pytest
from tests.bus.faults import MortalPool
from tests.bus.lab import Note, Nudge, note_the_end, record, write_note

from lifemask.bus.inbound import Raw
from lifemask.bus.outcomes import Keep, Later, Outcome, Turn, on
from lifemask.bus.rows import Pool
from lifemask.bus.service import Bus, Service
from lifemask.contracts import DatasetSealed, PhotoJudged, PhotosValidated, RunCancelRequested, Stage, new_id
from lifemask.runtime.settings import ServiceSettings
from lifemask.testkit.events import a_run, an_event


async def seal(event: PhotosValidated, *, turn: Turn) -> Sequence[Outcome]:
    await turn.check()
    await turn.commit(Keep(Note(event.user_id, "intended")))
    return [
        Keep(Note(event.user_id, "sealed")),
        Later(Nudge(user_id=event.user_id, note="look again"), timedelta(0)),
        an_event(DatasetSealed, **event.run),
    ]


async def look(event: PhotoJudged) -> Sequence[Outcome]:
    return [Keep(Note(event.user_id, event.photo_id))]


async def nudge(reminder: Nudge) -> Sequence[Outcome]:
    return [Keep(Note(reminder.user_id, reminder.note))]


def a_process(pool: Pool | MortalPool) -> Service:
    bus = Bus("packager", Stage.PACKAGE, ServiceSettings(), cast("Pool", pool))
    routes = (on(PhotosValidated, seal, brings="run"), on(PhotoJudged, look), on(Nudge, nudge))
    return bus.serve(routes, writer=write_note, on_end=note_the_end)


async def live(service: Service, records: Sequence[Raw], ended: Sequence[dict[str, str]]) -> None:
    """A service's life, step by step."""
    await service.intake.store(records)
    for run in ended:
        await service.ender.end(run["user_id"], run["run_id"])
    for _ in range(3):
        await service.timer.step()
        await service.worker.step()


class Story:
    """One user whose run goes on, and one whose run is cancelled."""

    def __init__(self) -> None:
        self.run, self.canceled = a_run(), a_run()
        self.photos = [new_id() for _ in range(2)]
        self.records = [
            record(an_event(PhotoJudged, **self.run, photo_id=self.photos[0])),
            record(an_event(PhotosValidated, **self.run)),
            record(an_event(PhotoJudged, **self.run, photo_id=self.photos[1])),
            record(an_event(PhotosValidated, **self.canceled)),
            record(an_event(RunCancelRequested, **self.canceled)),
        ]

    async def live(self, pool: Pool | MortalPool) -> None:
        await live(a_process(pool), self.records, [self.canceled])

    async def check(self, pool: Pool) -> None:
        mine = Counter(await notes(pool, self.run["user_id"]))
        assert mine.pop("intended") in (1, 2)  # committed by itself: a handler that starts again says it again
        assert mine == Counter({**dict.fromkeys(self.photos, 1), "sealed": 1, "look again": 1})
        assert await notes(pool, self.canceled["user_id"]) == ["ended", "after the end"]
        assert await facts(pool, self.run) == ["lifemask.dataset.sealed.v1"]
        assert await facts(pool, self.canceled) == ["lifemask.run.canceled.v1"]
        assert await pool.fetchval("select count(*) from lane where todo <> 0") == 0
        assert await pool.fetchval("select count(*) from inbox where done_at is null") == 0
        assert await pool.fetchval("select count(*) from reminder") == 0


async def notes(pool: Pool, user_id: str) -> list[str]:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("select set_config('lifemask.user', $1, true)", user_id)
        return [row["text"] for row in await connection.fetch("select text from note order by at")]


async def facts(pool: Pool, run: dict[str, str]) -> list[str]:
    rows = await pool.fetch("select headers::text from outbox where key = $1 order by id", run["user_id"])
    kinds = ("dataset.sealed", "run.canceled", "run.failed", "run.stalled")
    return [f"lifemask.{kind}.v1" for row in rows for kind in kinds if f"lifemask.{kind}.v1" in row["headers"]]


async def counters_agree(pool: Pool) -> bool:
    """`todo` of every lane is the number of its undone rows."""
    return not await pool.fetchval(
        """select count(*) from lane full join (
               select lane, count(*) from inbox where done_at is null and dead_at is null group by lane) as undone
           using (lane) where coalesce(todo, 0) <> coalesce(undone.count, 0)"""
    )


@pytest.mark.parametrize("reply_lost", [False, True])
@pytest.mark.parametrize("part", range(4))
async def test_a_process_may_die_at_any_statement(pool: Pool, part: int, reply_lost: bool) -> None:
    rehearsal = MortalPool(pool)
    story = Story()
    await story.live(rehearsal)
    await story.check(pool)
    assert rehearsal.count > 30
    for at in range(1 + part, rehearsal.count + 1, 4):
        story = Story()
        with pytest.raises((asyncpg.PostgresConnectionError, asyncpg.InterfaceError)):
            await story.live(MortalPool(pool, at, reply_lost=reply_lost))
        assert await counters_agree(pool)
        for _ in range(2):
            await pool.execute("update lane set ready_at = now()")  # leases run out
            await story.live(pool)  # the broker sends again what was not acknowledged
        await story.check(pool)
