"""The validator on a real chain, a real store layout and real pictures."""

import hashlib
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache

import pytest
from tests.image_validator.fakes import World
from tests.image_validator.pictures import blurred, encoded, portrait
from tests.image_validator.policies import POLICY, QUOTA

from lifemask.bus.outcomes import Outcome
from lifemask.contracts import (
    Event,
    Failure,
    PhotoJudged,
    PhotoReceived,
    PhotosValidated,
    RunAccepted,
    RunFailed,
    RunRequest,
    TrainingParameters,
    new_id,
)
from lifemask.custody.steps import UPLOAD, VALIDATION, UploadedPhoto, UploadFields, UploadManifest
from lifemask.image_validator.adapters.custody import CustodyChain
from lifemask.image_validator.adapters.imaging import PillowImaging
from lifemask.image_validator.adapters.store import StoredGallery
from lifemask.image_validator.domain.album import Sealed
from lifemask.image_validator.handlers import HANDLERS
from lifemask.objects import keys
from lifemask.testkit.custody import AllServices, chain_of
from lifemask.testkit.events import an_event
from lifemask.testkit.objects import InMemoryObjects
from lifemask.testkit.stepping import step

AT = datetime(2026, 1, 1, tzinfo=UTC)
REQUEST = RunRequest(name="Portraits", trigger_word="TOK", steps=500)


@cache
def files() -> tuple[bytes, ...]:
    """Twelve good photos, one blurred, one that repeats the first."""
    good = [portrait(pose, pose, (600, 800)) for pose in range(12)]
    return (*(encoded(one) for one in good), encoded(blurred(good[3], 4), quality=98), encoded(good[0], "WEBP"))


@dataclass
class Uploaded:
    """A run as ingest leaves it; rows are kept as the bus would."""

    imaging: PillowImaging
    objects: InMemoryObjects = field(default_factory=InMemoryObjects)
    world: World = field(default_factory=World)
    photos: dict[str, bytes] = field(default_factory=dict)

    @property
    def ids(self) -> tuple[str, str]:
        return self.world.run["user_id"], self.world.run["run_id"]

    async def upload(self) -> list[PhotoReceived]:
        chain = AllServices(self.objects)
        await chain.begin(*self.ids)
        await self.objects.put(keys.request(*self.ids), REQUEST.model_dump_json().encode())
        events = []
        for data in files():
            photo = new_id()
            self.photos[photo] = data
            await self.objects.put(keys.original(*self.ids, photo), data)
            commitment = await chain.commitment(*self.ids, hashlib.sha256(data).hexdigest())
            events.append(
                an_event(PhotoReceived, **self.world.run, photo_id=photo, bytes=len(data), commitment=commitment)
            )
        return events

    async def submit(self, **changes: object) -> RunAccepted:
        request = await self.objects.get(keys.request(*self.ids), limit=1 << 20)
        manifest = UploadManifest(
            request=hashlib.sha256(request).hexdigest(),
            photos=tuple(
                UploadedPhoto(id=one, sha256=hashlib.sha256(data).hexdigest(), bytes=len(data), at=AT.isoformat())
                for one, data in self.photos.items()
            ),
        )
        count, size = len(self.photos), sum(map(len, self.photos.values()))
        statement = await AllServices(self.objects).seal(
            UPLOAD, *self.ids, fields=UploadFields(door="http", count=count, bytes=size), manifest=manifest, at=AT
        )
        parameters = REQUEST.parameters.model_dump()
        told = {"statement": statement, "photos": count, "parameters": parameters, **changes}
        return an_event(RunAccepted, **self.world.run, **told)

    async def take(self, event: Event) -> list[Outcome]:
        ports = {
            "chain": CustodyChain(self.objects, chain_of(self.objects, "image-validator")),
            "gallery": StoredGallery(self.objects, POLICY),
            "imaging": self.imaging,
            "photos": self.world,
        }
        turn = self.world.turn
        outcomes = await step(HANDLERS, event, turn=turn, policy=POLICY, quota=QUOTA, **ports)
        self.world.store(turn.commits)
        self.world.store(outcomes)
        return [one for one in outcomes if isinstance(one, Event)]


