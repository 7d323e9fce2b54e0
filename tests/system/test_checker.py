"""The checker can fail: each doctored history breaks exactly the invariant that it should."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from tests.system.checker import INVARIANTS, STAGES, broken
from tests.system.history import (
    Answer,
    Attempt,
    Baton,
    Billed,
    Dataset,
    Fact,
    Handled,
    History,
    Notice,
    Published,
    Stream,
    trace_of,
)

USER, RUN, MODEL = "acme.u1", "0192f7a0-1111-7d3e-8f40-5a6b7c8d9e0f", "0192f7a0-3333-7d3e-8f40-5a6b7c8d9e0f"
BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
PHOTOS = frozenset(f"clean {number}" for number in range(12))
STORY: tuple[tuple[str, dict[str, Any]], ...] = (
    ("run.accepted", {}),
    ("photos.validated", {}),
    ("dataset.sealed", {}),
    ("training.started", {}),
    ("training.succeeded", {"attempt": 1}),
    ("model.ready", {"model_id": MODEL, "weights": "w"}),
    ("notification.delivered", {"notification": "n-email"}),
    ("notification.delivered", {"notification": "n-webhook"}),
)
PASSED_AS = ("run.accepted", "photos.validated", "dataset.sealed", "training.succeeded", "model.ready")


CHANGES = ((1, "accepted"), (2, "validated"), (3, "ready"))


def done(number: int) -> Handled:
    return Handled(source="lifemask/test", id=f"id {number}", run=RUN)


def a_fact(number: int, kind: str, body: dict[str, Any]) -> Fact:
    return Fact(
        kind=kind,
        user=USER,
        run=RUN,
        at=BEGAN + timedelta(seconds=number),
        id=f"id {number}",
        body=body,
        traceparent=f"00-{trace_of(RUN)}-00f067aa0ba902b7-01",
    )


def a_history() -> History:
    """One run that went well."""
    times = (0, 1, 2, 4, 5)
    return History(
        facts=[a_fact(number, kind, body) for number, (kind, body) in enumerate(STORY)],
        submitted={(USER, RUN)},
        batons=[
            Baton(
                service=service,
                user=USER,
                run=RUN,
                taken_at=BEGAN + timedelta(seconds=(-1, *times)[at]),
                passed_at=BEGAN + timedelta(seconds=times[at]),
                passed_as=f"lifemask.{PASSED_AS[at]}.v1",
                deadline_at=BEGAN + timedelta(hours=1),
            )
            for at, service in enumerate(STAGES)
        ],
        outbox={f"id {number}": 1 for number in range(len(STORY))},
        attempts=[
            Attempt(
                user=USER, run=RUN, number=1, state="succeeded", stop=False, path="/a", booked={"t": Decimal("1.0401")}
            )
        ],
        billed=[
            Billed(
                id="t", path="/a", is_over=True, succeeded=True, cost=Decimal("1.04005"), photos=tuple(sorted(PHOTOS))
            )
        ],
        photos={(USER, RUN): {f"original {number}" for number in range(12)}},
        datasets={(USER, RUN): Dataset(clean=PHOTOS, originals=frozenset(f"original {n}" for n in range(12)))},
        models={MODEL: (USER, RUN)},
        published={MODEL: Published(stated="w", store="w", hub="w")},
        publishing={(USER, RUN): MODEL},
        notices=[
            Notice(
                id=f"n-{channel}",
                user=USER,
                run=RUN,
                outcome="lifemask.model.ready.v1",
                channel=channel,
                state="delivered",
            )
            for channel in ("email", "webhook")
        ],
        mails=["n-email"],
        objects={f"users/{USER}/runs/{RUN}/request.json"},
        audits={MODEL: ""},
        asked={(USER, "key"): {RUN}},
        answers=[Answer(asked="GET /v1/users/u1", status=404, body='{"code": "not_found", "next_step": "Ask."}')],
        places_in_log={("lifemask/test", f"id {number}"): ("runs/0", number) for number in range(len(STORY))},
        handled={("trainer", USER): [done(0), done(2)]},
        streams={(USER, RUN): Stream(whole=CHANGES, known=1, rest=CHANGES[1:])},
        strangers=[Answer(asked="a stranger's GET", status=404, body='{"code": "not_found", "next_step": "Ask."}')],
        places={"Kafka": b"photo_id", "spans": b"", "log of ingest": b"starting"},
        canaries={"mail address": "u1@example.com"},
    )


def add(kind: str, **body: Any) -> Callable[[History], None]:
    """Something more was said at the end."""
    return lambda history: history.facts.append(a_fact(99, kind, body))


def without(kind: str) -> Callable[[History], None]:
    """Something was never said, and is not in an outbox either."""

    def doctor(history: History) -> None:
        gone = [fact for fact in history.facts if fact.kind == kind]
        history.facts = [fact for fact in history.facts if fact.kind != kind]
        for fact in gone:
            del history.outbox[fact.id]

    return doctor


def a_training(**changes: Any) -> Callable[[History], None]:
    """The provider's books say otherwise."""

    def doctor(history: History) -> None:
        history.billed = [replace(history.billed[0], **changes)]

    return doctor


def one_more_training(history: History) -> None:
    history.billed.append(replace(history.billed[0], id="t2"))
    history.attempts = [replace(history.attempts[0], booked={"t": Decimal("1.0401"), "t2": Decimal("1.0401")})]


