"""A message that waits for a deploy holds up its own lane; all others flow meanwhile, and it is no dead letter."""

import asyncpg
import pytest
from tests.chaos.faults.bus import by, poisoned, send
from tests.chaos.faults.house import House
from tests.chaos.faults.letters import letters
from tests.chaos.faults.people import ended, street
from tests.system.conftest import a_person
from tests.system.photos import good
from tests.system.waiting import eventually

from lifemask.cli.plan import SERVICES
from lifemask.contracts import PhotosValidated, new_id
from lifemask.testkit.events import an_event

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(150)]

_LATER = "type like '%.v999' and done_at is null"


async def test_an_event_of_a_later_version_holds_its_own_lane_until_the_deploy(home: House) -> None:
    async with street(home) as there:
        waiting = a_person(there.http)
        event = an_event(PhotosValidated, user_id=waiting.bus_id, run_id=new_id())
        await send(home, [poisoned(by(home, "image-validator", event, version=999))])
        await eventually(lambda: too_new(home))
        run = await waiting.accepted(good(12))
        others = await there.busy()
        for other, person in others.items():
            assert (await ended(person, other))["status"] == "ready"
        assert (await waiting.view(run))["status"] not in {"ready", "failed", "canceled", "rejected"}
        assert await letters(home) == set()
        assert set(await too_new(home)) == {(0, None)}
        await deploy(home, event.run_id)
        await there.all_ready(others | {run: waiting})


async def too_new(home: House) -> list[tuple[int, object]]:
    """Attempts and death of the messages of a later version, in every service that waits for it."""
    rows = await asyncpg.connect(home.dsn)
    try:
        found = [
            (row["attempts"], row["dead_at"])
            for service in SERVICES
            for row in await rows.fetch(f"select attempts, dead_at from {service}.inbox where {_LATER}")
        ]
    finally:
        await rows.close()
    return found


async def deploy(home: House, run: str) -> None:
    """Stands for a version that can read the event, and finds that its run is nobody's."""
    rows = await asyncpg.connect(home.dsn)
    try:
        for service in SERVICES:
            async with rows.transaction():
                lanes = await rows.fetch(f"update {service}.inbox set done_at = now() where {_LATER} returning lane")
                await rows.execute(
                    f"update {service}.lane set todo = todo - 1, ready_at = now() where lane = any($1)",
                    [row["lane"] for row in lanes],
                )
                await rows.execute(f"delete from {service}.baton where run_id = $1", run)
    finally:
        await rows.close()
