"""One event in, what came out."""

from typing import Any

import pytest
from tests.packager.fakes import SEALED, InMemoryArchive, InMemoryCustody
from tests.packager.test_domain import photos

from lifemask.contracts import DatasetSealed, PhotosValidated, RunFailed, Stage
from lifemask.packager.domain import Minimum, plan_archive
from lifemask.packager.handlers import HANDLERS
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.stepping import SteppingTurn, TurnLost, step

MINIMUM = Minimum(12, 60_000)


def validated(count: int = 12) -> PhotosValidated:
    return an_event(PhotosValidated, **a_run(), received=count, usable=count)


async def pack(event: PhotosValidated, chain: InMemoryCustody, archive: InMemoryArchive, **changes: Any) -> list[Any]:
    return await step(HANDLERS, event, chain=chain, archive=archive, minimum=MINIMUM, **changes)


async def test_a_validated_set_becomes_a_sealed_dataset() -> None:
    event, chain, archive = validated(), InMemoryCustody(photos(12)), InMemoryArchive()
    [sealed] = await pack(event, chain, archive)
    assert sealed == DatasetSealed(**event.run, statement=SEALED, photos=12, bytes=121_000, parameters=event.parameters)
    assert archive.writes == [plan_archive(chain.photos, event.statement)]
    assert chain.sealed[0][1] == SteppingTurn().got_at


@pytest.mark.parametrize(
    ("chain", "archive", "code"),
    [
        (InMemoryCustody(photos(12), breaks="validation"), InMemoryArchive(), "custody_broken"),
        (InMemoryCustody(photos(12), breaks="dataset"), InMemoryArchive(), "custody_broken"),
        (InMemoryCustody(photos(12)), InMemoryArchive(differs=True), "custody_broken"),
        (InMemoryCustody(photos(11)), InMemoryArchive(), "archive_too_small"),
        (InMemoryCustody(photos(12, 100)), InMemoryArchive(), "archive_too_small"),
    ],
)
async def test_what_does_not_hold_ends_the_run(chain: InMemoryCustody, archive: InMemoryArchive, code: str) -> None:
    [failed] = await pack(validated(), chain, archive)
    assert isinstance(failed, RunFailed)
    assert (failed.stage, failed.failure.code) == (Stage.PACKAGE, code)
    assert not chain.sealed


async def test_an_archive_with_a_missing_member_fails_the_run() -> None:
    event, chain = validated(), InMemoryCustody(photos(12))
    [failed] = await pack(event, chain, InMemoryArchive(loses=plan_archive(chain.photos, event.statement)[6].name))
    assert failed.failure.code == "custody_broken"
    assert "archive: differs from what was written" in failed.failure.what


async def test_nothing_is_written_for_a_run_that_is_over() -> None:
    archive = InMemoryArchive()
    with pytest.raises(TurnLost):
        await pack(validated(), InMemoryCustody(photos(12)), archive, turn=SteppingTurn(lost_after=0))
    assert archive.writes == []
