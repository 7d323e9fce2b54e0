"""Bytes of another person in the place of the victim's: what somebody who can write to the bucket does."""

import io
import warnings
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

from tests.attacks.attack import Scene

Members = list[tuple[zipfile.ZipInfo, bytes]]


def folder(scene: Scene, user: str = "", run: str = "") -> Path:
    """Where the objects of a run lie: the victim's, unless said otherwise."""
    return scene.house.objects / "users" / (user or scene.user) / "runs" / (run or scene.run)


def donors(scene: Scene) -> Path:
    """Where the donor's run lies."""
    return folder(scene, scene.donor.bus_id, scene.donor_run)


def put_over(place: Path, data: bytes) -> None:
    """Another object of the same key, whole at once, as a store writes it."""
    fresh = place.with_name(f".{place.name}.new")
    fresh.write_bytes(data)
    fresh.replace(place)


def same_size(data: bytes, size: int) -> bytes:
    """A picture with bytes behind its end, so that its size gives nothing away."""
    assert len(data) <= size
    return data + bytes(size - len(data))


def swap_photo(scene: Scene, kind: str) -> str:
    """The donor's smallest photo of a kind in the place of the victim's largest, of the same size. The photo's id."""
    mine = max((folder(scene) / kind).iterdir(), key=lambda path: path.stat().st_size)
    other = min((donors(scene) / kind).iterdir(), key=lambda path: path.stat().st_size)
    put_over(mine, swapped := same_size(other.read_bytes(), mine.stat().st_size))
    scene.notes["swapped"] = swapped
    return mine.stem


def swap_original(scene: Scene) -> str:
    """An original of the donor's in the place of one of the victim's. The photo's id."""
    mine, other = (min((place / "original").iterdir()) for place in (folder(scene), donors(scene)))
    put_over(mine, other.read_bytes())
    return mine.name


def rewrite(scene: Scene, change: Callable[[Members], Members]) -> None:
    """Another archive in the place of the victim's, made of its own members."""
    place = folder(scene) / "archive" / "1.zip"
    with zipfile.ZipFile(place) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # two members of one name are what is wanted
        for info, data in change(members):
            archive.writestr(info, data)
    put_over(place, file.getvalue())


def swap_in_archive(scene: Scene) -> None:
    """One member's bytes are the donor's: names, number, size and checksums of the zip are as they should be."""
    place = folder(scene) / "archive" / "1.zip"
    photo = min((donors(scene) / "clean").iterdir(), key=lambda path: path.stat().st_size).read_bytes()
    with zipfile.ZipFile(place) as archive:
        info = max(archive.infolist(), key=lambda one: one.file_size)
        old = archive.read(info)
    new = same_size(photo, len(old))
    scene.notes["archive"], scene.notes["swapped"] = place.read_bytes(), new
    checksums = [zlib.crc32(data).to_bytes(4, "little") for data in (old, new)]
    put_over(place, scene.notes["archive"].replace(old, new).replace(*checksums))
