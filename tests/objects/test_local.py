"""What only a directory can get wrong: links, leftovers, full disks, permissions."""

import errno
import os
import resource
import stat
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.objects import local, open_objects
from lifemask.objects.keys import Key
from lifemask.objects.local import LocalObjects, translated
from lifemask.objects.port import ObjectMissing

KEY = Key("users/acme.ann/runs/r/a")
NOBODY = 65534


@pytest.fixture
def store(tmp_path: Path) -> LocalObjects:
    return LocalObjects(tmp_path / "objects")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "objects"


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if not path.is_dir())


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


async def keys_below(store: LocalObjects, prefix: str) -> list[str]:
    return [info.key async for info in store.list(prefix)]


async def test_objects_are_plain_private_files(store: LocalObjects, root: Path) -> None:
    await store.put(KEY, b"data")
    assert (root / KEY).read_bytes() == b"data"
    assert mode(root / KEY) == 0o600
    assert mode(root) == 0o700


async def test_no_two_names_are_one_on_a_disk_that_ignores_case(store: LocalObjects, root: Path) -> None:
    for name in ("Ann", "ann", "ANN"):
        await store.put(Key(f"users/{name}"), name.encode())
    assert len({path.lower() for path in files(root)}) == 3


async def test_deleting_removes_the_folders_it_empties(store: LocalObjects, root: Path) -> None:
    await store.put(KEY, b"1")
    await store.put(Key("users/acme.bob/b"), b"2")
    await store.delete(KEY)
    assert names(root / "users") == ["acme.bob"]
    await store.delete(Key("users/acme.bob/b"))
    assert names(root) == [".parts"]


async def test_a_write_leaves_nothing_but_the_object(store: LocalObjects, root: Path) -> None:
    async with store.writing(KEY) as writer:
        await writer.write(b"x" * (3 << 20))
        assert len(files(root / ".parts")) == 1
    assert files(root) == [KEY]


async def test_parts_of_a_writer_that_was_killed_go_after_a_day(root: Path) -> None:
    LocalObjects(root)
    old, young = root / ".parts" / "old", root / ".parts" / "young"
    for part in (old, young):
        part.write_bytes(b"half")
    os.utime(old, (time.time(), time.time() - 25 * 3600))
    store = LocalObjects(root)
    assert names(root / ".parts") == ["young"]
    assert await keys_below(store, "") == []


async def test_a_listing_of_several_pages_is_whole(store: LocalObjects, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local, "_PAGE", 2)
    names = [Key(f"users/acme.ann/runs/r/{name}") for name in "abcde"]
    for name in names:
        await store.put(name, b"1")
    assert [info.key async for info in store.list("users/")] == names


@pytest.mark.parametrize("link", ["users/acme.ann", "users/acme.ann/runs/r/a"])
async def test_links_are_never_followed(store: LocalObjects, root: Path, tmp_path: Path, link: str) -> None:
    await store.put(Key("users/acme.bob/runs/r/a"), b"bob's")
    (root / link).parent.mkdir(parents=True, exist_ok=True)
    target = "acme.bob" if link == "users/acme.ann" else root / "users/acme.bob/runs/r/a"
    (root / link).symlink_to(target)
    for call in (store.get(KEY, limit=9), store.put(KEY, b"x"), store.head(KEY), store.delete(KEY)):
        with pytest.raises(Misconfigured, match="contains a link"):
            await call
    assert await keys_below(store, "users/") == ["users/acme.bob/runs/r/a"]
    assert await store.get(Key("users/acme.bob/runs/r/a"), limit=9) == b"bob's"


async def test_what_is_no_file_is_no_object(store: LocalObjects, root: Path) -> None:
    (root / "users").mkdir()
    os.mkfifo(root / "users" / "pipe")
    assert await store.head(Key("users/pipe")) is None
    assert await keys_below(store, "users/") == []
    (root / "users" / "pipe").unlink()
    (root / "users" / "file").write_bytes(b"1")
    with pytest.raises(ObjectMissing):
        await store.get(Key("users/file/below"), limit=9)


async def stream(store: LocalObjects) -> None:
    async with store.writing(KEY) as writer:
        for _ in range(4):
            await writer.write(b"x" * (1 << 20))


@contextmanager
def small_disk(limit: int) -> Iterator[None]:
    """The system refuses to write files beyond `limit` bytes, as it does on a disk that is full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_disk_that_takes_no_more_is_trouble_and_leaves_nothing(store: LocalObjects, root: Path) -> None:
    with small_disk(1 << 20):
        with pytest.raises(Retryable):
            await store.put(KEY, b"x" * (2 << 20))
        with pytest.raises(Retryable):
            await stream(store)
    assert files(root) == []


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """A directory in which this account has no rights; root has to become somebody else for that."""
    root.chmod(0)
    account = os.geteuid()
    os.seteuid(account or NOBODY)
    try:
        yield
    finally:
        os.seteuid(account)
        root.chmod(0o700)


async def test_a_missing_permission_is_named_without_a_path(store: LocalObjects, root: Path) -> None:
    await store.put(KEY, b"1")
    with locked(root):
        for doing, call in (("reading", store.get(KEY, limit=9)), ("writing", store.put(KEY, b"2"))):
            with pytest.raises(Misconfigured) as denied:
                await call
            assert denied.value.detail.startswith(f"{doing} denied in the objects directory (users/…)")
    assert await store.get(KEY, limit=9) == b"1"


@pytest.mark.parametrize(
    ("number", "expected", "words"),
    [
        (errno.ENOSPC, Misconfigured, "store_full: the disk of the objects directory is full"),
        (errno.EDQUOT, Misconfigured, "store_full: the disk of the objects directory is full"),
        (errno.EIO, Retryable, "store_unavailable"),
        (errno.EMFILE, Retryable, "store_unavailable"),
        (errno.EROFS, Misconfigured, "writing denied"),
        (errno.EPERM, Misconfigured, "writing denied"),
        (errno.ENAMETOOLONG, Misconfigured, "writing fails in the objects directory (users/…): ENAMETOOLONG"),
    ],
)
def test_every_error_has_its_meaning(number: int, expected: type[Exception], words: str) -> None:
    meant = translated(OSError(number, "text", f"/data/{KEY}"), "writing", KEY)
    assert type(meant) is expected
    assert words in str(meant)
    assert "acme" not in str(meant)


@pytest.mark.parametrize(
    "url", ["", "/tmp/x", "file://host/x", "file:x", "file:///x?y=1", "s3://", "s3://bucket/folder", "http://x"]
)
async def test_a_url_that_names_no_store_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match="objects URL"):
        async with open_objects(url):
            pass


async def test_a_reader_may_stop_early(store: LocalObjects) -> None:
    await store.put(KEY, b"x" * (3 << 20))
    chunks: AsyncIterator[bytes] = store.read(KEY)
    async for chunk in chunks:
        assert len(chunk) == 1 << 20
        break
    await store.delete(KEY)