async def test_from_uploads_to_a_sealed_judgement(imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    judged = [await run.take(event) for event in await run.upload()]
    codes = [[str(code) for code in one.verdicts] for [one] in judged if isinstance(one, PhotoJudged)]
    assert codes == [[]] * 12 + [["blurry"], ["duplicate"]]
    event = await run.submit()
    [validated] = await run.take(event)
    assert isinstance(validated, PhotosValidated)
    assert (validated.received, validated.usable, validated.parameters) == (14, 12, REQUEST.parameters)
    link = await AllServices(run.objects).open(VALIDATION, validated.statement, *run.ids)
    assert (link.fields.policy, link.fields.encoder) == (POLICY.digest, imaging.encoder)
    assert link.fields.encoder.startswith("Pillow ")
    for pair, (photo, data) in zip(link.manifest.pairs, run.photos.items(), strict=True):
        assert (pair.id, pair.original) == (photo, hashlib.sha256(data).hexdigest())
        if pair.clean:
            clean = await run.objects.get(keys.clean(*run.ids, photo), limit=1 << 24)
            assert (pair.clean, pair.bytes) == (hashlib.sha256(clean).hexdigest(), len(clean))
    assert [bool(pair.clean) for pair in link.manifest.pairs] == [True] * 12 + [False] * 2


async def test_the_verdict_names_what_was_measured_against_what(imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    events = await run.upload()
    await run.take(await run.submit())
    document = json.loads(await run.objects.get(keys.verdict(*run.ids, events[12].photo_id), limit=1 << 16))
    assert (document["usable"], document["verdicts"]) == (False, ["blurry"])
    assert document["measured"]["sharpness"] < document["thresholds"]["min_sharpness"] == 12.0
    assert document["policy"] == POLICY.digest


async def test_nothing_judged_before_gives_the_same_result(imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    await run.upload()
    *news, validated = await run.take(await run.submit())
    assert isinstance(validated, PhotosValidated)
    assert (len(news), validated.usable) == (14, 12)


async def test_what_was_sealed_before_a_crash_is_found_again(imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    await run.upload()
    event = await run.submit()
    chain = CustodyChain(run.objects, chain_of(run.objects, "image-validator"))
    assert await chain.sealed_before(event, run.world.turn.got_at) is None
    *_, validated = await run.take(event)
    assert isinstance(validated, PhotosValidated)
    found = await chain.sealed_before(event, run.world.turn.got_at)
    assert found == Sealed(validated.statement, 14, 12)
    assert await run.take(event) == [validated]
    assert await chain.sealed_before(event, AT) is None
    key = keys.statement(*run.ids, VALIDATION.position, VALIDATION.name, 1)
    await run.objects.put(key, b"something else")
    assert isinstance(await chain.sealed_before(event, run.world.turn.got_at), Failure)


async def test_a_photo_of_somebody_else_in_its_place_is_found(imaging: PillowImaging) -> None:
    """Swapped in the store before it was judged; the run would otherwise be trained on a foreign face."""
    run = Uploaded(imaging)
    events = await run.upload()
    await run.objects.put(keys.original(*run.ids, events[0].photo_id), encoded(portrait(77, 77, (600, 800))))
    [judged] = await run.take(events[0])
    assert isinstance(judged, PhotoJudged)
    assert not judged.usable
    [failed] = await run.take(await run.submit())
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"


@pytest.mark.parametrize(
    "changes",
    [
        {"statement": "0" * 64},
        {"photos": 13},
        {"parameters": TrainingParameters(steps=6000).model_dump()},
    ],
)
async def test_an_event_that_the_statement_does_not_back_fails_the_run(
    imaging: PillowImaging, changes: dict[str, object]
) -> None:
    run = Uploaded(imaging)
    await run.upload()
    [failed] = await run.take(await run.submit(**changes))
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"


async def test_a_request_that_changed_after_the_submit_fails_the_run(imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    await run.upload()
    event = await run.submit()
    other = REQUEST.model_copy(update={"trigger_word": "OTHER"})
    await run.objects.put(keys.request(*run.ids), other.model_dump_json().encode())
    [failed] = await run.take(event)
    assert isinstance(failed, RunFailed)


async def test_without_the_owners_salt_nothing_is_proven(imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    events = await run.upload()
    run.objects.loses(keys.owner(*run.ids))
    [judged] = await run.take(events[0])
    assert isinstance(judged, PhotoJudged)
    assert not judged.usable


async def test_an_original_above_the_limit_is_read_no_further(imaging: PillowImaging) -> None:
    run = Uploaded(imaging)
    events = await run.upload()
    await run.objects.put(keys.original(*run.ids, events[0].photo_id), bytes(POLICY.max_bytes + 500_000))
    gallery = StoredGallery(run.objects, POLICY)
    data = await gallery.original(*run.ids, events[0].photo_id)
    assert data is not None
    assert len(data) == POLICY.max_bytes + 1
    assert await gallery.original(*run.ids, new_id()) is None
