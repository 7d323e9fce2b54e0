"""Records that nobody can handle: they lie aside, and all others flow."""

from dataclasses import replace

import asyncpg
import pytest
from tests.chaos.faults.bus import Sent, by, poisoned, send
from tests.chaos.faults.house import House
from tests.chaos.faults.letters import letters, more_letters, operator_says
from tests.chaos.faults.people import ended, street
from tests.system.conftest import a_person
from tests.system.reading import POISON
from tests.system.waiting import eventually

from lifemask.contracts import PhotosValidated, new_id
from lifemask.testkit.events import an_event

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(150)]

SERVICE = "packager"


async def test_corrupt_records_lie_aside_and_everybody_else_goes_on(home: House) -> None:
    """With a true signature: bytes that are no JSON, and a null header beside a body of another kind: dead letters of
    the packager, and of ingest, which listens.

    Without one: headers that are null or no text, and no key. Nobody has said these; they are refused and kept.
    """
    async with street(home) as there:
        victim = a_person(there.http)
        event = an_event(PhotosValidated, user_id=victim.bus_id, run_id=new_id())
        corrupt = by(home, "image-validator", event, value=b"\xff\x00 no JSON")
        headless = Sent(corrupt.topic, corrupt.key, b"{}", [("ce_type", None), ("ce_id", b"\xff"), (POISON, b"1")])
        keyless = replace(poisoned(by(home, "image-validator", event)), key=None)
        noted = poisoned(by(home, "image-validator", event, value=b"[]"), ("note", None))
        runs = await there.busy()
        await send(home, [poisoned(corrupt), headless, keyless, noted])
        runs |= await there.busy(2)
        found = await eventually(lambda: more_letters(home, set(), 4))
        assert await refused(home) == ["bad signature", "unsigned"]
        for run, person in runs.items():
            assert (await ended(person, run))["status"] == "ready"
        assert await letters(home) == set(found)
        answers = [await operator_says(home, "discard", letter) for letter in found]
        outcomes = sorted(lines[-1]["outcome"] for _, lines in answers)
        assert outcomes == ["discarded", "discarded", "discarded", "run_failed"]
        assert await letters(home) == set()
        await there.sound()


async def refused(home: House) -> list[str]:
    """Why records were refused, one reason for each."""
    rows = await asyncpg.connect(home.dsn)
    try:
        return [row["reason"] for row in await rows.fetch(f"select reason from {SERVICE}.security order by reason")]
    finally:
        await rows.close()