def not_booked(history: History) -> None:
    history.attempts = [replace(history.attempts[0], booked={"t": None})]


def still_published(history: History) -> None:
    """The run failed, its model is not announced, and its weights lie in the store."""
    without("model.ready")(history)
    history.facts.append(a_fact(5, "run.failed", {}))
    history.batons[-1] = replace(history.batons[-1], passed_as="lifemask.run.failed.v1")
    history.notices = [replace(notice, outcome="lifemask.run.failed.v1") for notice in history.notices]
    history.models = {}


def in_two_places(history: History) -> None:
    history.batons[2] = replace(history.batons[2], taken_at=BEGAN)


def too_late(history: History) -> None:
    history.batons[3] = replace(history.batons[3], deadline_at=BEGAN)


def said_twice(history: History) -> None:
    history.facts.append(replace(history.facts[0], raw=b"other"))


def other_weights(history: History) -> None:
    history.published = {MODEL: Published(stated="w", store="w", hub="other")}


def a_strangers_photo(history: History) -> None:
    history.photos = {(USER, RUN): set()}


def in_another_trace(history: History) -> None:
    history.facts[2] = replace(history.facts[2], traceparent=f"00-{'0' * 32}-00f067aa0ba902b7-01")


def left_behind(history: History) -> None:
    history.objects.add(f"users/{USER}/runs/{RUN}/clean/x.jpg")


def set_to(**fields: Any) -> Callable[[History], None]:
    def doctor(history: History) -> None:
        for name, value in fields.items():
            setattr(history, name, value)

    return doctor


DOCTORED: tuple[tuple[str, Callable[[History], None]], ...] = (
    ("1", add("run.failed")),
    ("1", add("training.progressed")),
    ("1", too_late),
    ("2", add("dataset.sealed")),
    ("2", without("photos.validated")),
    ("2", in_two_places),
    ("3", one_more_training),
    ("3", not_booked),
    ("3", a_training(cost=Decimal("2.08"))),
    ("3", a_training(path="/elsewhere")),
    ("4", still_published),
    ("5", set_to(unsent={"packager": 1})),
    ("5", set_to(outbox={"unheard": 1})),
    ("5", said_twice),
    ("7", other_weights),
    ("7", set_to(published={})),
    ("7", add("model.revoked", model_id=MODEL)),
    ("7", set_to(published={MODEL: "the chain is broken at weights"})),
    ("7, audit", set_to(audits={MODEL: "weights: these are others"})),
    ("6", set_to(asked={(USER, "key"): {RUN, MODEL}})),
    ("11", set_to(handled={("trainer", USER): [done(2), done(0)]})),
    ("11", set_to(handled={("trainer", USER): [done(2), done(0)]}, is_refilled=True)),
    ("11", set_to(streams={(USER, RUN): Stream(whole=CHANGES, known=1, rest=CHANGES[2:])})),
    ("11", set_to(streams={(USER, RUN): Stream(whole=CHANGES[1:], known=1, rest=CHANGES[2:])})),
    ("11", set_to(streams={(USER, RUN): Stream(problem="503")})),
    ("12", set_to(places={"spans": b"to u1@example.com"})),
    ("12", set_to(places={"rows": b"u1@example.com".hex().encode()})),
    ("18", set_to(answers=[Answer(asked="GET /", status=500, body="Internal Server Error")])),
    ("18", set_to(answers=[Answer(asked="/", status=500, body='{"code":"c","next_step":"n","detail":"Traceback"}')])),
    ("18", set_to(strangers=[Answer(asked="a stranger's GET", status=404, body="")])),
    ("19", set_to(strangers=[Answer(asked="a stranger's GET", status=200, body='{"code": "c", "next_step": "n"}')])),
    ("13, 17", set_to(poisoned={"trainer": 1})),
    ("8", a_strangers_photo),
    ("8", a_training(photos=("clean 1",))),
    ("8", set_to(datasets={(USER, RUN): "the chain is broken"})),
    ("9", set_to(models={})),
    ("9", a_training(succeeded=False)),
    ("10", without("notification.delivered")),
    ("10", add("notification.delivered", notification="n-email")),
    ("10", set_to(mails=[])),
    ("10", set_to(notices=[])),
    ("16", in_another_trace),
    ("13, 17", left_behind),
    ("13, 17", set_to(undone={"trainer": 1})),
    ("13, 17", set_to(dead={"trainer": 1})),
)


def test_a_good_history_is_sound() -> None:
    assert broken(a_history()) == []


def test_a_revoked_model_leaves_its_statement_alone() -> None:
    add("model.revoked", model_id=MODEL)(history := a_history())
    history.published = {MODEL: Published(stated="w", store=None, hub=None)}
    assert broken(history) == []


@pytest.mark.parametrize(("number", "doctor"), DOCTORED)
def test_a_doctored_history_breaks_its_invariant(number: str, doctor: Callable[[History], None]) -> None:
    doctor(history := a_history())
    assert any(problem.startswith(f"invariant {number}:") for problem in broken(history)), broken(history)


def test_every_invariant_is_shown_to_fail() -> None:
    assert {number for number, _ in DOCTORED} == set(INVARIANTS)
