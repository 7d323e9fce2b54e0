"""Folding facts into the view: the same whatever order the topics come in, and nothing goes back."""

import itertools
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lifemask.contracts import (
    DatasetSealed,
    Failure,
    FailureCode,
    ModelReady,
    ModelRevoked,
    NotificationDelivered,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunCancelRequested,
    RunEvent,
    RunFailed,
    RunRejected,
    RunRequest,
    RunStalled,
    Stage,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
)
from lifemask.ingest.domain.changes import Moment, change_of
from lifemask.ingest.domain.facts import Facts
from lifemask.ingest.domain.runs import Counts, Run, missing
from lifemask.ingest.domain.view import RunView, show_run
from lifemask.testkit.events import a_run, an_event

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
IDS = a_run()
COUNTS = Counts(received=14, pending=0, usable=12, rejected=2)


def event(kind: type[RunEvent], **changes: object) -> RunEvent:
    return an_event(kind, **IDS, **changes)


STORY: tuple[RunEvent, ...] = (
    event(RunAccepted),
    event(PhotosValidated, received=14, usable=12),
    event(DatasetSealed),
    event(RunStalled, stage="train"),
    event(TrainingStarted, attempt=1),
    event(TrainingProgressed, attempt=1, percent=90, step=900),
    event(TrainingStarted, attempt=2, training="second"),
    event(TrainingProgressed, attempt=2, percent=10, step=100),
    event(TrainingProgressed, attempt=2, percent=60, step=600),
    event(TrainingSucceeded, attempt=2, training="second"),
    event(NotificationDelivered, channel="email", tries=2),
)
LOST = event(RunStalled, stage="train", failure=Failure.of(FailureCode.TRAINING_UNSETTLED))
ENDINGS: tuple[RunEvent, ...] = (
    event(ModelReady),
    event(RunFailed, stage="publish"),
    event(RunCanceled, stage="publish"),
    event(RunRejected, received=14, usable=10, needed=2),
)


def a_run_with(*events: RunEvent, submitted: bool = True) -> Run:
    facts = Facts()
    for each in events:
        facts = facts.after(each, AT)
    wish = RunRequest(name="Me").model_dump_json()
    return Run(IDS["user_id"], IDS["run_id"], wish, AT, AT if submitted else None, facts)


def shown(*events: RunEvent, submitted: bool = True, counts: Counts = COUNTS) -> RunView:
    return show_run(a_run_with(*events, submitted=submitted), counts, 12)


@st.composite
def arrivals(draw: st.DrawFn) -> list[RunEvent]:
    """The story with an ending, in an order that Kafka allows (by topic), some of it twice."""
    story = [*STORY, draw(st.sampled_from(ENDINGS))]
    queues = {topic: [each for each in story if each.topic is topic] for topic in {each.topic for each in story}}
    order = draw(st.permutations([each.topic for each in story]))
    came = [queues[topic].pop(0) for topic in order]
    again = draw(st.lists(st.sampled_from(came), max_size=5))
    return [*came, *(each for each in again if not isinstance(each, RunStalled | NotificationDelivered))]


@settings(deadline=None)  # the machine may be busy
@given(arrivals())
def test_every_order_across_topics_ends_in_the_same_view(came: Sequence[RunEvent]) -> None:
    ending = next(each for each in came if isinstance(each, tuple(type(end) for end in ENDINGS)))
    assert shown(*came) == shown(*STORY, ending)


@settings(deadline=None)  # the machine may be busy
@given(arrivals())
def test_the_status_never_goes_back(came: Sequence[RunEvent]) -> None:
    views = [shown(*came[:seen]) for seen in range(len(came) + 1)]
    ranks = ["accepted", "validating", "packaging", "training", "publishing"]
    over = False
    for before, after in itertools.pairwise(views):
        if over:
            assert after.status == before.status
        elif after.status in ranks:
            assert ranks.index(after.status) >= ranks.index(before.status)
        over = after.status not in ranks


@pytest.mark.parametrize(
    ("events", "status", "stage", "progress", "move"),
    [
        ((), "accepted", "request", 2, "us"),
        (STORY[:1], "validating", "validate", 5, "us"),
        (STORY[:2], "packaging", "package", 10, "us"),
        (STORY[:3], "training", "train", 15, "us"),
        ((*STORY[:3], *STORY[4:5]), "training", "train", 15, "provider"),
        ((*STORY[:3], *STORY[4:6]), "training", "train", 82, "provider"),
        ((*STORY[:3], *STORY[4:8]), "training", "train", 22, "provider"),
        (STORY[:10], "publishing", "publish", 92, "us"),
        ((*STORY, ENDINGS[0]), "ready", "notify", 100, "nobody"),
        ((*STORY[:3], event(RunFailed, stage="train")), "failed", "train", 15, "provider"),
        ((STORY[0], event(RunRejected)), "rejected", "validate", 5, "provider"),
        ((event(RunCanceled, stage="train"),), "canceled", "train", 2, "nobody"),
    ],
)
def test_the_view_of_each_state(
    events: tuple[RunEvent, ...], status: str, stage: str, progress: int, move: str
) -> None:
    view = shown(*events)
    assert (view.status, view.stage, view.progress, view.whose_move) == (status, stage, progress, move)
    assert view.summary
    assert view.next_step


