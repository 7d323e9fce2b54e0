"""Each handler on its own: one message in, what came out."""

import hashlib
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lifemask.bus.outcomes import Keep, Later, Outcome, Retryable, RunEnded
from lifemask.contracts import (
    Failure,
    FailureCode,
    ModelReady,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunEvent,
    RunFailed,
    RunRequest,
    Stage,
)
from lifemask.ingest.domain.facts import Facts
from lifemask.ingest.domain.photos import Photo
from lifemask.ingest.domain.rows import Disposed, Seen
from lifemask.ingest.domain.runs import Run, Sealing
from lifemask.ingest.handlers import HANDLERS
from lifemask.ingest.handlers.following import on_end
from lifemask.ingest.ports import Cleared, Disposal
from lifemask.ingest.reminders import ClearIncoming, ClearOriginals, ClearWork, ExpireDraft, GiveUp, SealUpload
from lifemask.testkit.events import a_run, an_event
from lifemask.testkit.stepping import SteppingTurn, step

AT = datetime(2026, 1, 1, tzinfo=UTC)
IDS = a_run()
PHOTOS = tuple(Photo(IDS["run_id"], "ab" * 32, 20_000, "image/jpeg", AT) for _ in range(12))


@dataclass
class InMemoryRuns:
    """One run, or none."""

    known: Run | None
    copied: bool = False

    async def run(self, user_id: str, run_id: str) -> Run | None:
        return self.known

    async def photos(self, user_id: str, run_id: str) -> Sequence[Photo]:
        return PHOTOS

    async def is_copied(self, user_id: str, run_id: str) -> bool:
        return self.copied


@dataclass
class InMemoryCustody:
    """Seals, or answers with a failure."""

    failure: Failure | None = None
    sealed: list[Sealing] = field(default_factory=list)

    async def seal_upload(self, sealing: Sealing) -> str | Failure:
        self.sealed.append(sealing)
        return self.failure or "cd" * 32


@dataclass
class InMemoryPapers:
    requests: list[str] = field(default_factory=list)

    async def keep_request(self, user_id: str, run_id: str, request: str) -> None:
        self.requests.append(request)


class PapersAway:
    async def keep_request(self, user_id: str, run_id: str, request: str) -> None:
        raise Retryable(FailureCode.STORE_UNAVAILABLE)


class InMemoryOriginals:
    """Holds what an upload that was cut off left beside the photos."""

    def __init__(self) -> None:
        self.kept: list[str] | None = None

    async def keep_only(self, user_id: str, run_id: str, photo_ids: Collection[str]) -> None:
        self.kept = list(photo_ids)


@dataclass
class InMemoryLeftovers:
    """So many objects in each group; `denied` names a group that cannot be deleted."""

    denied: str = ""

    async def clear_work(self, why: Disposal) -> Sequence[Cleared]:
        return [Cleared("clean", 3, 30), Cleared("archive", 0, 0, denied=self.denied == "archive")]

    async def clear_originals(self, why: Disposal) -> Sequence[Cleared]:
        return [Cleared("original", 4, 40), *await self.clear_work(why)]


@dataclass
class InMemorySpans:
    finished: list[tuple[str, datetime, datetime, str]] = field(default_factory=list)

    def finish(self, run_id: str, started_at: datetime, ended_at: datetime, outcome: str) -> None:
        self.finished.append((run_id, started_at, ended_at, outcome))


def a_kept_run(*events: RunEvent, submitted: bool = True) -> Run:
    facts = Facts()
    for each in events:
        facts = facts.after(each, AT)
    wish = RunRequest(name="Me").model_dump_json()
    return Run(IDS["user_id"], IDS["run_id"], wish, AT, AT + timedelta(minutes=1) if submitted else None, facts)


async def ports(message: Any, run: Run | None, **changes: Any) -> list[Outcome]:
    given: dict[str, Any] = {
        "runs": InMemoryRuns(run),
        "custody": InMemoryCustody(),
        "originals": InMemoryOriginals(),
        "papers": InMemoryPapers(),
        "leftovers": InMemoryLeftovers(),
        "spans": InMemorySpans(),
        "originals_kept": timedelta(hours=24),
        "late_work": timedelta(hours=1),
        "evidence_held": timedelta(0),
        **changes,
    }
    return await step(HANDLERS, message, **given)


async def test_a_fact_is_folded() -> None:
    event = an_event(PhotosValidated, **IDS)
    assert await ports(event, None) == [Keep(Seen(event))]


async def test_a_terminal_fact_winds_the_run_up() -> None:
    event, spans = an_event(ModelReady, **IDS), InMemorySpans()
    out = await ports(event, a_kept_run(), spans=spans)
    why = {**IDS, "reason": event.ce_type, "statement": event.statement}
    assert out == [
        Keep(Seen(event)),
        Later(ClearWork(**why), timedelta(0)),
        Later(ClearOriginals(**why), timedelta(hours=24)),
        Later(ClearIncoming(**why), timedelta(0)),
        Later(ClearIncoming(**why), timedelta(hours=24)),
        Later(ClearWork(**why), timedelta(hours=1)),
    ]
    assert spans.finished == [
        (IDS["run_id"], AT + timedelta(minutes=1), SteppingTurn().got_at, "lifemask.model.ready.v1")
    ]


