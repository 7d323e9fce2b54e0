"""What a run's state is in words: what happens, whose move it is, the next step."""

from typing import Final, NamedTuple

from lifemask.contracts import (
    ModelRevoked,
    Move,
    RunCanceled,
    RunCancelRequested,
    RunFailed,
    RunRejected,
    TrainingStarted,
)
from lifemask.ingest.domain.runs import Counts, Run
from lifemask.ingest.domain.status import Status, is_cancel_too_late, percent, reached, stall_of

_WAIT: Final = "Nothing to do: we tell you when it is done."


class Words(NamedTuple):
    """Sentences for people."""

    summary: str
    move: Move
    next_step: str


def words_of(run: Run, counts: Counts, needed: int) -> Words:
    """The words of a run with photos in these numbers that certainly needs `needed` more."""
    if run.facts.end is not None:
        return _ended(run, counts)
    if run.facts.has(RunCancelRequested):
        return Words("The run is being cancelled.", Move.US, _WAIT)
    if stall := stall_of(run):
        return Words(
            "Delayed, our side: a step of this run could not be finished yet.", Move.US, stall.failure.next_step
        )
    match reached(run):
        case Status.DRAFT:
            return _draft(run, counts, needed)
        case Status.ACCEPTED:
            return Words("The photos are accepted; the run begins.", Move.US, _WAIT)
        case Status.VALIDATING:
            return Words("We look at the photos.", Move.US, _WAIT)
        case Status.PACKAGING:
            return Words("We pack the photos for the training.", Move.US, _WAIT)
        case Status.TRAINING if run.facts.has(TrainingStarted):
            return Words(f"The model is being trained: {percent(run.facts)} %.", Move.PROVIDER, _WAIT)
        case Status.TRAINING:
            return Words("The training is about to start.", Move.US, _WAIT)
        case _:
            return Words("The model is trained; we publish it.", Move.US, _WAIT)


def _draft(run: Run, counts: Counts, needed: int) -> Words:
    if run.submits and not needed:
        return Words("The photos of the earlier run are taken over; then this run begins.", Move.US, _WAIT)
    if needed:
        return Words("A draft: it takes photos.", Move.YOU, f"Add at least {needed} more good photos.")
    if counts.coming:
        return Words(
            "A draft: the photos of the earlier run are taken over.", Move.YOU, "Submit the run in a few seconds."
        )
    if counts.pending:
        return Words(
            "A draft: photos are being looked at.", Move.YOU, "Submit the run, or wait for the verdicts first."
        )
    return Words("A draft with enough good photos.", Move.YOU, "Submit the run.")


def _ended(run: Run, counts: Counts) -> Words:
    words = _end(run, counts)
    if run.restarted_as is None:
        return words
    return Words(words.summary, Move.NOBODY, "It was started again: look at the newer run.")


def _end(run: Run, counts: Counts) -> Words:
    match run.facts.end.event if run.facts.end else None:
        case RunRejected(failure=failure) | RunFailed(failure=failure):
            return Words(failure.what, failure.move, failure.next_step)
        case RunCanceled(reason="draft_expired"):
            return Words(
                "The draft was never submitted, so it was closed and its photos were deleted.",
                Move.NOBODY,
                "Start a new run whenever you like.",
            )
        case RunCanceled():
            again = "Start it again within 24 hours with its photos, or start" if counts.received else "Start"
            return Words("The run was cancelled.", Move.NOBODY, f"{again} a new run whenever you like.")
        case _ if (revoked := run.facts.one(ModelRevoked)) is not None:
            return Words(f"The model was withdrawn: {revoked.reason}", Move.NOBODY, "Stop using this model.")
        case _ if is_cancel_too_late(run):
            return Words("The model is ready; the cancellation came too late.", Move.NOBODY, "Use your model, or not.")
        case _:
            return Words("The model is ready.", Move.NOBODY, "Use your model.")
