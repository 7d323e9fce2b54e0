"""What one caller may take: requests, open runs, long requests at once, time; the next one is told when to come."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.ingest.world import JPEG, OTHER_AUTH, World, a_world, about, counted, photo

from lifemask.contracts import RunFailed, new_id
from lifemask.ingest.http.delay import Delay
from lifemask.ingest.http.paces import Paces
from lifemask.ingest.http.places import Places
from lifemask.ingest.http.problems import Problem
from lifemask.ingest.http.rates import BURST, Rates

RUNS = "/v1/users/u1/runs"
Make = Callable[[str], Awaitable[str]]


def refusals(rates: Rates, caller: str, times: int) -> list[str]:
    """Of so many requests at once, what those that are refused are told to wait."""
    told = []
    for _ in range(times):
        try:
            rates.count(caller)
        except Problem as problem:
            told.append(problem.headers["Retry-After"])
    return told


def test_a_bucket_fills_again_and_everybody_has_their_own() -> None:
    now = 0.0
    rates = Rates(10, lambda: now)
    full = int(10 * BURST)
    assert refusals(rates, "ann", full) == []
    assert refusals(rates, "ann", 1000) == ["1"] * 1000, "a refusal costs nothing more"
    assert refusals(rates, "bob", full) == []
    now = 0.5
    assert len(refusals(rates, "ann", 10)) == 5
    now = 1000.0
    assert len(refusals(rates, "ann", full + 5)) == 5


def test_a_slow_rate_says_how_long_to_wait() -> None:
    rates = Rates(0.1, lambda: 0.0)
    assert refusals(rates, "ann", 3) == ["10", "10"]


async def test_a_refusal_is_held_back_but_not_of_everybody_at_once() -> None:
    delay, began = Delay(0.05), time.monotonic()
    await delay.wait()
    assert time.monotonic() - began >= 0.05
    held = [asyncio.create_task(delay.wait()) for _ in range(300)]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert sum(not task.done() for task in held) == 200
    await asyncio.gather(*held)


async def test_what_is_too_much_and_who_is_unknown_is_held_back(database: Make, tmp_path: Path) -> None:
    async with a_world(await database("ingest"), tmp_path, user_rate=0.1) as world:
        known, unknown = counted(world)

        async def asked(path: str, **more: Any) -> tuple[int, int, int]:
            status = (await world.http.get(path, **more)).status_code
            return status, known.waits, unknown.waits

        assert await asked(f"{RUNS}/{new_id()}") == (404, 0, 0)
        assert await asked(RUNS) == (429, 1, 0)
        assert await asked(RUNS, headers={"Authorization": "Bearer wrong"}) == (401, 1, 1)
        assert await asked("/v1/nothing", headers={"Authorization": ""}) == (404, 1, 2)
        assert await asked("/v1/callbacks/replicate/x") == (405, 1, 3)


async def test_a_flooding_user_is_refused_and_nobody_else_is(world: World) -> None:
    state = world.service.app.state
    state.user_rates, state.app_rates = Rates(1, lambda: 0.0), Rates(2.5, lambda: 0.0)
    answers = [await world.http.get(RUNS) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [200] * 4 + [429] * 2
    refused = answers[-1]
    assert (refused.headers["content-type"], refused.headers["retry-after"]) == ("application/problem+json", "1")
    assert (refused.json()["code"], bool(refused.json()["next_step"])) == ("too_many_requests", True)
    others = [(await world.http.get(f"/v1/users/u{n}/runs")).status_code for n in range(2, 10)]
    assert others == [200] * 6 + [429] * 2, "all users of one app together, and what was refused took nothing from them"
    assert (await world.http.get(RUNS, headers=OTHER_AUTH)).status_code == 200


async def test_a_user_may_have_so_many_open_runs(database: Make, tmp_path: Path) -> None:
    async with a_world(await database("ingest"), tmp_path, open_runs=2) as world:
        first = (await world.http.post(RUNS, json={"name": "A"}, headers={"Idempotency-Key": "a"})).json()["id"]
        second = await world.draft()
        answer = await world.http.post(RUNS, json={"name": "B"})
        assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (429, "too_many_runs", 2)
        assert answer.headers["retry-after"]
        again = await world.http.post(RUNS, json={"name": "A"}, headers={"Idempotency-Key": "a"})
        assert (again.status_code, again.json()["id"]) == (200, first)
        assert await world.draft("u2")
        assert (await world.http.post(f"{RUNS}/{second}/cancel")).status_code == 202
        assert await world.draft()


async def test_a_run_that_is_started_again_counts_as_well(database: Make, tmp_path: Path) -> None:
    async with a_world(await database("ingest"), tmp_path, open_runs=1) as world:
        run = await world.accepted()
        await world.receive(about(run, RunFailed))
        await world.draft()
        answer = await world.http.post(f"{RUNS}/{run}/restart")
        assert (answer.status_code, answer.json()["code"]) == (429, "too_many_runs")


def test_places_are_shared() -> None:
    places = Places(3, each=2)
    places.take("ann")
    with places.one("ann"):
        with pytest.raises(Problem):
            places.take("ann")
        places.take("bob")
        told = []
        for _ in range(5):
            with pytest.raises(Problem) as full:
                places.take("cas")
            told.append(full.value.headers["Retry-After"])
        assert told == ["3", "4", "5", "2", "3"]
    places.take("ann")
    for owner in ("ann", "ann", "bob"):
        places.leave(owner)
    assert (places._free, dict(places._taken)) == (3, {})


def test_a_few_photos_never_wait_and_many_come_at_a_pace() -> None:
    now = 100.0
    paces = Paces(10, lambda: now)
    assert [paces.delay("ann", 10) for _ in range(4)] == [0, 0, 1.0, 2.0]
    assert paces.delay("bob", 20) == 0
    now = 101.0
    assert paces.delay("ann", 10) == 2.0
    now = 1000.0
    assert [paces.delay("ann", 20), paces.delay("ann", 10)] == [0, 1.0]


async def test_uploads_of_one_user_are_taken_at_a_pace(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[tuple[str, int]] = []

    def delay(_self: Paces, owner: str, count: int) -> float:
        taken.append((owner, count))
        return 0.0

    monkeypatch.setattr(Paces, "delay", delay)
    content = photo(1)
    assert await world.upload(await world.draft(), ("a.jpg", content))
    assert {owner for owner, _ in taken} == {"acme.u1"}
    assert sum(count for _, count in taken) > len(content)


async def test_uploads_and_streams_of_one_user_are_bounded(database: Make, tmp_path: Path) -> None:
    async with a_world(await database("ingest"), tmp_path, user_uploads=1, user_streams=1) as world:
        run, other = await world.draft(), await world.draft("u2")
        sent, go_on = asyncio.Event(), asyncio.Event()

        async def slow() -> AsyncIterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="p"; filename="a.jpg"\r\n\r\n' + photo(1)
            sent.set()
            await go_on.wait()
            yield b"\r\n--b--\r\n"

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        upload = asyncio.create_task(world.http.post(f"{RUNS}/{run}/photos", content=slow(), headers=headers))
        await sent.wait()
        second = await world.http.post(f"{RUNS}/{run}/photos", files={"a": ("a.jpg", JPEG)})
        assert (second.status_code, second.json()["code"]) == (429, "too_many_requests")
        assert await world.upload(other, ("a.jpg", photo(2)), user="u2")
        go_on.set()
        assert (await upload).status_code == 200
        assert await world.upload(run, ("b.jpg", photo(3)))
        await streams_are_bounded(world, run)


async def streams_are_bounded(world: World, run: str) -> None:
    places: Places = world.service.app.state.streams
    async with AsyncExitStack() as held:
        places.take("acme.u1")
        held.callback(places.leave, "acme.u1")
        answer = await world.http.get(f"{RUNS}/{run}/events")
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "2")
    await world.http.post(f"{RUNS}/{run}/cancel")
    assert (await world.http.get(f"{RUNS}/{run}/events")).status_code == 200
    assert not places._taken, "a stream gives its place back"


async def test_a_sender_that_drips_is_let_go(database: Make, tmp_path: Path) -> None:
    async with a_world(await database("ingest"), tmp_path, upload_idle=0.05, upload_rate=10_000_000) as world:
        run = await world.draft()

        async def drip() -> AsyncIterator[bytes]:
            yield b'--b\r\nContent-Disposition: form-data; name="p"; filename="a.jpg"\r\n\r\n'
            while True:
                await asyncio.sleep(0.01)  # never silent for long enough
                yield b"x"

        headers = {"Content-Type": "multipart/form-data; boundary=b"}
        answer = await world.http.post(f"{RUNS}/{run}/photos", content=drip(), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (408, "request_timeout")
