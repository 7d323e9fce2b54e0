"""`lifemask demo`: everything from an empty directory to a published model, and nothing left behind."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Annotated

import typer

from lifemask.cli.out import Out
from lifemask.cli.perform import AsJson, Debug, needs_extra, perform
from lifemask.cli.stops import Code, Stop

if TYPE_CHECKING:
    from lifemask.cli.machine import Machine
    from lifemask.cli.views import Run

USER = "visitor"
CONTACT = "visitor@example.com"
REQUEST = {"name": "Demonstration portrait", "trigger_word": "TOK"}


class Door(StrEnum):
    """How the photos come in."""

    HTTP = "http"
    KAFKA = "kafka"


Photos = Annotated[
    Path | None, typer.Option("--photos", exists=True, file_okay=False, help="Your own photos instead of drawn ones.")
]
DoorOption = Annotated[Door, typer.Option("--door", help="How the photos come in.")]
Keep = Annotated[bool, typer.Option("--keep", help="Leave the data directory, with all logs, in place.")]


@dataclass
class Outcome:
    """What the last JSON line tells."""

    status: str = "not_started"
    run_id: str | None = None
    model_id: str | None = None
    began: float = field(default_factory=time.monotonic)
    seconds: float | None = None

    def note(self, run: "Run") -> None:
        self.status, self.run_id = run.status, run.id
        self.model_id = run.model.id if run.model else None
        self.seconds = round(time.monotonic() - self.began, 2) if run.is_over else None


def demo(
    *,
    photos: Photos = None,
    door: DoorOption = Door.HTTP,
    keep: Keep = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Run everything in a temporary directory, train a model on drawn portraits, show each step, clean up."""
    perform(lambda out: _demo(out, photos, door, keep=keep, debug=debug), as_json=as_json, debug=debug)


async def _demo(out: Out, photos: Path | None, door: Door, *, keep: bool, debug: bool) -> Code:
    outcome = Outcome()
    out.fact("begun", door=door.value, photos=str(photos) if photos else None)
    try:
        return await _play(out, photos, outcome, door, keep=keep, log=debug)
    except Stop as stop:
        out.problem(stop.what, stop.next_step, exit_code=int(stop.code))
        return stop.code
    finally:
        out.fact(
            "finished",
            status=outcome.status,
            run_id=outcome.run_id,
            model_id=outcome.model_id,
            seconds=outcome.seconds or round(time.monotonic() - outcome.began, 2),
        )


async def _play(out: Out, photos: Path | None, outcome: Outcome, door: Door, *, keep: bool, log: bool) -> Code:
    try:
        from lifemask.cli.chosen import isolated, left_out
        from lifemask.cli.machine import running
        from lifemask.cli.portraits import draw_album
        from lifemask.cli.supervisor import Console, Interrupted
    except ImportError as error:
        raise needs_extra(error, "one-machine") from None
    from lifemask.cli.journey import photos_in

    if photos is not None:
        photos_in(photos)
    if ignored := left_out(os.environ):
        out.show(f"[dim]Not used here, a demonstration pays nothing: {', '.join(ignored)}[/]")
    async with _folder(keep=keep) as home:
        console = Console(home / "logs", sys.stderr if log else None)
        album = home / "photos" if photos is None else photos
        drawing = asyncio.create_task(asyncio.to_thread(draw_album, album)) if photos is None else None
        try:
            out.show("Starting Kafka, PostgreSQL, six services and a sandbox of the outside world …")
            async with running(isolated(os.environ), home, console) as machine:
                started = round(time.monotonic() - outcome.began, 2)
                out.fact("started", url=machine.url, seconds=started, data=str(home))
                out.show(f"Everything runs after {started:.1f} s; the API is {machine.url}\n")
                if drawing:
                    await drawing
                return await _train(out, machine, photos_in(album), outcome, door)
        except Interrupted:
            return Code.INTERRUPTED
        finally:
            if drawing:
                await asyncio.gather(drawing, return_exceptions=True)
            console.close()
            if keep:
                out.show(f"Kept: {home}")


async def _train(out: Out, machine: "Machine", photos: list[Path], outcome: Outcome, door: Door) -> Code:
    from lifemask.cli.announcing import announce_photos, shown_at_last
    from lifemask.cli.audit import audit_model
    from lifemask.cli.client import Api
    from lifemask.cli.demo_end import tell_the_end
    from lifemask.cli.house import app_signer
    from lifemask.cli.installation import Installation
    from lifemask.cli.training import TooFew, exit_code, show_too_few, train_photos
    from lifemask.cli.upstream import Upstream

    assert machine.app is not None  # a demonstration has an app of its own
    assert machine.app_key is not None
    async with Api(machine.url, machine.app_key) as api:
        await api.set_contact(USER, CONTACT)
        try:
            if door is Door.KAFKA:
                upstream = Upstream(
                    machine.app, machine.kafka, machine.topic_prefix, machine.objects, app_signer(machine.data)
                )
                run = await announce_photos(upstream, USER, photos, REQUEST, out, note=outcome.note)
            else:
                run = await train_photos(api, USER, photos, REQUEST, out, note=outcome.note)
        except TooFew as problem:
            show_too_few(out, problem)
            return problem.code
        run = await shown_at_last(api, USER, run.id)
    outcome.note(run)
    await tell_the_end(out, machine, run, user=USER, contact=CONTACT)
    if run.model is None:
        return exit_code(run)
    out.show("\n[bold]Chain of custody[/]")
    return await audit_model(out, Installation.find(machine.data, {}), run.model.id) or exit_code(run)


@asynccontextmanager
async def _folder(*, keep: bool) -> AsyncIterator[Path]:
    """A new directory; removed at the end, unless it is to be kept."""
    if keep:
        yield Path(mkdtemp(prefix="lifemask-demo-"))
        return
    with TemporaryDirectory(prefix="lifemask-demo-", ignore_cleanup_errors=True) as name:
        yield Path(name)
