"""Photos, archives and weights exchanged in the bucket, between each two steps."""

import hashlib
from typing import Any

from tests.attacks.attack import Attack, Scene, attack
from tests.attacks.swaps import donors, folder, put_over, rewrite, swap_in_archive, swap_original, swap_photo
from tests.system.waiting import eventually

BOOK: list[Attack] = []


async def trained_on_the_swapped(scene: Scene) -> None:
    """The provider got the donor's photo, for the victim's model."""
    swapped = hashlib.sha256(scene.notes["swapped"]).hexdigest()
    assert swapped in {member["sha256"] for member in (await the_training(scene))["archive"]["members"]}


async def the_training(scene: Scene) -> dict[str, Any]:
    """The victim's one training, once the archive was fetched or refused."""

    async def fetched() -> dict[str, Any] | None:
        (training,) = await scene.house.trainings(scene.user, scene.run)
        return training if training["archive"] or training["is_over"] else None

    found = await eventually(fetched)
    assert found is not None
    return found


async def was_paid(scene: Scene) -> None:
    """The paid call was made, whatever became of it."""
    assert len(await scene.house.trainings(scene.user, scene.run)) == 1


async def is_ready(scene: Scene) -> None:
    assert scene.view["status"] == "ready", scene.view


@attack(
    BOOK,
    "photo swapped between upload and judgement",
    at="image_validator",
    gates=("photo as announced", "photo as sealed"),
    link="original: missing or differs",
    won=is_ready,
)
async def _(scene: Scene) -> None:
    swap_original(scene)


@attack(
    BOOK,
    "photo swapped between judgement and packing",
    at="packager",
    gates=("clean photo", "archive as packed"),
    link="clean photo: missing or differs",
    won=trained_on_the_swapped,
)
async def _(scene: Scene) -> None:
    swap_photo(scene, "clean")


@attack(
    BOOK,
    "photo swapped in the archive between packing and paying",
    at="trainer",
    gates=("archive before paying",),
    link="archive: differs",
    won=trained_on_the_swapped,
)
async def _(scene: Scene) -> None:
    swap_in_archive(scene)


@attack(
    BOOK,
    "B's photo copied under A's prefix",
    at="image_validator",
    gates=(),
    end="ready",
    no_arm="what is used follows from the sealed list of photos, never from a listing of the prefix",
)
async def _(scene: Scene) -> None:
    mine, other = folder(scene), donors(scene)
    photo = next((other / "original").iterdir())
    (mine / "original" / photo.name).write_bytes(photo.read_bytes())
    (mine / "clean").mkdir(exist_ok=True)
    (mine / "clean" / f"{photo.name}.jpg").write_bytes((other / "clean" / f"{photo.name}.jpg").read_bytes())


@attack(BOOK, "archive swapped", at="trainer", gates=("archive before paying",), link="archive: differs", won=was_paid)
async def _(scene: Scene) -> None:
    put_over(folder(scene) / "archive" / "1.zip", (donors(scene) / "archive" / "1.zip").read_bytes())


@attack(
    BOOK, "archive truncated", at="trainer", gates=("archive before paying",), link="archive: differs", won=was_paid
)
async def _(scene: Scene) -> None:
    place = folder(scene) / "archive" / "1.zip"
    put_over(place, place.read_bytes()[:-1000])


@attack(
    BOOK,
    "archive with an extra member",
    at="trainer",
    gates=("archive before paying",),
    link="archive: differs",
    won=was_paid,
)
async def _(scene: Scene) -> None:
    photo = next((donors(scene) / "clean").iterdir()).read_bytes()

    def more(members: Any) -> Any:
        info = type(members[0][0])("extra.jpg")
        return [*members, (info, photo)]

    rewrite(scene, more)


@attack(
    BOOK,
    "archive with two members of one name",
    at="trainer",
    gates=("archive before paying",),
    link="archive: differs",
    won=was_paid,
)
async def _(scene: Scene) -> None:
    photo = next((donors(scene) / "clean").iterdir()).read_bytes()

    def twice(members: Any) -> Any:
        info = type(members[0][0])(members[0][0].filename)
        return [*members, (info, photo)]

    rewrite(scene, twice)


@attack(
    BOOK,
    "weights changed between training and publishing",
    at="publisher",
    gates=("weights before publishing", "read back"),
    link="weights: differ",
    paid=True,
    won=is_ready,
)
async def _(scene: Scene) -> None:
    place = folder(scene) / "weights" / "1.safetensors"
    data = bytearray(place.read_bytes())
    data[-1] ^= 1
    put_over(place, bytes(data))
