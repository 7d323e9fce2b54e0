"""One event in, what came out."""

import json
from dataclasses import replace
from typing import Any

import pytest
from tests.image_validator.fakes import DUPLICATE, SEALED, World, scenes
from tests.image_validator.policies import POLICY, QUOTA

from lifemask.bus.outcomes import Keep, Retryable, RunEnded
from lifemask.contracts import (
    PhotoJudged,
    PhotoReceived,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunFailed,
    RunRejected,
    Stage,
    Verdict,
    sentence,
)
from lifemask.image_validator.domain.album import Decided, Terms
from lifemask.image_validator.handlers import close_run
from lifemask.testkit.events import an_event
from lifemask.testkit.stepping import SteppingTurn, TurnLost


def told(events: list[Any]) -> dict[str, tuple[bool, tuple[Verdict, ...], str | None]]:
    """What the judgements among the events say, by photo."""
    return {one.photo_id: (one.usable, one.verdicts, one.similar_to) for one in events if isinstance(one, PhotoJudged)}


async def drafted(world: World, *contents: str) -> list[str]:
    photos = [world.upload(content) for content in contents]
    for photo in photos:
        await world.receive(photo)
    return photos


async def test_a_good_photo_is_judged_cleaned_and_kept() -> None:
    world = World()
    photo = world.upload("sea")
    assert told(await world.receive(photo)) == {photo: (True, (), None)}
    assert world.clean == {photo: b"jpeg of sea"}
    assert (world.rows[photo].place, world.rows[photo].told) == (1, True)


async def test_an_unfit_photo_is_judged_and_not_cleaned() -> None:
    world = World()
    photo = world.upload("blurry sea")
    assert told(await world.receive(photo)) == {photo: (False, (Verdict.BLURRY,), None)}
    assert world.clean == {}


async def test_the_later_of_two_alike_is_the_duplicate() -> None:
    world = World()
    first, second = world.upload("sea"), world.upload("sea again")
    await world.receive(first)
    assert told(await world.receive(second)) == {second: (False, DUPLICATE, first)}
    assert set(world.clean) == {first, second}


async def test_a_photo_is_judged_once() -> None:
    world = World()
    [photo] = await drafted(world, "sea")
    assert await world.receive(photo) == []
    assert world.examined == ["sea"]


async def test_a_redelivery_before_the_commit_says_the_same() -> None:
    world = World()
    event = an_event(PhotoReceived, **world.run, photo_id=world.upload("sea"))
    assert await world.step(event) == await world.step(event)


async def test_a_photo_that_is_gone_says_nothing() -> None:
    world = World()
    photo = world.upload("sea")
    del world.files[photo]
    assert await world.receive(photo) == []
    assert world.rows == {}


async def test_a_store_that_is_away_is_tried_again() -> None:
    world = World(away=True)
    with pytest.raises(Retryable):
        await world.receive(world.upload("sea"))


async def test_other_bytes_than_the_announced_ones_cannot_be_used() -> None:
    world = World()
    photo = world.upload("sea")
    world.foreign.add(photo)
    [judged] = await world.receive(photo)
    assert isinstance(judged, PhotoJudged)
    assert (judged.usable, judged.verdicts, judged.codes) == (False, (Verdict.UNREADABLE,), ("copy_damaged",))
    assert "our side" in sentence(judged.codes[0])
    assert world.clean == {}
    assert world.damaged == [photo]


async def test_with_the_original_removed_the_duplicate_counts() -> None:
    world = World()
    first, second, third = await drafted(world, "sea", "sea again", "sea once more")
    assert told(await world.remove(first)) == {second: (True, (), None), third: (False, DUPLICATE, second)}
    assert set(world.clean) == {second, third}
    assert told(await world.remove(third)) == {}
    assert await world.receive(first) == []


