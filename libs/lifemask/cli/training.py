"""One run from a folder to its end, shown while it happens; what `train` and `demo` have in common."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.text import Text

from lifemask.cli.client import Api
from lifemask.cli.journey import Journey
from lifemask.cli.out import Out
from lifemask.cli.render import Show
from lifemask.cli.stops import Code, Failed
from lifemask.cli.tables import verdict_line
from lifemask.cli.views import Run
from lifemask.contracts import Occasion, advice_for


class TooFew(Failed):
    """Too few photos of the draft can be used. `unfit` says why, by file name."""

    def __init__(self, run: Run, unfit: Mapping[str, str]) -> None:
        counts = run.photos
        photos = "1 more photo" if counts.needed == 1 else f"{counts.needed} more photos"
        super().__init__(
            f"{photos} needed: {counts.usable} of {counts.received} can be used.",
            f"Add at least {counts.needed} good photo{'s' if counts.needed > 1 else ''} of the person and try again.",
        )
        self.run = run
        self.unfit = dict(unfit)


async def train_photos(
    api: Api,
    user: str,
    photos: Sequence[Path],
    request: Mapping[str, Any],
    out: Out,
    *,
    run_id: str | None = None,
    note: Callable[[Run], None] = lambda _: None,
) -> Run:
    """Uploads, submits, follows; returns the run at its terminal fact. Raises TooFew, ApiProblem.

    `note` is told the run whenever it changed, so that a caller who is interrupted knows how far it came.
    """
    with Show(out, note) as show:
        journey = Journey(api, user, show)
        async with journey.draft(request, photos=len(photos), run_id=run_id) as draft:
            if draft.status != "draft":
                what = f"Run {draft.id} takes no more photos: it is {draft.status}."
                raise Failed(what, "Start a new one without --run.")
            run = await journey.upload(photos)
            if run.photos.needed:
                raise TooFew(run, journey.unfit)
            return await journey.submit()


def show_too_few(out: Out, problem: TooFew) -> None:
    """Why each unfit photo is unfit, what makes a good set, and how many more are needed."""
    out.show()
    for name, why in problem.unfit.items():
        out.show(verdict_line(name, usable=False, why=why))
    for occasion in (Occasion.GOOD_SET, Occasion.PICK_BY_HAND):
        words = advice_for(occasion)
        out.show()
        out.show(Text(words.title, style="bold"))
        for advice in words.advice:
            out.show(Text(f"  · {advice.text}"))
    out.show()
    unfit = [{"name": name, "why": why} for name, why in problem.unfit.items()]
    out.problem(problem.what, problem.next_step, run_id=problem.run.id, needed=problem.run.photos.needed, unfit=unfit)


def trace_id(run_id: str) -> str:
    """The trace of a run: the first 16 bytes of the SHA-256 of its id, in hexadecimal."""
    return hashlib.sha256(run_id.encode()).hexdigest()[:32]


def exit_code(run: Run | None) -> Code:
    """Only a model counts as success."""
    return Code.DONE if run is not None and run.status == "ready" else Code.FAILED
