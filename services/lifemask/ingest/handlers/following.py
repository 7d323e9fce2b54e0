"""Facts of all services become the run's view; a terminal fact winds the run up."""

from collections.abc import Sequence
from datetime import timedelta

from lifemask.bus.outcomes import Keep, Later, Outcome, RunEnded, Turn
from lifemask.contracts import FailureCode, RunCanceled, RunEvent, RunFailed
from lifemask.ingest.domain.rows import Seen
from lifemask.ingest.ports import Runs, Spans
from lifemask.ingest.reminders import ClearIncoming, ClearOriginals, ClearWork


async def follow(event: RunEvent) -> Sequence[Outcome]:
    """The view folds the fact; the writer does it under the run's lock."""
    return [Keep(Seen(event))]


async def wind_up(
    event: RunEvent,
    *,
    runs: Runs,
    spans: Spans,
    originals_kept: timedelta,
    late_work: timedelta,
    evidence_held: timedelta,
    turn: Turn,
) -> Sequence[Outcome]:
    """A terminal fact: shown, traced, and what was temporary goes; later also what a late worker wrote.

    Evidence of broken custody may be held a while.
    """
    run = await runs.run(event.user_id, event.run_id)
    if run is not None:
        spans.finish(run.id, run.submitted_at or run.created_at, turn.got_at, event.ce_type)
    why = {**event.run, "reason": event.ce_type, "statement": getattr(event, "statement", None)}
    incoming = ClearIncoming(**why)
    expired = isinstance(event, RunCanceled) and event.reason == "draft_expired"
    held = evidence_held if _is_evidence(event) else timedelta(0)
    return [
        Keep(Seen(event)),
        Later(ClearWork(**why), held),
        Later(ClearOriginals(**why), timedelta(0) if expired else max(originals_kept, held)),
        Later(incoming, timedelta(0)),
        Later(incoming, originals_kept),
        Later(ClearWork(**why), held + late_work),
    ]


def _is_evidence(event: RunEvent) -> bool:
    return isinstance(event, RunFailed) and event.failure.code == FailureCode.CUSTODY_BROKEN


def on_end(ended: RunEnded) -> Sequence[Keep]:
    """A run that ends here is shown as over in the same transaction."""
    return [Keep(Seen(ended.terminal))] if isinstance(ended.terminal, RunEvent) else []
