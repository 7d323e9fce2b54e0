"""From a folder of photos to a terminal fact, through the public API: upload, verdicts, submit, follow."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Protocol

from lifemask.cli.client import Api
from lifemask.cli.stops import Missing, WrongUsage
from lifemask.cli.views import Photo, Run, Uploaded
from lifemask.contracts.ids import new_id

PICTURES: Final = frozenset(
    {".jpg", ".jpeg", ".png", ".webp", ".heic", ".heif", ".avif", ".gif", ".bmp", ".tif", ".tiff"}
)
"""What is taken from a folder; whether a file is a photo that can be used is for the service to say."""

_BATCH: Final = (4, 20_000_000)
"""Files and bytes of one upload call: small enough that verdicts come while others are still on their way."""
_CALLS_AT_ONCE: Final = 3
_POLL: Final = 2.0
"""Seconds without news from the live stream after which we look by ourselves."""
_PATIENCE: Final = 60.0
"""Seconds for which an API that does not answer is waited for, once the run is begun: it may be starting again."""
_CALM: Final = 0.05
"""Seconds in which several news are answered by one look."""


class Watcher(Protocol):
    """Is told what happens, each thing once."""

    def opened(self, run: Run, photos: int) -> None:
        """The draft is there; so many files will be sent."""

    def uploaded(self, result: Uploaded) -> None:
        """One file was sent."""

    def judged(self, photo: Photo) -> None:
        """One photo's verdict came."""

    def moved(self, run: Run) -> None:
        """Something about the run changed."""


class Journey:
    """One run of one user. `unfit` collects, by file name, why photos cannot be used."""

    def __init__(self, api: Api, user: str, watcher: Watcher) -> None:
        self.unfit: dict[str, str] = {}
        self.run_id = ""
        self._api = api
        self._user = user
        self._watcher = watcher
        self._changed = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self._seen: Run | None = None
        self._verdicts: dict[str, Photo] = {}

    @asynccontextmanager
    async def draft(self, request: Mapping[str, Any], *, photos: int, run_id: str | None = None) -> AsyncIterator[Run]:
        """A new draft, or the one named; its live stream is read for as long as the block lasts."""
        if run_id:
            run = await self._api.run(self._user, run_id)
        else:
            run = await self._api.create_run(self._user, request, idempotency_key=new_id())
        self.run_id = run.id
        self._watcher.opened(run, photos)
        self._listening = asyncio.create_task(self._listen(), name="live stream")
        try:
            yield run
        finally:
            self._listening.cancel()
            await asyncio.gather(self._listening, return_exceptions=True)

    async def upload(self, photos: Sequence[Path]) -> Run:
        """Sends all and waits for every verdict."""
        room = asyncio.Semaphore(_CALLS_AT_ONCE)

        async def send(batch: Sequence[Path]) -> None:
            async with room:
                for result in await self._api.upload(self._user, self.run_id, batch):
                    if result.status == "refused":
                        self.unfit[result.name] = " ".join(filter(None, (result.sentence, result.next_step)))
                    self._watcher.uploaded(result)
            self._changed.set()

        async with _watching(self._until(lambda _: False)):
            await _all(send(batch) for batch in batches(photos))
        return await self._until(lambda run: run.photos.pending == 0)

    async def submit(self) -> Run:
        """Seals the set and follows the run to its terminal fact."""
        await self._api.submit(self._user, self.run_id)
        return await self._until(lambda run: run.is_over)

    async def _until(self, reached: Callable[[Run], bool]) -> Run:
        answered = time.monotonic()
        while True:
            self._changed.clear()
            try:
                run = await self._look()
            except Missing:
                if time.monotonic() - answered > _PATIENCE:
                    raise
                await asyncio.sleep(_POLL / 4)
                continue
            answered = time.monotonic()
            if reached(run):
                return run
            if self._listening and self._listening.done():
                self._listening.result()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_POLL):  # `wait_for` loses a cancellation that comes with the change
                    await self._changed.wait()
            await asyncio.sleep(_CALM)

    async def _look(self) -> Run:
        """The truth is read, whatever the stream said; so a lost or doubled event changes nothing."""
        run = await self._api.run(self._user, self.run_id)
        if self._seen is None or run.photos != self._seen.photos:
            for photo in await self._api.photos(self._user, self.run_id):
                self._judge(photo)
        if run != self._seen:
            self._watcher.moved(run)
        self._seen = run
        return run

    def _judge(self, photo: Photo) -> None:
        if photo.status == "pending" or self._verdicts.get(photo.id) == photo:
            return
        self._verdicts[photo.id] = photo
        name = photo.name or photo.id
        self.unfit.pop(name, None)
        if photo.status == "rejected":
            self.unfit[name] = photo.why
        self._watcher.judged(photo)

    async def _listen(self) -> None:
        async for _ in self._api.events(self._user, self.run_id):
            self._changed.set()


def photos_in(folder: Path) -> list[Path]:
    """The pictures in a folder, by name. Raises WrongUsage when there is none."""
    found = sorted(path for path in folder.iterdir() if path.suffix.lower() in PICTURES and path.is_file())
    visible = [path for path in found if not path.name.startswith(".")]
    if not visible:
        raise WrongUsage(f"There is no photo in {folder}.", "Name a folder with JPEG, PNG or WebP files.")
    return visible


def batches(photos: Sequence[Path]) -> Iterator[list[Path]]:
    """The photos in order, in calls of a few files and bytes each; a larger file goes alone."""
    most_files, most_bytes = _BATCH
    batch, size = list[Path](), 0
    for photo in photos:
        bytes_ = photo.stat().st_size
        if batch and (len(batch) == most_files or size + bytes_ > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(photo)
        size += bytes_
    if batch:
        yield batch


async def _all(works: Iterator[Any]) -> None:
    """Awaits all; the first failure ends the others and is raised as it is."""
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def _watching(work: Any) -> AsyncIterator[None]:
    """Runs `work` beside the block and ends it with the block."""
    task = asyncio.ensure_future(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
