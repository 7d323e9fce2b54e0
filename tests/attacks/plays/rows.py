"""Rows changed by hand at each stage, by somebody who can write to the database; and, where it says so, the bucket."""

import hashlib
import json

from tests.attacks.attack import Attack, Scene, attack
from tests.attacks.house import BUSY
from tests.attacks.plays.objects import is_ready, the_training, trained_on_the_swapped, was_paid
from tests.attacks.swaps import folder, swap_original, swap_photo
from tests.system.photos import good
from tests.system.waiting import eventually

BOOK: list[Attack] = []


async def run_sql(scene: Scene, query: str, *values: object) -> None:
    """A change of the victim's rows: $1 and $2 are user and run."""
    done = await scene.house.rows.execute(query, scene.user, scene.run, *values)
    assert not done.endswith(" 0"), done


async def donors(scene: Scene, query: str) -> str:
    """Something of the donor's rows: $1 and $2 are user and run."""
    return str(await scene.house.rows.fetchval(query, scene.donor.bus_id, scene.donor_run))


async def is_a_draft(scene: Scene) -> None:
    """A draft whose photos are all judged."""
    await scene.person.introduce()
    scene.run = await scene.person.draft()
    await scene.person.send(scene.run, good(12))
    await scene.person.judged(scene.run)


@attack(
    BOOK,
    "row of ingest changed before submit",
    gates=("photo as sealed",),
    prepare=is_a_draft,
    link="original: missing or differs",
    won=is_ready,
)
async def _(scene: Scene) -> None:
    other = await donors(scene, "select max(sha256) from ingest.photo where user_id = $1 and run_id = $2")
    await run_sql(
        scene,
        """update ingest.photo set sha256 = $3 where user_id = $1 and run_id = $2 and photo_id =
           (select max(photo_id) from ingest.photo where user_id = $1 and run_id = $2)""",
        other,
    )
    assert (await scene.person.submit(scene.run)).status_code == 202


@attack(
    BOOK,
    "row of ingest changed after submit",
    at="packager",
    gates=(),
    end="ready",
    no_arm="what was sealed lies in the store; later steps ask no row of ingest",
)
async def _(scene: Scene) -> None:
    await run_sql(scene, "update ingest.photo set sha256 = md5(photo_id) where user_id = $1 and run_id = $2")
    await run_sql(
        scene,
        "update ingest.run set request = (request::jsonb || $3::jsonb)::text where user_id = $1 and run_id = $2",
        json.dumps({"steps": 10}),
    )


async def own_photos_alone(scene: Scene) -> None:
    """The photo was judged anew from its original, so the model is of the victim's own photos."""
    (training,) = await scene.house.trainings(scene.user, scene.run)
    assert scene.notes["digest"] not in {member["sha256"] for member in training["archive"]["members"]}
    assert any(line.get("event") == "row_changed" for line in scene.house.log("image-validator"))


async def clean_row(scene: Scene, photo: str, digest: str, size: int | None = None) -> None:
    """The row of a judged photo names another clean photo."""
    await run_sql(
        scene,
        """update image_validator.photo set clean = $4, clean_bytes = coalesce($5, clean_bytes)
           where user_id = $1 and run_id = $2 and photo_id = $3""",
        photo,
        digest,
        size,
    )
    scene.notes["digest"] = digest


@attack(
    BOOK,
    "row of image-validator changed",
    gates=("row as written", "clean photo", "archive as packed"),
    prepare=is_a_draft,
    end="ready",
    check=own_photos_alone,
    won=is_ready,
)
async def _(scene: Scene) -> None:
    other = await donors(scene, "select max(clean) from image_validator.photo where user_id = $1 and run_id = $2")
    async with scene.house.held("image_validator"):
        assert (await scene.person.submit(scene.run)).status_code == 202
        await clean_row(scene, max((folder(scene) / "clean").iterdir()).stem, other)


