"""A run as its events tell it, in whatever order the topics come."""

from datetime import UTC, datetime

from lifemask.cli.heard import Heard
from lifemask.contracts import (
    DatasetSealed,
    Event,
    ModelReady,
    PhotoJudged,
    PhotoReceived,
    PhotosUploaded,
    PhotosValidated,
    RunAccepted,
    RunCanceled,
    RunEvent,
    RunFailed,
    RunRejected,
    RunStalled,
    TrainingProgressed,
    TrainingSucceeded,
    new_id,
    photo_id_of,
)
from lifemask.testkit.events import a_run, an_event

AT = datetime(2026, 1, 1, tzinfo=UTC)
RUN = a_run()


def heard(*kinds: type[RunEvent] | RunEvent) -> Heard:
    found = Heard.of(an_event(PhotosUploaded, **RUN), AT)
    for kind in kinds:
        found.hear(kind if isinstance(kind, Event) else an_event(kind, **RUN), AT)
    return found


def test_a_run_goes_through_its_stages() -> None:
    run = heard(RunAccepted, PhotosValidated, DatasetSealed, TrainingProgressed).run
    assert (run.status, run.training.percent) == ("training", an_event(TrainingProgressed, **RUN).percent)
    run = heard(RunAccepted, PhotosValidated, DatasetSealed, TrainingSucceeded, ModelReady).run
    assert (run.status, run.progress, run.is_over) == ("ready", 100, True)
    assert run.model is not None


def test_a_status_never_goes_back() -> None:
    run = heard(TrainingSucceeded, RunAccepted, DatasetSealed).run
    assert run.status == "publishing"
    assert {"submitted_at", "packaged_at", "trained_at"} <= run.timings.keys()


def test_photos_are_counted_and_named_by_their_objects() -> None:
    judged = an_event(
        PhotoJudged, **RUN, photo_id=photo_id_of(RUN["run_id"], "01.jpg"), usable=False, verdicts=["blurry"]
    )
    other = an_event(PhotoJudged, **RUN, photo_id=new_id(), usable=True, verdicts=[])
    found = heard(PhotoReceived, PhotoReceived, PhotoReceived, judged, judged, other)
    assert found.run.photos.model_dump() == {"received": 3, "pending": 1, "usable": 1, "rejected": 1, "needed": 0}
    shown = found.photo(judged)
    assert (shown.name, shown.status, shown.verdicts[0].code) == ("01.jpg", "rejected", "blurry")
    assert shown.why


def test_ends_say_what_happened() -> None:
    run = heard(RunRejected).run
    assert (run.status, run.stage, run.whose_move) == ("rejected", "request", "provider")
    assert heard(RunAccepted, RunRejected).run.stage == "validate"
    assert heard(RunFailed).run.stage == "train"
    assert heard(RunCanceled).run.status == "canceled"
    assert heard(RunAccepted, RunStalled).run.delayed
