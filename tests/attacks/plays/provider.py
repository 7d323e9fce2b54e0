"""Between our last look and the provider's fetch; and what provider and hub give back."""

import hashlib

from tests.attacks.attack import Attack, Scene, attack
from tests.attacks.plays.objects import is_ready, the_training
from tests.attacks.swaps import folder, put_over, swap_in_archive
from tests.system.photos import good
from tests.system.waiting import eventually

BOOK: list[Attack] = []


async def slow_queue(scene: Scene) -> None:
    """The provider has the order and has not fetched the archive yet."""
    await scene.house.outside.fault("training", "timing", queue_seconds=4, seconds=1)
    scene.run = await scene.person.accepted(good(12))
    await scene.person.training(scene.run)


async def nothing_billed(scene: Scene) -> None:
    (training,) = await scene.house.trainings(scene.user, scene.run)
    assert training["archive"] is None
    assert float(training["cost_usd"]) < 0.01, training


async def fetched_the_other(scene: Scene) -> None:
    training = await the_training(scene)
    assert training["archive"]["sha256"] == scene.notes["other"]
    assert scene.view["status"] == "ready", scene.view


@attack(
    BOOK,
    "archive swapped between the gate and the provider's fetch, and swapped back",
    gates=("gateway",),
    prepare=slow_queue,
    link="archive: differs when it was fetched",
    paid=True,
    check=nothing_billed,
    won=fetched_the_other,
    alone=True,
)
async def _(scene: Scene) -> None:
    place = folder(scene) / "archive" / "1.zip"
    swap_in_archive(scene)
    scene.notes["other"] = hashlib.sha256(place.read_bytes()).hexdigest()

    async def looked_at() -> bool:
        (training,) = await scene.house.trainings(scene.user, scene.run)
        return bool(training["archive"] or training["is_over"])

    await eventually(looked_at, 40)
    if place.exists():
        put_over(place, scene.notes["archive"])


async def foreign_weights(scene: Scene) -> None:
    """The provider will answer this training with another one's weights."""
    await scene.house.outside.fault("training", "foreign_weights")
    scene.run = await scene.person.accepted(good(12))


@attack(
    BOOK,
    "provider returning another training's weights",
    gates=("names that come back",),
    prepare=foreign_weights,
    link="weights: of another archive",
    paid=True,
    won=is_ready,
    alone=True,
)
async def _(_scene: Scene) -> None:
    """The provider does it by itself."""


async def other_bytes(scene: Scene) -> None:
    await scene.house.outside.fault("download", "alter")
    scene.run = await scene.person.accepted(good(12))


@attack(
    BOOK,
    "hub returning other bytes",
    gates=("read back",),
    prepare=other_bytes,
    link="differs from what was trained",
    paid=True,
    won=is_ready,
    alone=True,
)
async def _(_scene: Scene) -> None:
    """The hub does it by itself."""


async def slow_commit(scene: Scene) -> None:
    await scene.house.outside.fault("commit", "delay", seconds=3)
    scene.notes["before"] = await _sent(scene)
    scene.run = await scene.person.accepted(good(12))


async def _sent(scene: Scene) -> int:
    """How often a file was sent to the hub."""
    calls: dict[str, int] = (await scene.house.outside.ledger())["calls"].get("lfs_put", {})
    return sum(calls.values())


@attack(
    BOOK,
    "weights changed between store and hub",
    gates=("read back",),
    prepare=slow_commit,
    link="differs from what was trained",
    paid=True,
    won=is_ready,
    alone=True,
)
async def _(scene: Scene) -> None:
    async def is_sent() -> bool:
        return await _sent(scene) > int(scene.notes["before"])

    await eventually(is_sent, 40)
    for place in (scene.house.objects / "users" / scene.user / "models").rglob("lora.safetensors"):
        data = bytearray(place.read_bytes())
        data[-1] ^= 1
        put_over(place, bytes(data))