@attack(
    BOOK,
    "row of image-validator changed, and the photo in the bucket with it",
    gates=("row as written",),
    prepare=is_a_draft,
    end="ready",
    check=own_photos_alone,
    won=trained_on_the_swapped,
)
async def _(scene: Scene) -> None:
    async with scene.house.held("image_validator"):
        assert (await scene.person.submit(scene.run)).status_code == 202
        photo = swap_photo(scene, "clean")
        swapped = scene.notes["swapped"]
        await clean_row(scene, photo, hashlib.sha256(swapped).hexdigest(), len(swapped))


@attack(
    BOOK,
    "row of ingest changed before submit, and the photo in the bucket with it",
    gates=("photo as sealed",),
    prepare=is_a_draft,
    link="original: missing or differs",
    won=is_ready,
)
async def _(scene: Scene) -> None:
    photo = swap_original(scene)
    data = (folder(scene) / "original" / photo).read_bytes()
    await run_sql(
        scene,
        "update ingest.photo set sha256 = $4, bytes = $5 where user_id = $1 and run_id = $2 and photo_id = $3",
        photo,
        hashlib.sha256(data).hexdigest(),
        len(data),
    )
    assert (await scene.person.submit(scene.run)).status_code == 202


async def on_the_donors(scene: Scene) -> None:
    """The provider was sent for the donor's archive."""
    query = "select archive_url from trainer.attempt where user_id = $1 and run_id = $2"
    url = await donors(scene, query)

    async def created() -> bool:
        trainings = (await scene.house.outside.ledger())["trainings"]
        return len([each for each in trainings if url.endswith(each["input_path"])]) > 1

    await eventually(created)


async def with_ten_steps(scene: Scene) -> None:
    assert (await the_training(scene))["steps"] == 10


@attack(
    BOOK,
    "row of trainer changed before the paid call: another user's archive",
    at=BUSY,
    gates=("attempt as sealed",),
    link="training: attempt differs from what was sealed",
    won=on_the_donors,
)
async def _(scene: Scene) -> None:
    query = "select {} from trainer.attempt where user_id = $1 and run_id = $2"
    await run_sql(
        scene,
        "update trainer.attempt set archive_url = $3, archive_key = $4, gateway = false "
        "where user_id = $1 and run_id = $2",
        await donors(scene, query.format("archive_url")),
        await donors(scene, query.format("archive_key")),
    )


@attack(
    BOOK,
    "row of trainer changed before the paid call: another user's archive address",
    at=BUSY,
    gates=("attempt as sealed",),
    link="training: attempt differs from what was sealed",
    won=on_the_donors,
)
async def _(scene: Scene) -> None:
    url = await donors(scene, "select archive_url from trainer.attempt where user_id = $1 and run_id = $2")
    await run_sql(scene, "update trainer.attempt set archive_url = $3 where user_id = $1 and run_id = $2", url)


@attack(
    BOOK,
    "row of trainer changed before the paid call: other parameters",
    at=BUSY,
    gates=("attempt as sealed",),
    link="training: attempt differs from what was sealed",
    won=with_ten_steps,
)
async def _(scene: Scene) -> None:
    await run_sql(scene, "update trainer.attempt set steps = 10 where user_id = $1 and run_id = $2")
    for sealed in (folder(scene) / "custody").glob("4-training-1.*"):  # it would not be sealed twice
        sealed.unlink()


@attack(
    BOOK,
    "row of the inbox changed before it is handled",
    at=BUSY,
    gates=("stored message", "chain before paying", "attempt as sealed"),
    won=was_paid,
)
async def _(scene: Scene) -> None:
    await run_sql(
        scene,
        """update trainer.inbox set value = convert_to(jsonb_set(convert_from(value, 'UTF8')::jsonb,
           '{parameters,steps}', '10')::text, 'UTF8')
           where lane = $1 and run_id = $2 and type like 'lifemask.dataset.sealed%'""",
    )


