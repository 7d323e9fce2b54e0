"""A run from photos to a published model, through six processes, seen from outside."""

import asyncio
import hashlib
import json
from datetime import UTC, datetime, timedelta

import httpx
from standardwebhooks.webhooks import Webhook
from tests.system.conftest import Apps, Ready, a_person
from tests.system.history import Published, trace_of
from tests.system.listener import Listener
from tests.system.outside import Outside
from tests.system.photos import good
from tests.system.reading import Sound
from tests.system.stack import Stack
from tests.system.waiting import eventually

from lifemask.objects.tokens import Tokens, load_secret


async def test_photos_become_a_model(ready: Ready, outside: Outside, sound: Sound) -> None:
    view = await ready.person.view(ready.run)
    assert (view["status"], view["progress"], view["whose_move"]) == ("ready", 100, "nobody"), view
    history = await sound()

    training = await outside.training(view["training"]["id"])
    assert training["status"] == "succeeded"
    assert training["images"] == view["photos"]["usable"] == 13
    assert training["cost_usd"] == "1.0400500"
    assert view["cost"] == {"currency": "USD", "estimated": "1.0401", "billed": "1.0401"}

    digest = view["model"]["weights_sha256"]
    assert history.published[view["model"]["id"]] == Published(stated=digest, store=digest, hub=digest)
    kinds = [fact.kind for fact in history.facts if fact.run == ready.run]
    assert kinds.count("photo.received") == kinds.count("photo.judged") == 13
    for kind in ("run.accepted", "photos.validated", "dataset.sealed", "training.started", "training.succeeded"):
        assert kinds.count(kind) == 1, kind
    assert kinds.count("model.ready") == 1
    assert kinds.count("notification.delivered") == 2


async def test_the_person_gets_one_mail_and_the_app_one_signed_webhook(
    ready: Ready, outside: Outside, sound: Sound, apps: Apps, listener: Listener
) -> None:
    await sound()
    view = await ready.person.view(ready.run)
    (mail,) = await outside.mails(ready.person.email)
    assert "Anna" in mail["subject"]
    assert view["model"]["id"] in mail["text"]
    ((headers, body),) = [(headers, body) for headers, body in listener.hooks if ready.run in body.decode()]
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)  # `verify` would refuse it five minutes later
    assert headers["webhook-signature"] == Webhook(apps.webhook_secret).sign(headers["webhook-id"], at, body.decode())
    assert json.loads(body)["type"] == "lifemask.model.ready.v1"


async def test_one_run_is_one_trace_with_one_root(ready: Ready, listener: Listener, sound: Sound) -> None:
    async def roots() -> list[str]:
        return [span.name for span in listener.spans_of(trace_of(ready.run)) if not span.parent_span_id]

    assert await eventually(roots) == ["run"]
    await sound()
    assert len(listener.spans_of(trace_of(ready.run))) > 13


async def test_a_stream_goes_on_where_it_was_left(ready: Ready, sound: Sound) -> None:
    whole = await ready.person.events(ready.run)
    assert [int(event["id"]) for event in whole] == list(range(1, len(whole) + 1))
    assert json.loads(whole[-1]["data"])["run"]["status"] == "ready" or len(whole) > 30
    for place in (1, len(whole) // 2, len(whole) - 3):
        assert await ready.person.events(ready.run, after=whole[place - 1]["id"]) == whole[place:]
    assert await ready.person.events(ready.run, after=whole[-1]["id"]) == []
    await sound()


async def test_a_link_gives_the_weights_to_whoever_holds_it_and_to_nobody_else(
    ready: Ready, stack: Stack, http: httpx.AsyncClient, sound: Sound
) -> None:
    model = (await ready.person.view(ready.run))["model"]
    link = (await http.get(ready.person.path("models", model["id"]))).json()["weights_url"]
    async with httpx.AsyncClient(trust_env=False) as anybody:
        whole = await anybody.get(link)
        assert hashlib.sha256(whole.content).hexdigest() == model["weights_sha256"]
        part = await anybody.get(link, headers={"Range": "bytes=10-19"})
        assert (part.status_code, part.content) == (206, whole.content[10:20])
        token = link.rsplit("/", 1)[1]
        forged = [token[:-2] + ("AA" if token[-2:] != "AA" else "BB"), token.swapcase(), "x"]
        for other in forged:
            answer = await anybody.get(f"{stack.url}/v1/objects/{other}")
            assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    history = await sound()
    (fact,) = [fact for fact in history.facts if fact.kind == "model.ready" and fact.run == ready.run]
    tokens, past = Tokens(load_secret(stack.data / "keys")), datetime.now(UTC) - timedelta(seconds=1)
    over = await http.get(f"/v1/objects/{tokens.mint(fact.body['store_key'], 'weights', past)}")
    assert (over.status_code, over.json()["code"]) == (410, "link_expired")


async def test_two_people_with_the_same_file_names_share_nothing(
    http: httpx.AsyncClient, stack: Stack, outside: Outside, sound: Sound
) -> None:
    one, other = a_person(http), a_person(http)
    runs = await asyncio.gather(one.accepted(good(12)), other.accepted(good(12, seed=2)))
    views = await asyncio.gather(one.ended(runs[0]), other.ended(runs[1]))
    assert [view["status"] for view in views] == ["ready", "ready"]

    history = await sound()
    mine, theirs = (history.datasets[person.bus_id, run] for person, run in zip((one, other), runs, strict=True))
    assert not isinstance(mine, str)
    assert not isinstance(theirs, str)
    assert not mine.clean & theirs.clean
    sent = {hashlib.sha256(photo.data).hexdigest() for photo in good(12)}
    assert history.photos[one.bus_id, runs[0]] == mine.originals == sent
    for person, run in zip((one, other), runs, strict=True):
        keys = [key for key in history.objects if run in key]
        assert keys
        assert all(key.startswith(f"users/{person.bus_id}/runs/{run}/") for key in keys)


async def test_a_live_stream_tells_everything_while_it_happens(
    http: httpx.AsyncClient, outside: Outside, sound: Sound
) -> None:
    person = a_person(http)
    await person.introduce()
    run = await person.draft()
    live = asyncio.create_task(person.events(run))
    await person.send(run, good(12))
    await person.submit(run)
    await person.ended(run)
    seen = await live
    await sound()
    assert (await person.events(run))[: len(seen)] == seen
    statuses = [json.loads(event["data"])["run"]["status"] for event in seen]
    assert statuses[-1] == "ready"
    order = ["draft", "accepted", "validating", "packaging", "training", "publishing", "ready"]
    assert sorted(statuses, key=order.index) == statuses
