"""The live stream: the same sequence from wherever it is taken up, and it ends with the run."""

import asyncio
import json
from typing import Any

import httpx
from tests.ingest.world import AUTH, World, about, photo, served, until

from lifemask.contracts import (
    DatasetSealed,
    ModelReady,
    ModelRevoked,
    NotificationDelivered,
    PhotoJudged,
    PhotosValidated,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
)

RUNS = "/v1/users/u1/runs"
Event = dict[str, Any]


def read(text: str) -> list[Event]:
    events = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if line and not line.startswith(":"))
        if "data" in fields:
            events.append({"id": int(fields["id"]), "event": fields["event"], **json.loads(fields["data"])})
    return events


async def finished(world: World) -> str:
    """A whole run, its facts in an order across topics that Kafka allows."""
    run, photos = await world.filled()
    await world.receive(*(about(run, PhotoJudged, photo_id=photo, usable=True, verdicts=()) for photo in photos))
    await world.http.post(f"{RUNS}/{run}/submit")
    await world.echo()
    await world.receive(
        about(run, PhotosValidated, received=12, usable=12),
        about(run, DatasetSealed),
        about(run, TrainingStarted),
        about(run, TrainingProgressed, percent=50, step=500),
        about(run, TrainingProgressed, percent=40, step=400),
        about(run, ModelReady),
        about(run, TrainingSucceeded),
        about(run, NotificationDelivered),
    )
    return run


async def test_the_whole_story_is_told_once_and_can_be_resumed(world: World) -> None:
    run = await finished(world)
    answer = await world.http.get(f"{RUNS}/{run}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = read(answer.text)
    assert [event["id"] for event in events] == list(range(1, len(events) + 1))
    statuses = [event["run"]["status"] for event in events]
    assert list(dict.fromkeys(statuses)) == [
        "draft",
        "accepted",
        "validating",
        "packaging",
        "training",
        "ready",
    ]
    progress = [event["run"]["progress"] for event in events]
    assert progress == sorted(progress)
    assert progress[-1] == 100
    assert [event["event"] for event in events].count("photo") == 24
    assert events[1]["photo"]["status"] == "pending"
    assert "metadata" not in events[0]["run"]
    for last in (0, 5, len(events) - 1):
        resumed = await world.http.get(f"{RUNS}/{run}/events", headers={"Last-Event-ID": str(last)})
        assert read(resumed.text) == events[last:]
    over = await world.http.get(f"{RUNS}/{run}/events", headers={"Last-Event-ID": str(len(events))})
    assert (over.status_code, over.content) == (204, b"")


async def test_the_end_shows_everything(world: World) -> None:
    run = await finished(world)
    view = await world.view(run)
    assert (view["status"], view["stage"], view["progress"], view["whose_move"]) == ("ready", "notify", 100, "nobody")
    assert view["cost"] == {"currency": "USD", "estimated": "1.04", "billed": "1.04"}
    assert view["model"]["version"] == "1-3"
    assert view["timings"]["seconds"] > 0
    assert [(a["stage"], a["result"], a["number"]) for a in view["attempts"]] == [
        ("train", "succeeded", 1),
        ("notify", "delivered", 1),
    ]
    user = (await world.http.get("/v1/users/u1")).json()
    assert (user["model_status"], user["model"]["run_id"]) == ("ready", run)


async def test_what_happens_comes_live(world: World) -> None:
    run = await world.draft()
    seen: list[Event] = []

    async def listen(url: str) -> None:
        async with (
            httpx.AsyncClient(base_url=url, headers=AUTH) as http,
            http.stream("GET", f"{RUNS}/{run}/events", headers={"Last-Event-ID": "nonsense"}) as answer,
        ):
            text = ""
            async for piece in answer.aiter_text():
                text += piece
                seen[:] = read(text)

    async with served(world.service.app) as url, asyncio.timeout(10):
        listening = asyncio.create_task(listen(url))
        await until(lambda: len(seen) == 1)
        await world.upload(run, ("a.jpg", photo(1)))
        await until(lambda: len(seen) == 2)
        assert seen[1]["photo"]["status"] == "pending"
        await world.http.post(f"{RUNS}/{run}/cancel")
        await listening
    assert [event["run"]["status"] for event in seen] == ["draft", "draft", "canceled"]


async def test_a_fact_that_comes_twice_changes_nothing(world: World) -> None:
    run = await finished(world)
    before = await world.view(run)
    changes = await world.rows("select seq from change")
    await world.receive(
        about(run, PhotosValidated, received=12, usable=12),
        about(run, TrainingProgressed, percent=50, step=500),
        about(run, ModelReady),
    )
    assert await world.view(run) == before
    assert await world.rows("select seq from change") == changes


async def test_the_stream_tells_that_a_model_was_withdrawn(world: World) -> None:
    run = await finished(world)
    before = read((await world.http.get(f"{RUNS}/{run}/events")).text)
    await world.receive(about(run, ModelRevoked), about(run, ModelRevoked))
    last = before[-1]["id"]
    *_, told = read((await world.http.get(f"{RUNS}/{run}/events", headers={"Last-Event-ID": str(last)})).text)
    assert told["event"] == "run"
    assert told["run"]["model"]["revoked"] == "The owner asked for it."
    assert told["run"]["summary"] == "The model was withdrawn: The owner asked for it."
    assert read((await world.http.get(f"{RUNS}/{run}/events")).text) == before
    over = await world.http.get(f"{RUNS}/{run}/events", headers={"Last-Event-ID": str(told["id"])})
    assert (over.status_code, over.content) == (204, b"")