async def test_verdicts_are_set_down_of_the_sealed_set_alone() -> None:
    """A worker that lost its lane would leave an old one: of a photo taken out, or of one judged otherwise since."""
    world = World()
    first, second, third, *rest = await drafted(world, "sea", "sea again", "blurry sky", *scenes(12))
    await world.remove(first)
    assert world.verdicts == {}
    await world.accept(second, third, *rest)
    said = {photo: json.loads(document) for photo, document in world.verdicts.items()}
    assert {photo: (one["usable"], one["similar_to"]) for photo, one in said.items()} == {
        second: (True, None),
        third: (False, None),
        **dict.fromkeys(rest, (True, None)),
    }


async def test_a_photo_removed_before_it_was_seen_is_never_seen() -> None:
    world = World()
    photo = world.upload("sea")
    assert await world.remove(photo) == []
    assert await world.receive(photo) == []
    assert world.examined == []


async def test_a_judged_set_is_decided_without_looking_again() -> None:
    world = World()
    photos = await drafted(world, *scenes(12))
    looked = len(world.examined)
    [validated] = await world.accept(*photos)
    assert isinstance(validated, PhotosValidated)
    assert (validated.statement, validated.received, validated.usable) == (SEALED, 12, 12)
    assert len(world.examined) == looked
    assert world.decided


async def test_what_was_not_judged_yet_is_made_good() -> None:
    """A photo's event may come after that of its run: topics have no common order."""
    world = World()
    known = await drafted(world, *scenes(9))
    late = [world.upload(content) for content in ("late1", "late2", "late3", "blurry", "late1 again")]
    *news, validated = await world.accept(*known, *late)
    assert isinstance(validated, PhotosValidated)
    assert (validated.received, validated.usable) == (14, 12)
    assert told(news) == {
        **dict.fromkeys(late[:3], (True, (), None)),
        late[3]: (False, (Verdict.BLURRY,), None),
        late[4]: (False, DUPLICATE, late[0]),
    }
    assert await world.receive(late[0]) == []


async def test_what_was_made_good_before_a_crash_is_not_done_again() -> None:
    world = World(turn=SteppingTurn(lost_after=4))
    photos = [world.upload(content) for content in scenes(12)]
    with pytest.raises(TurnLost):
        await world.accept(*photos)
    world.store(world.turn.commits)
    assert len(world.rows) == 8
    world.turn = SteppingTurn()
    events = await world.accept(*photos)
    assert len(told(events)) == 12
    assert len(world.examined) == 12
    assert sorted(row.place for row in world.rows.values()) == list(range(1, 13))


async def test_the_sealed_set_alone_decides() -> None:
    """Of two alike the sealed one counts, though the other came first and was not submitted."""
    world = World()
    outside, *others = await drafted(world, "sea", "sea again", *scenes(11))
    *news, validated = await world.accept(*others)
    assert isinstance(validated, PhotosValidated)
    assert (validated.received, validated.usable) == (12, 12)
    assert told(news) == {others[0]: (True, (), None)}
    assert outside not in {one.photo_id for one in world.sealed[0]}


async def test_too_few_usable_photos_reject_the_run_with_every_verdict() -> None:
    world = World()
    photos = await drafted(world, *scenes(10), "blurry", "text")
    [rejected] = await world.accept(*photos)
    assert isinstance(rejected, RunRejected)
    assert (rejected.received, rejected.usable, rejected.needed) == (12, 10, 2)
    assert rejected.failure.code == "too_few_usable"
    assert rejected.failure.next_step == (
        "Add 2 more good photos and submit again: this run, started again within 24 hours, keeps its photos."
    )
    assert [one.photo_id for one in rejected.photos] == photos
    assert [one.verdicts for one in rejected.photos][-2:] == [(Verdict.BLURRY,), (Verdict.NOT_A_PHOTO,)]
    assert world.sealed == []


async def test_more_than_the_maximum_is_refused_unseen() -> None:
    world = World()
    [refused] = await world.accept(*(world.upload(content) for content in scenes(QUOTA.most + 1)))
    assert isinstance(refused, RunRejected)
    assert refused.failure.code == "upload_refused"
    assert world.examined == []


