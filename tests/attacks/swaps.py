"""Bytes of another person in the place of the victim's: what somebody who can write to the bucket does."""

import io
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

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


def swap_photo(scene: Scene, kind: str) -> None:
    """The donor's smallest photo of a kind in the place of the victim's largest, of the same size."""
    mine = max((folder(scene) / kind).iterdir(), key=lambda path: path.stat().st_size)
    other = min((donors(scene) / kind).iterdir(), key=lambda path: path.stat().st_size)
    put_over(mine, swapped := same_size(other.read_bytes(), mine.stat().st_size))
    scene.notes["swapped"] = swapped


def swap_original(scene: Scene) -> None:
    """Any original of the donor's in the place of one of the victim's: what matters is which bytes are there."""
    mine, other = (sorted((place / "original").iterdir())[0] for place in (folder(scene), donors(scene)))
    put_over(mine, other.read_bytes())


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
    scene.notes["archive"] = place.read_bytes()
    put_over(place, file.getvalue())


def with_donors_photo(scene: Scene) -> Callable[[Members], Members]:
    """One member's bytes are the donor's; names, number and size are as before."""
    photo = min((donors(scene) / "clean").iterdir(), key=lambda path: path.stat().st_size).read_bytes()

    def change(members: Members) -> Members:
        largest = max(members, key=lambda one: len(one[1]))
        padded = same_size(photo, len(largest[1]))
        return [(info, padded if info is largest[0] else data) for info, data in members]

    return change


async def attempt(scene: Scene) -> dict[str, Any]:
    """The trainer's row of the victim's run."""
    row = await scene.house.rows.fetchrow(
        "select * from trainer.attempt where user_id = $1 and run_id = $2", scene.user, scene.run
    )
    assert row is not None
    return dict(row)
