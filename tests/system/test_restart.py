"""A run that failed is started again, by one call, and nothing of the first is taken for granted."""

import asyncio

import pytest
from tests.system.app import Person
from tests.system.conftest import a_person
from tests.system.outside import Outside
from tests.system.photos import good
from tests.system.reading import Sound
from tests.system.stack import Stack

pytestmark = pytest.mark.slow


async def test_a_failed_run_becomes_a_model_after_one_call(person: Person, outside: Outside, sound: Sound) -> None:
    await outside.fault("training", "fail", error="CUDA error: out of memory")
    run = await person.accepted(good(13))
    failed = await person.ended(run)
    assert failed["status"] == "failed"
    assert "again" in failed["next_step"]
    assert (await a_person(person.http).restart(run)).status_code == 404

    answers = await asyncio.gather(*(person.restart(run) for _ in range(3)))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 201]
    (new,) = {answer.json()["id"] for answer in answers}
    view = await person.ended(new)
    assert (view["status"], view["restarted_from"], view["photos"]["usable"]) == ("ready", run, 13)
    assert (await person.view(run))["restarted_as"] == new
    assert (await person.restart(new)).json()["code"] == "run_ready"

    history = await sound()
    said = [fact for fact in history.facts if fact.run == new]
    received = [fact.body["commitment"] for fact in said if fact.kind == "photo.received"]
    before = {fact.body["commitment"] for fact in history.facts if fact.run == run and fact.kind == "photo.received"}
    assert len(received) == 13
    assert before.isdisjoint(received)
    (accepted,) = [fact for fact in said if fact.kind == "run.accepted"]
    assert (accepted.body["door"], accepted.body["photos"]) == ("restart", 13)
    assert history.datasets[accepted.key] == history.datasets[person.bus_id, run]


async def test_an_original_that_was_changed_meanwhile_is_not_trained_on(
    person: Person, outside: Outside, stack: Stack, sound: Sound
) -> None:
    await outside.fault("training", "fail", error="CUDA error: out of memory")
    run = await person.accepted(good(12))
    await person.ended(run)
    folder = stack.data / "objects" / "users" / person.bus_id / "runs" / run / "original"
    victim, other, *_ = sorted(folder.iterdir())
    victim.write_bytes(other.read_bytes())

    new = (await person.restart(run)).json()["id"]
    view = await person.ended(new)
    assert (view["status"], view["whose_move"], view["training"]["id"]) == ("failed", "us", None)
    assert "an original differs from its upload" in view["summary"]
    refused = await person.restart(new)
    assert (refused.status_code, refused.json()["code"]) == (409, "custody_broken")
    history = await sound()
    assert not [attempt for attempt in history.attempts if attempt.run == new]
