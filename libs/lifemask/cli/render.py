"""Shows a journey while it happens: verdicts line by line with live bars below, or JSON lines."""

from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from lifemask.cli.out import Out
from lifemask.cli.stages import stage_bars
from lifemask.cli.tables import bars_table, run_header, verdict_line
from lifemask.cli.views import Photo, Run, Uploaded


class Show:
    """A Watcher that draws on a terminal and writes facts otherwise. Use as a context around the journey."""

    def __init__(self, out: Out, note: Callable[[Run], None] = lambda _: None) -> None:
        self._out = out
        self._note = note
        self._photos = 0
        self._run: Run | None = None
        self._live: Live | None = None

    def __enter__(self) -> Self:
        if not self._out.as_json:
            self._live = Live(
                console=self._out.console, get_renderable=self._picture, refresh_per_second=8, transient=False
            )
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def opened(self, run: Run, photos: int) -> None:
        self._photos, self._run = photos, run
        self._out.fact("opened", run_id=run.id, photos=photos)

    def uploaded(self, result: Uploaded) -> None:
        why = " ".join(filter(None, (result.sentence, result.next_step)))
        if result.status != "received":
            self._out.show(verdict_line(result.name, usable=result.status == "duplicate", why=why))
        self._out.fact("uploaded", name=result.name, status=result.status, code=result.code, sentence=why or None)

    def judged(self, photo: Photo) -> None:
        usable = photo.status == "usable"
        self._out.show(verdict_line(photo.name or photo.id, usable=usable, why=photo.why))
        codes = [verdict.code for verdict in photo.verdicts]
        self._out.fact("judged", name=photo.name, usable=usable, verdicts=codes, sentence=photo.why or None)

    def moved(self, run: Run) -> None:
        self._run = run
        self._note(run)
        self._out.fact(
            "progress",
            run_id=run.id,
            status=run.status,
            stage=run.stage,
            progress=run.progress,
            delayed=run.delayed,
            photos=run.photos.model_dump(),
            training_percent=run.training.percent,
            summary=run.summary,
        )

    def _picture(self) -> RenderableType:
        if self._run is None:
            return Text("")
        return Group(Text(""), bars_table(stage_bars(self._run, self._photos)), run_header(self._run))
