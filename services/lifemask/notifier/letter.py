"""What a person is written: what happened, whose move it is, the next step. Text and HTML say the same."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC
from typing import Final

from lifemask.contracts import (
    ModelReady,
    ModelRevoked,
    Move,
    Refused,
    RunCanceled,
    RunFailed,
    RunRejected,
    SecurityReported,
    app_of,
    sentence,
)
from lifemask.notifier.domain import CUSTODY, Fact, StoppedRun

Section = tuple[str, tuple[str, ...]]
"""A heading and its lines."""

_MOVES: Final = {
    Move.YOU: "Yours.",
    Move.US: "Ours.",
    Move.PROVIDER: "The training provider's.",
    Move.NOBODY: "Nobody's: all is done.",
}
_LOOK: Final = (
    "Look at the table security of each service named, and find out who can write to Kafka. "
    "With the reason “stored photo differs”: who can write to the store. "
    "A reason “key rotated out” may be a service that was not started again after its key was changed."
)
_STYLE: Final = "font-family:sans-serif;line-height:1.5;max-width:38em;margin:1em auto;color:#222"


@dataclass(frozen=True, slots=True)
class Called:
    """How the person calls the model and its likeness; both None when the request is not known any more."""

    name: str | None = None
    trigger_word: str | None = None


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail before it is one."""

    subject: str
    sections: tuple[Section, ...]
    footer: str

    @property
    def text(self) -> str:
        """The plain text."""
        blocks = ["\n".join((heading, *(f"  {line}" for line in lines))) for heading, lines in self.sections]
        return "\n\n".join((self.subject, *blocks, f"-- \n{self.footer}")) + "\n"

    @property
    def html(self) -> str:
        """The same as a page; every word of it escaped."""
        blocks = "".join(
            f'<h2 style="font-size:1em">{html.escape(heading)}</h2>\n<p>{"<br>".join(map(html.escape, lines))}</p>\n'
            for heading, lines in self.sections
        )
        return (
            f'<!DOCTYPE html>\n<html lang="en">\n<head><meta charset="utf-8"><title>{html.escape(self.subject)}</title>'
            f'</head>\n<body style="{_STYLE}">\n<h1 style="font-size:1.4em">{html.escape(self.subject)}</h1>\n{blocks}'
            f'<p style="color:#777;font-size:.85em">{html.escape(self.footer)}</p>\n</body>\n</html>\n'
        )


def write(fact: Fact, called: Called) -> Letter:
    """The letter about a fact."""
    name = f"“{one_line(called.name)}”" if called.name and one_line(called.name) else "your model"
    subject, sections = _about(fact, name, called)
    footer = (
        f"Run {fact.run_id}. You get this mail once, because {app_of(fact.user_id)} has your address for such news."
    )
    return Letter(subject[0].upper() + subject[1:], sections, footer)


def warn(reports: Sequence[SecurityReported], runs: Sequence[StoppedRun]) -> Letter:
    """The letter to the operator about refused records and stopped runs: nothing of their content, no person.

    `runs` are those of which the reports tell; of very many only the first.
    """
    kinds = [(report.service, kind) for report in reports for kind in report.refused]
    stopped = sum(kind.count for _, kind in kinds if kind.reason == CUSTODY)
    refused = [(service, kind) for service, kind in kinds if kind.reason != CUSTODY]
    total = sum(kind.count for _, kind in refused)
    subjects = {
        f"Custody broken: {_runs(stopped)} stopped": stopped,
        f"Lifemask refused {total} forged or unknown records": total,
    }
    since = min(report.since for report in reports).astimezone(UTC)
    return Letter(
        "; ".join(subject for subject, count in subjects.items() if count),
        (
            *(_stopped(stopped, runs) if stopped else ()),
            *(_refused(total, refused) if refused else ()),
            ("Since", (f"{since:%Y-%m-%d %H:%M} UTC",)),
        ),
        "You get one such mail in a while, because LIFEMASK_OPERATOR_MAIL names you.",
    )