def test_a_second_attempt_begins_at_its_own_percent() -> None:
    """Progress belongs to the latest attempt, so it may be lower than the one before."""
    assert shown(*STORY[:6]).training.percent == 90
    assert shown(*STORY[:7]).training.percent == 0
    assert shown(*STORY[:9]).training.model_dump()["step"] == 600


@pytest.mark.parametrize(
    ("events", "delayed"),
    [
        ((STORY[0], event(RunStalled, stage="validate")), True),
        ((STORY[0], event(RunStalled, stage="package")), True),
        ((*STORY[:3], event(RunStalled, stage="package")), False),
        ((*STORY[:3], event(RunStalled, stage="train")), True),
        ((*STORY[:3], event(RunStalled, stage="train"), ENDINGS[1]), False),
        ((*STORY[:3], LOST), True),
        ((*STORY[:3], LOST, STORY[4]), False),
        ((*STORY[:3], STORY[4], LOST), False),
        ((*STORY[:3], STORY[4], event(RunStalled, stage="train")), True),
    ],
)
def test_a_stall_delays_until_its_stage_is_past(events: tuple[RunEvent, ...], *, delayed: bool) -> None:
    view = shown(*events)
    assert view.delayed is delayed
    assert view.summary.startswith("Delayed, our side") is delayed


def test_a_failure_tells_what_everybody_is_told() -> None:
    failure = Failure.of(FailureCode.DEADLINE, stage="package")
    view = shown(STORY[0], event(RunFailed, stage="package", failure=failure, cost_usd="1.04"))
    assert (view.summary, view.whose_move, view.next_step) == (failure.what, failure.move, failure.next_step)
    assert [(each.stage, each.result, each.code, each.category) for each in view.attempts] == [
        ("package", "failed", "deadline", "timeout")
    ]
    assert view.cost is not None
    assert (view.cost.estimated, view.cost.billed) == (None, "1.04")


def test_a_cancel_that_came_too_late_is_told() -> None:
    asked = event(RunCancelRequested)
    assert shown(*STORY[:3], asked).summary == "The run is being cancelled."
    for events in ((*STORY, asked, ENDINGS[0]), (ENDINGS[0], asked)):
        view = shown(*events)
        assert (view.status, view.cancel_too_late) == ("ready", True)
        assert view.summary == "The model is ready; the cancellation came too late."


@pytest.mark.parametrize("end", ENDINGS)
def test_a_cancel_is_too_late_for_every_end_but_its_own(end: RunEvent) -> None:
    assert shown(*STORY, event(RunCancelRequested), end).cancel_too_late is not isinstance(end, RunCanceled)
    assert not shown(*STORY, end).cancel_too_late
    assert not shown(*STORY, event(RunCancelRequested)).cancel_too_late


def test_a_provider_that_was_away_delays_no_training_that_was_started() -> None:
    away = event(RunStalled, stage="train", failure=Failure.of(FailureCode.PROVIDER_UNAVAILABLE))
    assert shown(*STORY[:3], away).delayed
    assert not shown(*STORY[:3], away, STORY[4]).delayed


def test_a_withdrawn_model_says_so() -> None:
    view = shown(*STORY, ENDINGS[0], event(ModelRevoked))
    assert view.model is not None
    assert view.model.revoked == "The owner asked for it."
    assert view.next_step == "Stop using this model."


@pytest.mark.parametrize(
    ("counts", "needed", "next_step"),
    [
        (Counts(), 12, "Add at least 12 more good photos."),
        (Counts(11, 11, 0, 0), 1, "Add at least 1 more good photos."),
        (Counts(12, 12, 0, 0), 0, "Submit the run, or wait for the verdicts first."),
        (Counts(12, 0, 11, 1), 1, "Add at least 1 more good photos."),
        (Counts(13, 1, 11, 1), 0, "Submit the run, or wait for the verdicts first."),
        (Counts(13, 0, 12, 1), 0, "Submit the run."),
    ],
)
def test_a_draft_says_what_it_takes(counts: Counts, needed: int, next_step: str) -> None:
    view = shown(submitted=False, counts=counts)
    assert missing(counts, 12) == view.photos.needed == needed
    assert (view.whose_move, view.next_step) == ("you", next_step)


def test_the_decided_numbers_hold() -> None:
    late = Counts(received=14, pending=3, usable=9, rejected=2)
    view = shown(*STORY[:2], counts=late)
    assert view.photos.model_dump() == {"received": 14, "pending": 0, "usable": 12, "rejected": 2, "needed": 0}
    view = shown(STORY[0], ENDINGS[3], counts=late)
    assert view.photos.model_dump() == {"received": 14, "pending": 0, "usable": 10, "rejected": 4, "needed": 2}


def test_a_change_is_numbered_and_only_made_when_something_shows() -> None:
    before = Moment(a_run_with(STORY[0]), COUNTS)
    assert change_of(before, before, 12) is None
    change = change_of(before, Moment(a_run_with(*STORY[:2]), COUNTS), 12)
    assert change is not None
    assert (change.seq, change.kind, change.terminal) == (1, "run", False)
    over = change_of(before, Moment(a_run_with(*STORY, ENDINGS[1]), COUNTS), 12)
    assert over is not None
    assert over.terminal
    first = change_of(Moment(None, None), Moment(a_run_with(submitted=False), Counts()), 12)
    assert first is not None
    assert '"status":"draft"' in first.data


def test_stages_are_in_the_order_of_a_run() -> None:
    assert list(Stage) == ["request", "validate", "package", "train", "publish", "notify"]
