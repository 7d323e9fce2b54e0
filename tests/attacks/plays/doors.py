"""What can be tried at the doors: announcing other people's folders, putting twice, starting other people's runs."""

import base64
import hashlib
from datetime import UTC, datetime

from tests.attacks.attack import Attack, Scene, attack
from tests.attacks.plays.objects import is_ready
from tests.attacks.swaps import folder, same_size
from tests.system.conftest import a_client
from tests.system.photos import good
from tests.system.waiting import eventually

from lifemask.contracts import PhotosUploaded, RunRequest, new_id, pack
from lifemask.contracts.signing import sign
from lifemask.testkit.keys import app_signer

BOOK: list[Attack] = []
UPLOAD = "summer"
NAMES = tuple(f"{number:02}.jpg" for number in range(12))


def put_incoming(scene: Scene, user: str) -> None:
    """Photos in the incoming prefix of a user of acme's."""
    place = scene.house.objects / "incoming" / "acme" / user / UPLOAD
    place.mkdir(parents=True)
    for name, file in zip(NAMES, good(12, seed=2), strict=True):
        (place / name).write_bytes(file.data)


async def announce(scene: Scene, *, app: str = "acme", objects: tuple[str, ...] = NAMES) -> None:
    """The announcement of an upload for the victim, signed by an app."""
    scene.run = new_id()
    event = PhotosUploaded.model_construct(
        user_id=scene.user, run_id=scene.run, upload=UPLOAD, objects=objects, request=RunRequest(name="Portrait")
    )
    record = pack(event, id=new_id(), source=f"app/{app}", time=datetime.now(UTC), traceparent=None)
    await scene.house.send(sign(record, app_signer(app)))


async def appears(scene: Scene) -> None:
    """The run that was announced is known."""

    async def is_known() -> bool:
        answer = await scene.house.http.get(scene.person.path("runs", scene.run))
        return answer.status_code == 200

    await eventually(is_known, 30)


async def nobody(scene: Scene) -> None:
    """The run is begun by the strike."""
    await scene.person.introduce()


@attack(
    BOOK,
    "PhotosUploaded naming the upload of B",
    gates=("own prefix only",),
    prepare=nobody,
    end="rejected",
    won=is_ready,
)
async def _(scene: Scene) -> None:
    other = scene.house.person()
    put_incoming(scene, other.name)
    scene.instead(other.bus_id)
    await announce(scene)
    await appears(scene)


@attack(
    BOOK,
    "PhotosUploaded naming B's prefix",
    gates=(),
    prepare=nobody,
    end="rejected",
    no_arm="an object's name has no place for a folder: neither the event nor a key of the store can hold one",
)
async def _(scene: Scene) -> None:
    other = scene.house.person()
    put_incoming(scene, other.name)
    await announce(scene, objects=tuple(f"../../{other.name}/{UPLOAD}/{name}" for name in NAMES))
    await appears(scene)


async def refused_at_the_door(scene: Scene) -> None:
    async def reasons() -> list[str]:
        return [reason for _, reason, _ in await scene.house.refusals(scene.user)]

    assert await eventually(reasons) == ["an upload for another app's user"]
    assert (await scene.house.http.get(scene.person.path("runs", scene.run))).status_code == 404


async def began(scene: Scene) -> None:
    await appears(scene)


@attack(
    BOOK,
    "PhotosUploaded by an app for another app's user",
    gates=("own users only",),
    prepare=nobody,
    end="untouched",
    check=refused_at_the_door,
    won=began,
)
async def _(scene: Scene) -> None:
    await announce(scene, app="other")


async def with_targets(scene: Scene) -> None:
    """A submitted run whose photos came straight into the store."""
    await scene.person.introduce()
    scene.run = await scene.person.draft()
    files = good(12)
    described = [
        {
            "name": file.name,
            "bytes": len(file.data),
            "sha256": hashlib.sha256(file.data).hexdigest(),
            "content_type": "image/jpeg",
        }
        for file in files
    ]
    answer = await scene.person.http.post(scene.person.path("runs", scene.run, "uploads"), json={"files": described})
    targets = answer.raise_for_status().json()["targets"]
    for target, file in zip(targets, files, strict=True):
        sent = await scene.person.http.put(target["url"], content=file.data, headers=target["headers"])
        assert sent.status_code == 200, sent.text
    assert (await scene.person.submit(scene.run)).status_code == 202
    scene.notes["targets"] = list(zip(targets, files, strict=True))


