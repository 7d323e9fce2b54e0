"""A journey over a network that breaks, and what is taken from a folder."""

import asyncio
import io
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from tests.cli.api import KEY, Api, FakeRun

from lifemask.cli.client import Api as Client
from lifemask.cli.journey import Journey, batches, photos_in
from lifemask.cli.out import Out
from lifemask.cli.stops import WrongUsage
from lifemask.cli.training import train_photos
from lifemask.cli.views import Photo, Run, Uploaded


class BreakingNetwork(httpx.AsyncBaseTransport):
    """Loses every third look at the run."""

    def __init__(self) -> None:
        self.lost = 0
        self._looks = 0
        self._real = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and not request.url.path.endswith(("photos", "events")):
            self._looks += 1
            if self._looks % 3 == 0:
                self.lost += 1
                raise httpx.ConnectError("lost", request=request)
        return await self._real.handle_async_request(request)

    async def aclose(self) -> None:
        await self._real.aclose()


async def test_an_api_that_is_away_for_a_moment_is_waited_for(api: Api, folder: Callable[..., Path]) -> None:
    photos = photos_in(folder(*(f"good-{number:02}.jpg" for number in range(12))))
    network = BreakingNetwork()
    async with Client(api.url, KEY, transport=network) as client:
        out = Out(as_json=True, stream=io.StringIO())
        run = await train_photos(client, "me", photos, {"name": "Portrait"}, out)
    assert run.status == "ready"
    assert network.lost


class Nowhere:
    """An API whose run never changes."""

    async def run(self, _user: str, _run: str) -> Run:
        return Run.model_validate(Api().view(FakeRun("r", {"name": "Portrait"})))

    async def photos(self, _user: str, _run: str) -> list[Photo]:
        return []


class Silent:
    """A watcher that says nothing."""

    def opened(self, run: Run, photos: int) -> None: ...

    def uploaded(self, result: Uploaded) -> None: ...

    def judged(self, photo: Photo) -> None: ...

    def moved(self, run: Run) -> None: ...


@pytest.mark.parametrize("steps", range(6))
async def test_a_watch_ends_when_it_is_told_so_in_the_moment_of_a_change(steps: int) -> None:
    journey = Journey(Nowhere(), "me", Silent())  # type: ignore[arg-type]  # all of the API that a look needs
    watching = asyncio.create_task(journey._until(lambda _: False))
    await asyncio.sleep(0.01)
    journey._changed.set()
    for _ in range(steps):
        await asyncio.sleep(0)
    watching.cancel()
    done, _ = await asyncio.wait([watching], timeout=1)
    assert done


def test_a_folder_is_read_by_its_pictures(folder: Callable[..., Path]) -> None:
    place = folder("b.JPG", "a.png", ".hidden.jpg", "notes.txt")
    (place / "more.jpg").mkdir()
    assert [path.name for path in photos_in(place)] == ["a.png", "b.JPG"]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongUsage):
        photos_in(tmp_path)


def test_calls_hold_few_files_and_bytes(tmp_path: Path) -> None:
    paths = []
    for number, size in enumerate((1, 1, 1, 1, 1, 15_000_000, 9_000_000, 30_000_000, 1)):
        paths.append(tmp_path / f"{number}.jpg")
        with paths[-1].open("wb") as file:
            file.truncate(size)
    sizes = [[path.stat().st_size for path in batch] for batch in batches(paths)]
    assert sizes == [[1, 1, 1, 1], [1, 15_000_000], [9_000_000], [30_000_000], [1]]
