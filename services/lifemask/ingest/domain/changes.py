"""What changed visibly between two moments of a run: one numbered change, or none."""

import json
from dataclasses import dataclass
from typing import Any

from lifemask.contracts import ModelRevoked
from lifemask.ingest.domain.photos import Photo, show_photo
from lifemask.ingest.domain.runs import Counts, Run
from lifemask.ingest.domain.view import RunView, show_run


@dataclass(frozen=True, slots=True)
class Change:
    """One visible change of a run: `seq` counts from 1 without gaps, `data` is JSON text. After a terminal one nothing
    is to be waited for: the run's end, and later the withdrawal of its model.
    """

    seq: int
    kind: str
    data: str
    terminal: bool


@dataclass(frozen=True, slots=True)
class Moment:
    """A run with the numbers of its photos; None before it began."""

    run: Run | None
    counts: Counts | None


def change_of(
    before: Moment, after: Moment, minimum: int, *, photo: Photo | None = None, removed: bool = False
) -> Change | None:
    """The next change of the run, when somebody who looks would see a difference or `photo` changed.

    Its data holds the run as shown, without the app's labels, and the photo that it is about.
    """
    if after.run is None:
        return None
    old, new = _view(before, minimum), _view(after, minimum)
    if new is None or (photo is None and old == new):
        return None
    data: dict[str, Any] = {"run": new.model_dump(mode="json", exclude={"metadata"})}
    if photo is not None:
        data["photo"] = show_photo(photo).model_dump(mode="json") | ({"status": "removed"} if removed else {})
    kind = "photo" if photo is not None else "run"
    terminal = _last_words(after.run) != _last_words(before.run)
    return Change(after.run.seq + 1, kind, json.dumps(data, separators=(",", ":")), terminal=terminal)


def _last_words(run: Run | None) -> tuple[bool, bool]:
    return (run.is_over, run.facts.has(ModelRevoked)) if run is not None else (False, False)


def _view(moment: Moment, minimum: int) -> RunView | None:
    if moment.run is None or moment.counts is None:
        return None
    return show_run(moment.run, moment.counts, minimum)
