"""How many messages a second one service handles, against the floor of a raw batch insert into the same database.

    python -m bench.events

One process: intake in batches, lanes, a handler that returns one event (a baton is passed with each), the outbox. The
relay and Kafka are left out: they carry more than ten times of it. Goal: a tenth of the floor.
"""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from bench.row import Row, measure

from lifemask.bus.inbound import Raw, headers_json
from lifemask.bus.migrate import migrate
from lifemask.bus.outcomes import Outcome, on
from lifemask.bus.roles import role_of
from lifemask.bus.service import Bus, Service, open_bus
from lifemask.cli.embedded.postgres import running_postgres
from lifemask.contracts import DatasetSealed, Event, PhotoJudged, PhotosValidated, Stage, new_id
from lifemask.runtime.settings import ServiceSettings
from lifemask.testkit.keys import signed, write_keys

MESSAGES: Final = 4000
USERS: Final = 200
BATCH: Final = 500
GOAL: Final = 0.1
SEALED: Final = DatasetSealed.example()


async def judge(event: PhotoJudged) -> Sequence[Outcome]:
    return [event]


async def seal(event: PhotosValidated) -> Sequence[Outcome]:
    return [SEALED.model_copy(update=event.run)]


@asynccontextmanager
async def a_bus(**settings: object) -> AsyncIterator[Bus]:
    """A packager's bus on a database of its own, which syncs its writes as a real one does."""
    with tempfile.TemporaryDirectory(prefix="lm-bench-") as data:
        async with running_postgres(Path(data) / "pg") as admin:
            await migrate(admin, ["packager"])
            dsn = admin.replace("postgres@", f"{role_of('packager')}@", 1)
            values = ServiceSettings.model_validate(
                {"postgres": dsn, "keys": write_keys(Path(data) / "keys"), **settings}
            )
            async with open_bus("packager", Stage.PACKAGE, values) as bus:
                yield bus


def made_up(kind: type[Event]) -> list[Raw]:
    """Records of `USERS` users in turn, each of a run of its own."""
    example = kind.example()
    events = [
        example.model_copy(update={"user_id": f"bench.{number % USERS}", "run_id": new_id()})
        for number in range(MESSAGES)
    ]
    return [Raw(one.topic, "", one.key, one.value, one.headers) for one in map(signed, events)]


async def floor(bus: Bus) -> float:
    """Messages a second of nothing but inserting the same rows in the same batches."""
    records = made_up(PhotoJudged)
    began = time.perf_counter()
    for start in range(0, MESSAGES, BATCH):
        rows = [
            (new_id(), (raw.key or b"").decode(), raw.value, headers_json(raw.headers), raw.topic)
            for raw in records[start : start + BATCH]
        ]
        await bus.pool.execute(
            """insert into inbox (msg_id, lane, user_id, type, topic, value, headers)
               select m, l, l, 'raw', t, v, h
               from unnest($1::text[], $2::text[], $3::bytea[], $4::jsonb[], $5::text[]) as r (m, l, v, h, t)""",
            *(list(column) for column in zip(*rows, strict=True)),
        )
    rate = MESSAGES / (time.perf_counter() - began)
    await bus.pool.execute("delete from inbox")
    return rate


async def handled(service: Service, records: Sequence[Raw]) -> float:
    """Messages a second from the first record stored to the last message done."""
    began = time.perf_counter()
    loops = [asyncio.create_task(loop()) for loop in (service.worker.run, service.worker.keep_leases)]
    for start in range(0, len(records), BATCH):
        await service.intake.store(records[start : start + BATCH])
    while await service.bus.pool.fetchval("select exists (select from lane where todo > 0)"):  # noqa: ASYNC110  rows
        await asyncio.sleep(0.02)
    rate = len(records) / (time.perf_counter() - began)
    for loop in loops:
        loop.cancel()
    await asyncio.gather(*loops, return_exceptions=True)
    return rate


async def main() -> list[Row]:
    """Messages a second of which each leaves one event, and of which each passes a baton on."""
    async with a_bus() as bus:
        service = bus.serve([on(PhotoJudged, judge), on(PhotosValidated, seal, brings="run")])
        await handled(service, made_up(PhotoJudged)[:500])  # plans and caches are warm
        raw = await floor(bus)
        found = {
            "messages through one service": await handled(service, made_up(PhotoJudged)),
            "batons through one service": await handled(service, made_up(PhotosValidated)),
        }
    return [
        Row(
            what=what,
            measured=round(rate),
            unit="1/s",
            floor=round(raw),
            against="raw batch insert",
            least=GOAL,
        )
        for what, rate in found.items()
    ]


if __name__ == "__main__":
    measure(main)
