"""Who may see what, and what a repeated request does."""

import httpx
import pytest
from tests.system.app import Person
from tests.system.conftest import Apps, Ready, a_client, a_person
from tests.system.photos import good
from tests.system.reading import Sound
from tests.system.stack import Stack

pytestmark = pytest.mark.slow


async def test_a_wrong_key_is_told_so(ready: Ready, stack: Stack, sound: Sound) -> None:
    for header in ({}, {"Authorization": "Bearer lm_wrong"}, {"Authorization": "Basic YTpi"}):
        async with httpx.AsyncClient(base_url=stack.url, headers=header, trust_env=False) as stranger:
            answer = await stranger.get(ready.person.path("runs", ready.run))
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorized")
        assert "Bearer" in answer.json()["next_step"]
    await sound()


async def test_what_is_anothers_is_not_there(ready: Ready, stack: Stack, apps: Apps, sound: Sound) -> None:
    model = (await ready.person.view(ready.run))["model"]["id"]
    photo = (await ready.person.photos(ready.run))[0]["id"]
    async with a_client(stack.url, apps.keys["other"]) as other_app:
        same_name = Person(other_app, "other", ready.person.name)
        for stranger in (same_name, a_person(ready.person.http)):
            asked = [
                ("GET", ("runs", ready.run)),
                ("GET", ("runs", ready.run, "photos")),
                ("GET", ("runs", ready.run, "events")),
                ("DELETE", ("runs", ready.run, "photos", photo)),
                ("POST", ("runs", ready.run, "submit")),
                ("POST", ("runs", ready.run, "cancel")),
                ("POST", ("runs", ready.run, "restart")),
                ("GET", ("models", model)),
            ]
            for method, parts in asked:
                answer = await stranger.http.request(method, stranger.path(*parts))
                assert (answer.status_code, answer.json()["code"]) == (404, "not_found"), (method, parts)
                assert answer.json()["next_step"]
            assert (await stranger.post(ready.run, good(1))).status_code == 404
            assert (await stranger.http.get(stranger.path("runs"))).json()["runs"] == []
            assert (await stranger.http.get(stranger.path())).json()["model_status"] == "not_started"
    await sound()


async def test_a_draft_asked_for_twice_is_one(person: Person, sound: Sound) -> None:
    first, again = await person.begin("a-key"), await person.begin("a-key")
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["id"] == again.json()["id"]
    other = await person.begin("a-key", name="Another name")
    assert (other.status_code, other.json()["code"]) == (409, "idempotency_conflict")
    assert len((await person.http.get(person.path("runs"))).json()["runs"]) == 1
    await sound()


async def test_a_run_is_submitted_once_and_takes_no_more_photos(person: Person, sound: Sound) -> None:
    run = await person.accepted(good(12))
    assert (await person.submit(run)).status_code == 202
    late = await person.post(run, good(13)[12:])
    assert (late.status_code, late.json()["code"], late.json()["run_id"]) == (409, "not_a_draft", run)
    assert (await person.ended(run))["status"] == "ready"
    assert (await person.submit(run)).status_code == 202
    canceled = await person.cancel(run)
    assert (canceled.status_code, canceled.json()["code"]) == (409, "run_over")
    history = await sound()
    assert len([fact for fact in history.facts if fact.run == run and fact.kind == "run.accepted"]) == 1