async def trained_on_own(scene: Scene) -> None:
    assert all(status in {400, 403, 404, 410, 412} for status in scene.notes["answers"]), scene.notes
    originals = {path.read_bytes() for path in (folder(scene) / "original").iterdir()}
    assert originals == {file.data for _, file in scene.notes["targets"]}


async def has_the_swapped(scene: Scene) -> None:
    assert scene.view["status"] == "ready", scene.view
    originals = {path.read_bytes() for path in (folder(scene) / "original").iterdir()}
    assert scene.notes["swapped"] in originals


@attack(
    BOOK,
    "presigned PUT used again after submit",
    at="image_validator",
    gates=("one file per target", "photo as announced", "photo as sealed"),
    prepare=with_targets,
    end="ready",
    check=trained_on_own,
    won=has_the_swapped,
)
async def _(scene: Scene) -> None:
    target, mine = max(scene.notes["targets"], key=lambda one: len(one[1].data))
    other = min(good(12, seed=2), key=lambda file: len(file.data)).data
    scene.notes["swapped"] = swapped = same_size(other, len(mine.data))
    honest = target["headers"]
    lying = dict(honest)
    name = next(name for name in lying if name.lower() == "x-amz-checksum-sha256")
    lying[name] = base64.b64encode(hashlib.sha256(swapped).digest()).decode()
    scene.notes["answers"] = [
        (await scene.person.http.put(target["url"], content=swapped, headers=headers)).status_code
        for headers in (lying, honest)
    ]


async def somebody_elses(scene: Scene) -> None:
    """Another user has a run that was cancelled, and the attacker wants its photos."""
    victim = scene.house.person()
    run = await victim.accepted(good(12))
    assert (await victim.cancel(run)).status_code in {200, 202}
    await victim.ended(run, 40)
    scene.notes["victim"], scene.notes["run"] = victim, run
    scene.instead(victim.bus_id)


async def not_restarted(scene: Scene) -> None:
    assert scene.notes["answers"] == [404, 404]
    assert (await scene.notes["victim"].view(scene.notes["run"]))["restarted_as"] is None


async def restarted(scene: Scene) -> None:
    assert (await scene.notes["victim"].view(scene.notes["run"]))["restarted_as"] is not None


@attack(
    BOOK,
    "restart of another user's run",
    gates=("own runs only",),
    prepare=somebody_elses,
    end="untouched",
    check=not_restarted,
    won=restarted,
)
async def _(scene: Scene) -> None:
    run = scene.notes["run"]
    answers = [(await scene.person.restart(run)).status_code]
    async with a_client(scene.house.stack.url, scene.house.apps.keys["other"]) as http:
        victim = scene.notes["victim"]
        answers.append((await http.post(victim.path("runs", run, "restart"))).status_code)
    scene.notes["answers"] = answers


async def twins(scene: Scene) -> None:
    """The same files, uploaded by two people."""
    other = scene.house.person()
    scene.run, run = await scene.person.accepted(good(12, seed=5)), await other.accepted(good(12, seed=5))
    scene.notes["other"] = (other, run)


async def nothing_shared(scene: Scene) -> None:
    other, run = scene.notes["other"]
    assert (await other.ended(run, 60))["status"] == "ready"
    pair = [await scene.house.trainings(scene.user, scene.run), await scene.house.trainings(other.bus_id, run)]
    (mine,), (theirs,) = pair
    names = [{member["name"] for member in each["archive"]["members"]} for each in (mine, theirs)]
    assert not names[0] & names[1]
    assert mine["archive"]["sha256"] != theirs["archive"]["sha256"]
    files = [(folder(scene, user, of) / "custody") for user, of in ((scene.user, scene.run), (other.bus_id, run))]
    contents = [{path.read_bytes() for path in place.iterdir() if path.name != "owner.json"} for place in files]
    assert not contents[0] & contents[1]


@attack(
    BOOK,
    "two users with identical photos",
    gates=(),
    prepare=twins,
    end="ready",
    check=nothing_shared,
    no_arm="nobody is refused: both get a model, and nothing of theirs is the same object, statement or name",
)
async def _(_scene: Scene) -> None:
    """Nothing to do: who has another's photos may train on them as his own uploads."""
