"""Packing an archive from store to store, against the same client copying the same photos into one object.

`python -m bench.archive`. Local store; both sides take turns in one process; the fastest round of each counts, because
it is the one that other work of the machine disturbed least. Goals: at least 0.8 of the copy's speed, and the same
peak memory for 50 MB and for 2 GB (each packed in a process of its own).
"""

import asyncio
import hashlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from bench.row import Row, measure

from lifemask.contracts import new_id
from lifemask.objects import keys
from lifemask.objects.local import LocalObjects
from lifemask.objects.port import ObjectStore
from lifemask.packager.adapters.archive import ZipArchive
from lifemask.packager.domain import CleanPhoto, Member, find_problem, plan_archive

GOAL = 0.8
FLAT = 1.25
"""Most that the peak may grow from the small to the large archive: what the allocator does with its own leftovers."""
ROUNDS = 15
PHOTO = 3_600_000
"""Bytes of a photo, as in the measurements that chose the method."""
SMALL, LARGE = 50_000_000, 2_000_000_000
STATEMENT = "ab12cd34" * 8


class Dataset:
    """A run with as many photos as make `size` bytes, of which `distinct` are stored and the others are the same ones
    again: a large archive needs little of the disk.
    """

    def __init__(self, objects: ObjectStore, size: int, distinct: int) -> None:
        self.objects = objects
        self.user, self.run = "bench.user", new_id()
        self.photos = max(12, size // PHOTO)
        self.distinct = distinct

    async def lay_out(self) -> tuple[Member, ...]:
        stored = [await self._photo() for _ in range(self.distinct)]
        return plan_archive([stored[number % self.distinct] for number in range(self.photos)], STATEMENT)

    async def _photo(self) -> CleanPhoto:
        photo, content = new_id(), os.urandom(PHOTO)
        await self.objects.put(keys.clean(self.user, self.run, photo), content)
        return CleanPhoto(photo, hashlib.sha256(content).hexdigest(), PHOTO)

    async def copy(self, plan: tuple[Member, ...]) -> None:
        """The floor: nothing is hashed, nothing is packed."""
        async with self.objects.writing(keys.weights(self.user, self.run, 1)) as writer:
            for member in plan:
                async for chunk in self.objects.read(keys.clean(self.user, self.run, member.photo_id)):
                    await writer.write(chunk)


async def seconds(work: Callable[[], Awaitable[object]]) -> float:
    start = time.perf_counter()
    await work()
    return time.perf_counter() - start


async def speed() -> Row:
    """20 photos of 3.6 MB: MB/s of the copy, of packing, and of reading back."""
    with tempfile.TemporaryDirectory(prefix="lm-bench-") as folder:
        objects = LocalObjects(Path(folder))
        dataset = Dataset(objects, 20 * PHOTO, distinct=20)
        plan = await dataset.lay_out()
        archive = ZipArchive(objects)
        taken: dict[str, list[float]] = {"copy": [], "pack": [], "read back": []}
        for _ in range(ROUNDS):
            taken["copy"].append(await seconds(lambda: dataset.copy(plan)))
            taken["pack"].append(await seconds(lambda: archive.write(dataset.user, dataset.run, plan)))
            taken["read back"].append(await seconds(lambda: archive.inspect(dataset.user, dataset.run, plan)))
    rates = {name: 20 * PHOTO / 1e6 / min(times) for name, times in taken.items()}
    return Row(
        what="archive, store to store",
        measured=round(rates["pack"]),
        unit="MB/s",
        floor=round(rates["copy"]),
        against="the same client copying",
        least=GOAL,
        facts={"read_back_mb_per_s": round(rates["read back"])},
    )


async def pack(size: int) -> None:
    """Packs and reads back one archive, then prints this process's peak memory in bytes."""
    with tempfile.TemporaryDirectory(prefix="lm-bench-") as folder:
        dataset = Dataset(objects := LocalObjects(Path(folder)), size, distinct=4)
        plan, archive = await dataset.lay_out(), ZipArchive(objects)
        assert await archive.write(dataset.user, dataset.run, plan) is None
        assert find_problem(plan, await archive.inspect(dataset.user, dataset.run, plan)) is None
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024))


async def peak(size: int) -> int:
    """Peak memory in bytes of a process that packs an archive of `size` bytes."""
    command = (sys.executable, "-m", "bench.archive", str(size))
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await process.communicate()
    if process.returncode:
        raise RuntimeError("packing failed")
    return int(printed)


async def memory() -> Row:
    """Peak memory at both sizes."""
    small, large = await peak(SMALL), await peak(LARGE)
    return Row(
        what=f"archive of {LARGE // 10**9} GB, peak memory",
        measured=round(large / 1e6),
        unit="MB",
        floor=round(small / 1e6),
        against=f"of {SMALL // 10**6} MB",
        most=FLAT,
    )


async def main() -> list[Row]:
    """Speed against the floor, and memory of a small and a large archive."""
    return [await speed(), await memory()]


if __name__ == "__main__":
    if sys.argv[1:]:
        asyncio.run(pack(int(sys.argv[1])))
    else:
        measure(main)
