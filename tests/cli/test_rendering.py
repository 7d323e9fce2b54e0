"""What a terminal shows, on a recorded console; and that JSON lines and drawing exclude each other."""

import hashlib
import io
import json
from datetime import UTC, datetime

from rich.console import Console

from lifemask.cli.demo_end import folded, shown_text
from lifemask.cli.eventlog import Logged
from lifemask.cli.out import Out
from lifemask.cli.render import Show
from lifemask.cli.stages import State, stage_bars
from lifemask.cli.tables import bars_table, events_table, run_header, runs_table, verdict_line
from lifemask.cli.training import TooFew, show_too_few, trace_id
from lifemask.cli.views import Counts, Photo, Reason, Run, Training, Uploaded

RUN = Run(
    id="0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e0f",
    name="Por[bold]trait",
    status="training",
    stage="train",
    progress=46,
    summary="The model is being trained: 42 %.",
    whose_move="provider",
    next_step="Nothing to do.",
    photos=Counts(received=20, usable=16, rejected=4),
    training=Training(steps=1000, step=420, percent=42),
    timings={"created_at": "2026-01-01T00:00:00Z", "submitted_at": "2026-01-01T00:00:02.5Z"},
)


def test_stages_of_a_training_run() -> None:
    bars = stage_bars(RUN)
    assert [bar.state for bar in bars] == [State.DONE] * 3 + [State.WORKING, State.WAITING]
    assert (bars[0].seconds, bars[3].share, bars[3].note) == (2.5, 0.42, "step 420 of 1000")


def test_stages_of_a_draft_follow_the_verdicts() -> None:
    draft = RUN.model_copy(update={"status": "draft", "photos": Counts(received=8, pending=3, usable=5)})
    assert stage_bars(draft, photos=20)[0].share == 0.25


def test_stages_of_runs_that_ended() -> None:
    assert {bar.state for bar in stage_bars(RUN.model_copy(update={"status": "ready", "stage": "notify"}))} == {
        State.DONE
    }
    failed = stage_bars(RUN.model_copy(update={"status": "failed"}))
    assert [bar.state for bar in failed][3:] == [State.ENDED, State.WAITING]
    assert stage_bars(RUN.model_copy(update={"status": "rejected", "stage": "validate"}))[1].state is State.ENDED


def test_a_run_on_a_terminal() -> None:
    text = _drawn(bars_table(stage_bars(RUN)), run_header(RUN), runs_table([("me", RUN)]))
    assert "✓ photos" in text
    assert "2.5 s" in text
    assert "step 420 of 1000" in text
    assert "The provider's move: Nothing to do." in text
    assert "Por[bold]trait" in text  # words of others are no markup


def test_a_verdict_is_one_line() -> None:
    assert _drawn(verdict_line("a.jpg", usable=True)).split() == ["✓", "a.jpg"]
    assert "too blurry" in _drawn(verdict_line("b.jpg", usable=False, why="The photo is too blurry."))


def test_who_has_too_few_photos_reads_what_makes_a_good_set() -> None:
    console = Console(file=io.StringIO(), width=140)
    draft = RUN.model_copy(update={"photos": Counts(received=8, usable=6, rejected=2, needed=6)})
    show_too_few(Out(as_json=False, console=console), TooFew(draft, {"b.jpg": "The photo is too blurry."}))
    text = console.file.getvalue()  # type: ignore[attr-defined] # a StringIO, as made above
    assert "What makes a good set of photos" in text
    assert "Pick the photos yourself" in text
    assert text.index("too blurry") < text.index("different expressions") < text.index("6 more photos needed")


def test_the_event_log_is_a_table() -> None:
    event = Logged(
        topic="lifemask.datasets",
        user_id="demo.me",
        type="lifemask.dataset.sealed.v1",
        source="packager",
        id="1",
        time=datetime(2026, 1, 1, 12, tzinfo=UTC),
        run_id=RUN.id,
        facts={"photos": 16, "statement": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},
    )
    text = _drawn(events_table([event]))
    assert "dataset.sealed" in text
    assert "photos=16  statement=9f86d081884c…" in text


def test_a_journey_as_json_lines() -> None:
    stream = io.StringIO()
    _tell(Out(as_json=True, stream=stream))
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [line["event"] for line in lines] == ["opened", "uploaded", "uploaded", "judged", "progress"]
    assert lines[3] == {
        "event": "judged",
        "name": "b.jpg",
        "usable": False,
        "verdicts": ["blurry"],
        "sentence": "The photo is too blurry.",
    }
    assert lines[4]["training_percent"] == 42


def test_a_journey_on_a_terminal() -> None:
    stream = io.StringIO()
    _tell(Out(as_json=False, console=Console(file=stream, force_terminal=True, width=120)))
    text = stream.getvalue()
    assert "✗ " in text
    assert "The photo is too blurry." in text
    assert "{" not in text
    assert "step 420 of 1000" in text


def test_a_problem_is_said_without_markup() -> None:
    stream = io.StringIO()
    Out(as_json=False, console=Console(file=stream, width=120)).problem("[red] is no colour here.", "Do it.")
    assert "[red] is no colour here." in stream.getvalue()


def _tell(out: Out) -> None:
    with Show(out) as show:
        show.opened(RUN, 2)
        show.uploaded(Uploaded(name="a.jpg", status="received", photo_id="1"))
        show.uploaded(Uploaded(name="a.jpg", status="duplicate", photo_id="1", sentence="It counts once."))
        blurry = Reason(code="blurry", sentence="The photo is too blurry.")
        show.judged(Photo(id="2", name="b.jpg", status="rejected", verdicts=(blurry,)))
        show.moved(RUN)


def _drawn(*what: object) -> str:
    console = Console(record=True, width=160, file=io.StringIO())
    for each in what:
        console.print(each)
    return console.export_text()


def test_many_photo_events_are_one_line_each_type() -> None:
    judged = [_logged("lifemask.photos", "lifemask.photo.judged.v1", {"usable": number > 3}) for number in range(20)]
    accepted = _logged("lifemask.runs", "lifemask.run.accepted.v1", {"photos": 20})
    lines = folded([*judged, accepted])
    assert [line.facts for line in lines] == [{"photos": 20, "usable": 16}, {"photos": 20}]
    assert len(folded(judged[:3])) == 3


def test_the_trace_follows_from_the_run() -> None:
    assert trace_id(RUN.id) == hashlib.sha256(RUN.id.encode()).digest()[:16].hex()


def _logged(topic: str, ce_type: str, facts: dict[str, object]) -> Logged:
    return Logged(topic, "demo.me", ce_type, "test", "1", datetime(2026, 1, 1, tzinfo=UTC), RUN.id, facts)


def test_a_mail_is_shown_whole_but_for_its_footer() -> None:
    lines = [f"line {number}" for number in range(30)]
    assert shown_text({"text": "\r\n\r\n".join(lines) + "\r\n\r\n-- \r\nRun 1.\r\n"}) == "\n".join(lines)