@pytest.mark.parametrize("link", ["upload", "validation"])
async def test_a_broken_chain_fails_the_run(link: str) -> None:
    world = World(breaks=link)
    photos = await drafted(world, *scenes(12))
    [failed] = await world.accept(*photos)
    assert isinstance(failed, RunFailed)
    assert (failed.stage, failed.failure.code) == (Stage.VALIDATE, "custody_broken")


@pytest.mark.parametrize("stored", [True, False])
async def test_other_bytes_than_the_sealed_ones_fail_the_run(stored: bool) -> None:  # a case of the table
    """Judged earlier or not: what lies in the store is not what the person uploaded."""
    world = World()
    photos = await drafted(world, *scenes(12))
    swapped = world.upload("as uploaded")
    manifest = [*photos, swapped]
    world.seals(*manifest)
    world.files[swapped] = "put in its place"
    if stored:
        await world.receive(swapped)
    [failed] = await world.decide(len(manifest))
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"


async def test_sealed_bytes_other_than_those_that_were_judged_fail_the_run() -> None:
    """The upload statement names what lies there now, and it is not what was judged under this id."""
    world = World()
    photos = await drafted(world, *scenes(12))
    world.files[photos[3]] = "put in its place"
    [failed] = await world.accept(*photos)
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"


@pytest.mark.parametrize("changes", [{"encoder": "newer"}, {"policy": replace(POLICY, min_sharpness=3.5)}])
async def test_what_was_judged_with_other_terms_is_judged_anew(changes: dict[str, Any]) -> None:
    """The statement names one policy and one encoder, and so does each verdict."""
    world = World()
    photos = await drafted(world, *scenes(12))
    for name, value in changes.items():
        setattr(world, name, value)
    *news, validated = await world.accept(*photos)
    assert isinstance(validated, PhotosValidated)
    assert set(told(news)) == set(photos)
    assert {row.terms for row in world.rows.values()} == {Terms(world.policy.digest, world.encoder)}
    assert {json.loads(one)["policy"] for one in world.verdicts.values()} == {world.policy.digest}


async def test_a_redelivery_with_other_thresholds_keeps_to_what_is_sealed() -> None:
    world = World()
    known = await drafted(world, *scenes(9))
    photos = [*known, *(world.upload(content) for content in ("late1", "late2", "late3", "late1 again"))]
    world.seals(*photos)
    event = an_event(RunAccepted, **world.run, photos=len(photos))
    *_, lost = [one for one in await world.step(event) if isinstance(one, PhotosValidated)]
    world.store(world.turn.commits)
    looked, verdicts = len(world.examined), dict(world.verdicts)
    world.policy = replace(POLICY, min_sharpness=10**9)
    *news, validated = await world.take(event)
    assert validated == lost
    assert told(news) == {**dict.fromkeys(photos[9:12], (True, (), None)), photos[12]: (False, DUPLICATE, photos[9])}
    assert (len(world.examined), world.verdicts) == (looked, verdicts)
    assert world.decided


async def test_an_original_that_is_missing_fails_the_run() -> None:
    world = World()
    photos = [world.upload(content) for content in scenes(12)]
    world.seals(*photos)
    del world.files[photos[5]]
    [failed] = await world.decide(12)
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "custody_broken"


async def test_news_after_the_decision_changes_nothing() -> None:
    world = World()
    photos = await drafted(world, *scenes(12))
    await world.accept(*photos)
    assert await world.receive(world.upload("late")) == []
    assert await world.remove(photos[0]) == []
    assert photos[0] in world.clean


async def test_a_draft_that_ended_elsewhere_is_closed() -> None:
    world = World()
    assert await world.take(an_event(RunCanceled, **world.run)) == []
    assert await world.receive(world.upload("late")) == []
    terminal = an_event(RunFailed, **world.run)
    assert close_run(RunEnded(terminal, **world.run)) == [Keep(Decided(**world.run))]
