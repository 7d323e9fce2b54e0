"""Statements of the chain taken away, exchanged for true ones of elsewhere, or signed by others."""

from collections.abc import Awaitable, Callable

from tests.attacks.attack import Attack, Scene, attack
from tests.attacks.house import BUSY
from tests.attacks.plays.objects import is_ready, was_paid
from tests.attacks.swaps import donors, folder, put_over
from tests.system.photos import good

from lifemask.contracts.signing import Signer, unseal
from lifemask.custody.envelopes import PAYLOAD_TYPE, write_envelope

BOOK: list[Attack] = []
DATASET = "3-dataset-1"
UPLOAD = "1-upload-1"


async def two_runs(scene: Scene) -> None:
    """The victim has an earlier run, whose statements are as true."""
    earlier = await scene.person.accepted(good(12))
    scene.run = await scene.person.accepted(good(12))
    for run in (earlier, scene.run):
        await scene.house.passed("packager", scene.user, run)
    scene.notes["earlier"] = earlier


def replay(scene: Scene, name: str, user: str, run: str) -> None:
    """A true statement of elsewhere, with its manifest, in the place of the victim's."""
    for end in (".dsse.json", ".manifest.json"):
        place = folder(scene) / "custody" / (name + end)
        put_over(place, (folder(scene, user, run) / "custody" / (name + end)).read_bytes())


@attack(
    BOOK,
    "true statement of another user replayed",
    at="trainer",
    gates=("chain before paying",),
    link="dataset: statement differs",
    won=was_paid,
)
async def _(scene: Scene) -> None:
    replay(scene, DATASET, scene.donor.bus_id, scene.donor_run)


@attack(
    BOOK,
    "another user's whole run replayed",
    at="trainer",
    gates=("chain before paying", "owner of the run"),
    link="owner is another user",
    won=was_paid,
)
async def _(scene: Scene) -> None:
    for place in donors(scene).rglob("*"):
        if place.is_file() and not place.name.startswith("4-"):  # the donor's is further than the victim's
            (mine := folder(scene) / place.relative_to(donors(scene))).parent.mkdir(exist_ok=True)
            put_over(mine, place.read_bytes())


@attack(
    BOOK,
    "true statement of another run replayed",
    at="trainer",
    gates=("chain before paying",),
    link="dataset: statement differs",
    prepare=two_runs,
    won=was_paid,
)
async def _(scene: Scene) -> None:
    replay(scene, DATASET, scene.user, scene.notes["earlier"])


@attack(
    BOOK,
    "true statement of another attempt replayed",
    at=BUSY,
    gates=("statement written once",),
    link="training: statement exists and differs",
    won=was_paid,
)
async def _(scene: Scene) -> None:
    """A row that names another trainer makes a second attempt of the first."""
    query = "update trainer.attempt set trainer = 'another/trainer:1' where user_id = $1 and run_id = $2"
    await scene.house.rows.execute(query, scene.user, scene.run)
    await scene.house.put_off(scene.user, scene.run, 2)  # sealed alone would not do: its paid call may be under way
    first, second = (folder(scene) / "custody" / f"4-training-{number}.dsse.json" for number in (1, 2))
    put_over(second, first.read_bytes())


@attack(
    BOOK,
    "statement replaced by an older valid one",
    at="trainer",
    gates=("chain before paying",),
    link="upload: statement differs",
    prepare=two_runs,
    won=was_paid,
)
async def _(scene: Scene) -> None:
    replay(scene, UPLOAD, scene.user, scene.notes["earlier"])


@attack(
    BOOK,
    "statement removed",
    at="trainer",
    gates=("chain before paying",),
    link="validation: statement is missing",
    won=was_paid,
)
async def _(scene: Scene) -> None:
    (folder(scene) / "custody" / "2-validation-1.dsse.json").unlink()


def signed_by(choose: Callable[[Scene], Signer]) -> Callable[[Scene], Awaitable[None]]:
    """The dataset statement, word for word, under another signature."""

    async def strike(scene: Scene) -> None:
        place = folder(scene) / "custody" / f"{DATASET}.dsse.json"
        payload = unseal(place.read_bytes(), PAYLOAD_TYPE).payload
        put_over(place, write_envelope(payload, choose(scene)))

    return strike


BOOK += [
    Attack(
        name=f"statement signed by {whose}",
        strike=signed_by(choose),
        at="trainer",
        gates=("statement signature",),
        link=f"dataset: {reason}",
        won=is_ready,
    )
    for whose, reason, choose in (
        ("the wrong service's key", "key not allowed", lambda scene: scene.house.signer("notifier")),
        ("an unknown key", "unknown key", lambda _: Signer.generate("packager")),
        ("a rotated-out key", "key rotated out", lambda scene: scene.house.ended["rotated out"]["packager"]),
        ("a compromised key", "key compromised", lambda scene: scene.house.ended["stolen"]["packager"]),
    )
]