async def test_an_expired_draft_keeps_no_photos() -> None:
    event = an_event(RunCanceled, **IDS, stage="request", reason="draft_expired")
    out = await ports(event, a_kept_run(submitted=False))
    assert out[2] == Later(ClearOriginals(**IDS, reason=event.ce_type), timedelta(0))


async def test_an_unfinished_submission_is_sealed() -> None:
    run, papers, custody = a_kept_run(), InMemoryPapers(), InMemoryCustody()
    reminder = SealUpload(user_id=run.user_id, run_id=run.id)
    (accepted,) = await ports(reminder, run, papers=papers, custody=custody)
    assert isinstance(accepted, RunAccepted)
    assert (accepted.statement, accepted.photos) == ("cd" * 32, 12)
    assert papers.requests == [run.request]
    (sealing,) = custody.sealed
    assert (sealing.at, sealing.request_sha256) == (
        run.submitted_at,
        hashlib.sha256(run.request.encode()).hexdigest(),
    )


@pytest.mark.parametrize(
    "run",
    [None, a_kept_run(submitted=False), a_kept_run(an_event(RunAccepted, **IDS))],
)
async def test_nothing_is_sealed_that_is_not_waiting(run: Run | None) -> None:
    assert await ports(SealUpload(user_id=IDS["user_id"], run_id=IDS["run_id"]), run) == []


async def test_a_broken_chain_ends_the_run() -> None:
    failure = Failure.of(FailureCode.CUSTODY_BROKEN, link="upload")
    reminder = SealUpload(user_id=IDS["user_id"], run_id=IDS["run_id"])
    (failed,) = await ports(reminder, a_kept_run(), custody=InMemoryCustody(failure))
    assert isinstance(failed, RunFailed)
    assert (failed.stage, failed.failure) == (Stage.REQUEST, failure)


async def test_a_store_that_is_away_is_asked_again() -> None:
    reminder = SealUpload(user_id=IDS["user_id"], run_id=IDS["run_id"])
    assert await ports(reminder, a_kept_run(), papers=PapersAway()) == [Later(reminder, timedelta(seconds=30))]


async def test_a_submission_that_never_succeeds_fails() -> None:
    (failed,) = await ports(GiveUp(user_id=IDS["user_id"], run_id=IDS["run_id"]), None)
    assert isinstance(failed, RunFailed)
    assert failed.failure.code == "deadline"


@pytest.mark.parametrize(
    ("run", "expected"),
    [(None, 0), (a_kept_run(), 0), (a_kept_run(submitted=False), 1)],
)
async def test_only_a_draft_expires(run: Run | None, expected: int) -> None:
    assert len(await ports(ExpireDraft(user_id=IDS["user_id"], run_id=IDS["run_id"]), run)) == expected


async def test_what_was_deleted_is_recorded() -> None:
    reminder = ClearOriginals(**IDS, reason=ModelReady.ce_type)
    out = await ports(reminder, a_kept_run())
    assert out == [
        Keep(Disposed(IDS["user_id"], IDS["run_id"], "original", 4, 40)),
        Keep(Disposed(IDS["user_id"], IDS["run_id"], "clean", 3, 30)),
    ]


async def test_originals_that_are_being_copied_are_not_deleted() -> None:
    reminder = ClearOriginals(**IDS, reason=ModelReady.ce_type)
    out = await ports(reminder, None, runs=InMemoryRuns(a_kept_run(), copied=True))
    assert out == [Later(reminder, timedelta(minutes=1))]


async def test_a_refused_deletion_is_recorded_and_asked_again() -> None:
    reminder = ClearWork(**IDS, reason=ModelReady.ce_type)
    out = await ports(reminder, a_kept_run(), leftovers=InMemoryLeftovers("archive"))
    assert out[1:] == [
        Keep(Disposed(IDS["user_id"], IDS["run_id"], "archive", 0, 0, "denied")),
        Later(reminder.model_copy(update={"since": SteppingTurn().got_at}), timedelta(hours=1)),
    ]


async def test_evidence_of_broken_custody_is_held_only_when_somebody_asked_for_it() -> None:
    failure = Failure.of(FailureCode.CUSTODY_BROKEN, link="clean photo: missing or differs")
    event = an_event(RunFailed, **IDS, stage="package", failure=failure)
    for hours, work, originals in ((0, 0, 24), (72, 72, 72)):
        out = await ports(event, a_kept_run(), evidence_held=timedelta(hours=hours))
        later = [each for each in out if isinstance(each, Later)]
        assert [each.after for each in later if isinstance(each.message, ClearWork)] == [
            timedelta(hours=work),
            timedelta(hours=work + 1),
        ]
        kept = [each.after for each in later if isinstance(each.message, ClearOriginals)]
        assert kept == [timedelta(hours=originals)]


def test_a_run_that_ends_here_is_shown_as_over_at_once() -> None:
    event = an_event(RunCanceled, **IDS)
    assert on_end(RunEnded(event, IDS["user_id"], IDS["run_id"])) == [Keep(Seen(event))]