async def in_training(scene: Scene) -> None:
    """A run in training, beside a training of somebody else that is done."""
    other = scene.house.person()
    run = await other.accepted(good(12, seed=2))
    assert (await other.ended(run, 60))["status"] == "ready"
    (done,) = await scene.house.trainings(other.bus_id, run)
    scene.notes["done"] = done["id"]
    await scene.house.outside.fault("training", "timing", queue_seconds=0, seconds=4)
    scene.run = await scene.person.accepted(good(12))
    await scene.person.training(scene.run)


@attack(
    BOOK,
    "row of trainer changed while it trains: another user's training",
    gates=("training of this archive", "names that come back"),
    prepare=in_training,
    link="training: of another archive",
    paid=True,
    won=is_ready,
    alone=True,
)
async def _(scene: Scene) -> None:
    await run_sql(
        scene,
        "update trainer.attempt set training = $3, fetches = 1 where user_id = $1 and run_id = $2",
        scene.notes["done"],
    )


async def has_a_neighbour(scene: Scene) -> None:
    """Somebody else has a model on the hub."""
    other = scene.house.person()
    run = await other.accepted(good(12, seed=2))
    assert (await other.ended(run, 60))["status"] == "ready"
    query = "select model_id, repo, hub_commit from publisher.publication where user_id = $1 and run_id = $2"
    row = await scene.house.rows.fetchrow(query, other.bus_id, run)
    assert row is not None
    scene.notes["neighbour"] = row
    scene.run = await scene.person.accepted(good(12))
    await scene.house.passed("packager", scene.user, scene.run)


async def neighbour_untouched(scene: Scene) -> None:
    repos = (await scene.house.outside.ledger())["repos"]
    (repo,) = [each for each in repos if each["id"] == scene.notes["neighbour"]["repo"]]
    assert repo["deleted_at"] is None


async def sealed_as_published(scene: Scene) -> None:
    """It is signed that a model was published which lies nowhere."""
    place = folder(scene) / "custody" / "6-publication-1.dsse.json"

    async def is_sealed() -> bool:
        return place.exists()

    await eventually(is_sealed)


@attack(
    BOOK,
    "row of publisher changed",
    gates=("read back",),
    prepare=has_a_neighbour,
    link="differs from what was trained",
    paid=True,
    check=neighbour_untouched,
    won=sealed_as_published,
    alone=True,
)
async def _(scene: Scene) -> None:
    async with scene.house.held("publisher"):
        await scene.house.passed("trainer", scene.user, scene.run)
        row = scene.notes["neighbour"]
        await run_sql(
            scene,
            """insert into publisher.publication (user_id, run_id, model_id, state, place, repo, hub_commit)
               values ($1, $2, $3, 'intended', '1-1', $4, $5)""",
            row["model_id"],
            row["repo"],
            row["hub_commit"],
        )


async def refused_and_kept_out(scene: Scene) -> None:
    async def reasons() -> list[str]:
        return [reason for service, reason, _ in await scene.house.refusals(scene.user) if service == "trainer"]

    assert await eventually(reasons, 30) == ["bad signature"]


async def let_in(scene: Scene) -> None:
    """It came as far as the inbox, where it is a dead letter: its identity came before with other bytes."""
    query = "select count(*) from trainer.inbox where split_part(lane, '/', 1) = $1 and dead_at is not null"

    async def dead() -> bool:
        return bool(await scene.house.rows.fetchval(query, scene.user))

    await eventually(dead, 30)


@attack(
    BOOK,
    "row of an outbox changed and sent again",
    at="publisher",
    gates=("event signature",),
    end="ready",
    check=refused_and_kept_out,
    won=let_in,
)
async def _(scene: Scene) -> None:
    await scene.house.rows.execute(
        """update packager.outbox set sent_at = null, value = convert_to(jsonb_set(convert_from(value, 'UTF8')::jsonb,
           '{photos}', '99')::text, 'UTF8') where key = $1""",
        scene.user,
    )
    await scene.house.rows.execute("notify lifemask")