def _stopped(total: int, runs: Sequence[StoppedRun]) -> tuple[Section, ...]:
    more = (f"and {total - len(runs)} more: the table security of notifier names them",) if total > len(runs) else ()
    what = f"Photos, statements or weights were not what was sealed: {_runs(total)} stopped."
    return (
        ("Custody broken", (what, *(f"Run {one.run_id} of app {app_of(one.user_id)}" for one in runs), *more)),
        ("Whose move it is", (_MOVES[Move.US],)),
        (
            "Next step",
            (
                "Look for custody_broken and the run in the logs: the stage, the link and both digests are there.",
                "Its signed statements, and the signed refusal, are kept in the store under quarantine/.",
                "Find out who could write to the store, the bus or the database, and whether a key must be rotated.",
            ),
        ),
    )


def _refused(total: int, refused: Sequence[tuple[str, Refused]]) -> tuple[Section, ...]:
    what = f"{total} records were not from who they say, or their photo was not as announced."
    return (
        ("What happened", (what, "They touched no run: nothing was paid or published because of them.")),
        ("Refused", tuple(f"{service}: {kind.count} x {kind.type}, {kind.reason}" for service, kind in refused)),
        ("Next step", (_LOOK,)),
    )


def _runs(count: int) -> str:
    return "1 run was" if count == 1 else f"{count} runs were"


def one_line(text: str) -> str:
    """A person's own words without line breaks or anything else that does not print."""
    return " ".join("".join(character if character.isprintable() else " " for character in text).split())


def _about(fact: Fact, name: str, called: Called) -> tuple[str, tuple[Section, ...]]:
    match fact:
        case ModelReady():
            return f"{name} is ready", _ready(fact, called)
        case ModelRevoked():
            return f"{name} was withdrawn", (*_story(*_revoked(fact)), ("Model", (fact.model_id,)))
        case RunRejected():
            return f"{name} needs more photos", (*_story(*_told(fact)), *_photos(fact))
        case RunFailed():
            return f"{name} could not be made", (*_story(*_told(fact)), *_cost(fact))
        case RunCanceled():
            return f"{name} was cancelled", _story(*_cancelled(fact))
    return f"{name} is delayed", _story(*_told(fact))


def _story(what: str, move: Move, next_step: str) -> tuple[Section, ...]:
    return ("What happened", (what,)), ("Whose move it is", (_MOVES[move],)), ("Next step", (next_step,))


def _told(fact: "RunRejected | RunFailed | Fact") -> tuple[str, Move, str]:
    """The catalogue's own words, which everybody else shows as well."""
    assert not isinstance(fact, ModelReady | ModelRevoked | RunCanceled)
    return fact.failure.what, fact.failure.move, fact.failure.next_step


def _cost(fact: RunFailed) -> tuple[Section, ...]:
    return (("Cost", (f"The training provider bills ${fact.cost_usd}.",)),) if fact.cost_usd else ()


def _cancelled(fact: RunCanceled) -> tuple[str, Move, str]:
    if fact.reason == "draft_expired":
        what = "The photos were never submitted, so the draft was closed and its photos were deleted."
        return what, Move.NOBODY, "Start a new run whenever you like."
    what = "The run was cancelled on request. Nothing was published."
    return what, Move.NOBODY, "Start it again within 24 hours with its photos, or start a new run whenever you like."


def _revoked(fact: ModelRevoked) -> tuple[str, Move, str]:
    what = f"The model was taken back and is no longer published. The reason: {one_line(fact.reason)}"
    return what, Move.NOBODY, "Stop using this model, and delete your copies of its weights."


def _ready(fact: ModelReady, called: Called) -> tuple[Section, ...]:
    word = f" Write {called.trigger_word} in a prompt where you want to be seen." if called.trigger_word else ""
    place = (f"Model: {fact.model_id}, version {fact.version}", f"Model store: {fact.store_key}")
    hub = (f"Private repository: {fact.hub_repo}, commit {fact.hub_commit}",) if fact.hub_repo else ()
    return (
        *_story(
            "The model is trained and published; what was published was compared with what was trained.",
            Move.NOBODY,
            f"Use the model.{word}",
        ),
        ("Where it is", (*place, *hub, f"SHA-256 of the weights: {fact.weights}")),
    )


def _photos(fact: RunRejected) -> tuple[Section, ...]:
    """Photos by their number in the set: file names stay where the person can erase them."""
    unfit = tuple(
        f"Photo {number}: {' '.join(sentence(code) for code in photo.verdicts)}"
        for number, photo in enumerate(fact.photos, start=1)
        if not photo.usable
    )
    return (("Photos that cannot be used", unfit),) if unfit else ()
