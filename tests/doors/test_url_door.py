"""Photos fetched from URLs: side by side, each for itself, and never from a network of ours."""

import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route
from tests.ingest.world import World, a_world, photo, served

from lifemask.contracts import RunAccepted
from lifemask.ingest.adapters.web import GuardedWeb
from lifemask.ingest.domain.addresses import is_public
from lifemask.ingest.ports import AddressRefused, FetchFailed

Json = dict[str, Any]


@dataclass
class Site:
    """Somebody's web server. `trouble` holds answers that come before the photo."""

    url: str = ""
    asked: list[str] = field(default_factory=list)
    trouble: list[int] = field(default_factory=list)
    hosts: set[str] = field(default_factory=set)

    def app(self) -> Starlette:
        async def give(request: Request) -> Response:
            self.asked.append(request.url.path)
            self.hosts.add(request.headers["host"])
            if self.trouble:
                return Response(status_code=self.trouble.pop(0))
            return Response(photo(int(request.path_params["number"])), media_type="image/jpeg")

        async def send_on(request: Request) -> Response:
            return RedirectResponse(request.query_params["to"])

        async def huge(_: Request) -> Response:
            return Response(b"x" * 10_000_001)

        async def packed(_: Request) -> Response:
            return Response(photo(1), headers={"content-encoding": "gzip"})

        return Starlette(
            routes=[
                Route("/{number:int}.jpg", give),
                Route("/on", send_on),
                Route("/huge", huge),
                Route("/packed", packed),
            ]
        )


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    async with served(site.app()) as url:
        site.url = url
        yield site


@pytest.fixture
async def world(database: Callable[[str], Awaitable[str]], tmp_path: Path, site: Site) -> AsyncIterator[World]:
    async with AsyncExitStack() as stack:
        host = site.url.removeprefix("http://")
        yield await stack.enter_async_context(a_world(await database("ingest"), tmp_path, url_door_allow=[host]))


async def fetched(world: World, run: str, *urls: str) -> list[Json]:
    answer = await world.http.post(f"/v1/users/u1/runs/{run}/photos", json={"urls": urls})
    assert answer.status_code == 200, answer.text
    return cast("list[Json]", answer.json()["results"])


async def test_urls_become_a_sealed_run(world: World, site: Site) -> None:
    run = await world.draft()
    results = await fetched(world, run, *(f"{site.url}/{number}.jpg?token=secret" for number in range(12)))
    assert [result["status"] for result in results] == ["received"] * 12
    assert [result["name"] for result in results] == [f"{number}.jpg" for number in range(12)]
    assert site.hosts == {site.url.removeprefix("http://")}
    assert (await world.http.post(f"/v1/users/u1/runs/{run}/submit")).status_code == 202
    (accepted,) = [fact for fact in await world.facts() if isinstance(fact, RunAccepted)]
    assert (accepted.photos, accepted.door) == (12, "url")


async def test_one_failing_url_stops_no_other_and_leaves_nothing(world: World, site: Site) -> None:
    run = await world.draft()
    results = await fetched(
        world,
        run,
        f"{site.url}/1.jpg",
        f"{site.url}/nothing",
        f"{site.url}/huge",
        f"{site.url}/packed",
        "https://127.0.0.1/a.jpg",
        f"{site.url}/1.jpg",
        "nonsense",
    )
    codes = [result.get("code") for result in results]
    assert codes[1:5] == ["url_failed", "file_too_large", "url_failed", "url_refused"]
    assert sorted(map(str, (codes[0], codes[5]))) == ["None", "same_file"]
    assert codes[6] == "url_refused"
    assert len([key for key in world.objects if "/original/" in key]) == 1


async def test_passing_trouble_is_tried_again(world: World, site: Site) -> None:
    site.trouble = [503, 429]
    (result,) = await fetched(world, await world.draft(), f"{site.url}/1.jpg")
    assert (result["status"], len(site.asked)) == ("received", 3)


