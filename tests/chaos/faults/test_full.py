"""The disk of the store is full: nothing is said to be kept that is not, and work goes on when there is room.

A small file system of its own where this account may mount one, which is what production meets. Everywhere: a limit
on what the processes may write, which is set and lifted while they run.
"""

import os
import resource
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest
from tests.chaos.faults.house import House, house
from tests.chaos.faults.people import Street, street, when
from tests.system.app import View
from tests.system.conftest import a_person
from tests.system.photos import good
from tests.system.waiting import eventually

from lifemask.cli.plan import SERVICES

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(150)]

SIZE: Final = 32 * 2**20
LIMIT: Final = 4096
"""Bytes of a file. A log line is shorter, a photo is not; the logs are written by the supervisor, which is spared."""


@contextmanager
def mounted(place: Path) -> Iterator[bool]:
    """Whether a small file system lies at `place` now: not everybody may mount."""
    place.mkdir(parents=True, exist_ok=True)
    command = ("mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place))
    done = os.geteuid() == 0 and subprocess.run(command, check=False, capture_output=True).returncode == 0
    try:
        yield done
    finally:
        if done:
            subprocess.run(("umount", "--lazy", str(place)), check=True)


def may_mount() -> bool:
    place = Path(f"/tmp/lm-mount-{os.getpid()}")
    with mounted(place) as done:
        pass
    place.rmdir()
    return done


@pytest.fixture(params=["limit", "tmpfs"])
def small(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[House]:
    if request.param == "tmpfs" and not may_mount():
        pytest.skip("this account may mount no file system: the disk that is full is not played, only the limit is")
    (own := folder / request.param).mkdir()
    with house(own) as home, mounted(home.data / "objects") if request.param == "tmpfs" else _nothing():
        try:
            yield home
        finally:
            home.stop()


async def test_nothing_is_acknowledged_that_is_not_stored(small: House) -> None:
    async with street(small) as there:
        runs = await there.busy()
        late = a_person(there.http)
        draft = await late.draft()
        kept = set(await names_of(late.http, late.path("runs", draft, "photos")))
        with full(small) as is_disk:
            await refused(there, late.path("runs", draft, "photos"))
            assert set(await names_of(late.http, late.path("runs", draft, "photos"))) == kept == set()
            await when(lambda: small.said("stage_paused" if is_disk else "message_retried"))
            if is_disk:
                await paused(there)
        await late.introduce()
        await late.send(draft, good(12))
        assert (await late.submit(draft)).status_code == 202
        await there.all_ready({**runs, draft: late})
        assert not any(found["paused"] for found in (await there.readiness()).values())


async def paused(there: Street) -> None:
    """Some stage says that it waits for room, and no run was ended for it."""

    async def says() -> bool:
        return any(str(found.get("paused")).startswith("store_full") for found in (await there.readiness()).values())

    await eventually(says)


async def refused(there: Street, path: str) -> None:
    """An upload is refused with a code and the next step."""
    files = [("photos", (file.name, file.data)) for file in good(2)]
    answer = await there.http.post(path, files=files)
    results: list[View] = answer.json().get("results", []) if answer.status_code == 200 else []
    if answer.status_code != 200:
        assert answer.status_code >= 500, answer.text
        assert answer.json()["code"], answer.text
        assert answer.json()["next_step"], answer.text
    assert not [each for each in results if each["status"] == "received"], answer.text


async def names_of(http: object, path: str) -> list[str]:
    import httpx

    assert isinstance(http, httpx.AsyncClient)
    return [photo["name"] for photo in (await http.get(path)).json()["photos"]]


@contextmanager
def full(home: House) -> Iterator[bool]:
    """No room for a photo while the block lasts; whether that is a real disk's doing."""
    objects = home.data / "objects"
    if os.path.ismount(objects):
        ballast = objects / ".ballast"
        with ballast.open("wb", buffering=0) as file:
            try:
                while file.write(bytes(2**16)):
                    pass
            except OSError:
                pass
        try:
            yield True
        finally:
            ballast.unlink()
        return
    pids = [home.pid_of(service) for service in SERVICES]
    before = [resource.prlimit(pid, resource.RLIMIT_FSIZE) for pid in pids]
    for pid, (_, hard) in zip(pids, before, strict=True):
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (LIMIT, hard))
    try:
        yield False
    finally:
        for pid, limits in zip(pids, before, strict=True):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def _nothing() -> Iterator[bool]:
    yield False
