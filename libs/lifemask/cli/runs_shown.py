"""One run on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from lifemask.cli.out import Out
from lifemask.cli.stages import stage_bars
from lifemask.cli.tables import bars_table, facts_table, run_header, verdict_line
from lifemask.cli.training import trace_id
from lifemask.cli.views import Photo, Run


def show_run(out: Out, user: str, body: Mapping[str, Any], photos: Sequence[Photo]) -> None:
    """Everything about it, the newest last."""
    run = Run.model_validate(body)
    out.show(facts_table({"run": run.id, "name": run.name, "user": user, "trace": trace_id(run.id), **_more(run)}))
    out.show()
    for photo in photos:
        if photo.status == "pending":
            out.show(f"  · {photo.name or photo.id}")
        else:
            out.show(verdict_line(photo.name or photo.id, usable=photo.status == "usable", why=photo.why))
    out.show(bars_table(stage_bars(run)))
    out.show(run_header(run))
    for attempt in run.attempts:
        told = [str(attempt[name]) for name in ("stage", "number", "result", "code", "channel") if attempt.get(name)]
        out.show(f"  [dim]{' '.join(told)}[/]")


def _more(run: Run) -> dict[str, str]:
    rows = {"trigger": run.training.trigger_word or ""}
    if run.model:
        rows |= {"model": f"{run.model.id}  version {run.model.version}", "hub": run.model.hub_repo or ""}
    if run.cost:
        rows["cost"] = f"estimated ${run.cost.estimated}, billed ${run.cost.billed}"
    if metadata := run.metadata:
        rows["metadata"] = "  ".join(f"{name}={value}" for name, value in metadata.items())
    return rows