async def test_redirects_are_followed_three_times_and_checked(world: World, site: Site) -> None:
    run = await world.draft()

    def on(to: str, times: int) -> str:
        return on(f"{site.url}/on?to={quote(to, safe='')}", times - 1) if times else to

    results = await fetched(
        world,
        run,
        on(f"{site.url}/1.jpg", 3),
        on(f"{site.url}/2.jpg", 4),
        on("https://127.0.0.1/3.jpg", 1),
        on("http://169.254.169.254/latest", 1),
        on("file:///etc/passwd", 1),
    )
    assert [result.get("code") for result in results] == [None, "url_failed", *["url_refused"] * 3]


async def test_a_server_that_is_not_there_has_failed(world: World, site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    async with AsyncExitStack() as stack:
        stack.push_async_callback((web := GuardedWeb([f"127.0.0.1:{port}"])).aclose)
        with pytest.raises(Exception, match="passing"):
            _ = [chunk async for chunk in web.read(f"http://127.0.0.1:{port}/a.jpg")]


async def test_a_file_that_takes_too_long_has_failed(site: Site) -> None:
    web = GuardedWeb([site.url.removeprefix("http://")], seconds=-1)
    with pytest.raises(FetchFailed, match="final"):
        _ = [chunk async for chunk in web.read(f"{site.url}/1.jpg")]
    await web.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "https://localhost/a.jpg",
        "https://127.1/a.jpg",
        "https://2130706433/a.jpg",
        "https://0.0.0.0/a.jpg",
        "https://10.0.0.1/a.jpg",
        "https://172.16.0.1/a.jpg",
        "https://192.168.1.1/a.jpg",
        "https://100.64.0.1/a.jpg",
        "https://169.254.169.254/latest/meta-data",
        "https://224.0.0.1/a.jpg",
        "https://240.0.0.1/a.jpg",
        "https://[::1]/a.jpg",
        "https://[::ffff:127.0.0.1]/a.jpg",
        "https://[fe80::1]/a.jpg",
        "https://[fd00::1]/a.jpg",
        "https://[64:ff9b::7f00:1]/a.jpg",
        "https://[2002:7f00:1::]/a.jpg",
        "http://93.184.216.34/a.jpg",
        "https://93.184.216.34:8443/a.jpg",
        "https://me:secret@93.184.216.34/a.jpg",
        "ftp://93.184.216.34/a.jpg",
        "file:///etc/passwd",
        "//93.184.216.34/a.jpg",
        "https:///a.jpg",
        "https://[::1",
    ],
)
async def test_no_network_of_ours_is_asked(url: str) -> None:
    web = GuardedWeb()
    with pytest.raises(AddressRefused):
        _ = [chunk async for chunk in web.read(url)]
    await web.aclose()


def test_public_addresses_are_told_from_ours() -> None:
    assert all(map(is_public, ("93.184.216.34", "1.1.1.1", "2606:4700:4700::1111")))
    ours = ("", "host", "::", "::7f00:1", "2001:0:1::", "64:ff9b:1::1", "fec0::1", "ff02::1", "198.18.0.1", "192.0.2.1")
    assert not any(map(is_public, ours))


@pytest.mark.parametrize(
    "body", [{}, {"urls": []}, {"urls": [1]}, {"urls": ["x" * 2049]}, {"urls": ["https://a"], "more": 1}]
)
async def test_a_list_that_is_none_is_refused(world: World, body: Json) -> None:
    answer = await world.http.post(f"/v1/users/u1/runs/{await world.draft()}/photos", json=body)
    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_request")


async def test_more_urls_than_photos_are_refused(world: World, site: Site) -> None:
    urls = [f"{site.url}/{number}.jpg" for number in range(101)]
    answer = await world.http.post(f"/v1/users/u1/runs/{await world.draft()}/photos", json={"urls": urls})
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_photos")
    assert site.asked == []


async def test_a_run_that_is_no_draft_fetches_nothing(world: World, site: Site) -> None:
    run = await world.accepted()
    answer = await world.http.post(f"/v1/users/u1/runs/{run}/photos", json={"urls": [f"{site.url}/1.jpg"]})
    assert (answer.status_code, site.asked) == (409, [])
