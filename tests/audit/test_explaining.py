"""The sweep as a table: what is explained, and what is not, with its cost."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from lifemask.audit.explaining import Unexplained, explain
from lifemask.audit.inventory import Inventory, Rows, Store
from lifemask.audit.provider import Training
from lifemask.contracts import ModelReady, RunFailed
from lifemask.objects.keys import Key
from lifemask.objects.port import ObjectInfo

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
EARLIER = NOW - timedelta(days=3)
ANN, RUN, MODEL = "acme.ann", "0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e0f", "0192f7a0-3333-7d3e-8f40-5a6b7c8d9e0f"
PRICE = Decimal("0.001525")
Row = dict[str, Any]


def run(**changes: Any) -> Row:
    ended = {"over": True, "ended_as": ModelReady.ce_type, "ended_at": EARLIER}
    return {"user_id": ANN, "run_id": RUN, "created_at": EARLIER} | ended | changes


def model(**changes: Any) -> Row:
    found = {"version": "1-1", "weights": "w", "hub_repo": "us/lora", "ready_at": EARLIER, "revoked_at": None}
    return {"user_id": ANN, "run_id": RUN, "model_id": MODEL} | found | changes


def publication(**changes: Any) -> Row:
    found = {"state": "published", "place": "1-1", "repo": "us/lora", "changed_at": EARLIER}
    return {"user_id": ANN, "run_id": RUN, "model_id": MODEL} | found | changes


def attempt(**changes: Any) -> Row:
    found = {"state": "succeeded", "training": "t1", "version": "us/models:v1", "archive_url": "https://h/a?x=1"}
    return {"user_id": ANN, "run_id": RUN, "number": 1, "intended_at": EARLIER} | found | changes


def booked(**changes: Any) -> Row:
    return {"user_id": ANN, "training": "t1", "cost_usd": Decimal("1.04"), "found_at": EARLIER} | changes


def stored(*keys: str, size: int = 10, at: datetime = EARLIER) -> Store:
    store = Store()
    for key in (f"users/{ANN}/models/{MODEL}/1-1/lora.safetensors", *keys):
        store.add(ObjectInfo(Key(key), size, at))
    return store


def everything() -> Inventory:
    """One model, and all that it is made of."""
    rows = Rows(NOW, {(ANN, RUN): run()}, [model()], [publication()], [attempt()], [booked()])
    training = Training("t1", "succeeded", "/a", Decimal(682))
    return Inventory(NOW, rows, stored(), [training], ["v1"], ["us/lora"], {})


def told(inventory: Inventory) -> list[tuple[str, str]]:
    return [(one.kind, one.name) for one in explain(inventory, PRICE)]


def with_rows(**changes: Any) -> Inventory:
    return replace(everything(), rows=replace(everything().rows, **changes))


def test_what_belongs_together_is_explained() -> None:
    assert told(everything()) == []
    assert told(replace(everything(), trainings=None, versions=None, repos=None)) == []


@pytest.mark.parametrize(
    ("inventory", "expected"),
    [
        (lambda: replace(everything(), broken={MODEL: "weights: bad signature"}), [("model", MODEL)]),
        (lambda: with_rows(models=[]), [("run", RUN)]),
        (lambda: replace(everything(), repos=["us/lora", "us/other"]), [("repository", "us/other")]),
        (lambda: replace(everything(), repos=[]), [("model", MODEL)]),
        (lambda: replace(everything(), versions=["v1", "v2"]), [("version", "v2")]),
        (lambda: replace(everything(), trainings=[]), [("training", "t1")]),
        (lambda: replace(everything(), store=Store()), [("model", MODEL)]),
        (lambda: with_rows(attempts=[attempt(state="failed")]), [("model", MODEL)]),
        (
            lambda: with_rows(publications=[publication(state="withdrawn")]),
            [("model", MODEL), ("model in the store", f"{MODEL}/1-1"), ("repository", "us/lora")],
        ),
        (
            lambda: with_rows(models=[model(revoked_at=EARLIER)], publications=[publication(state="revoked")]),
            [("model in the store", f"{MODEL}/1-1"), ("repository", "us/lora"), ("version", "v1")],
        ),
        (
            lambda: replace(everything(), store=stored(f"users/{ANN}/models/{MODEL}/1-2/lora.safetensors")),
            [("model in the store", f"{MODEL}/1-2")],
        ),
        (
            lambda: replace(everything(), store=stored(f"users/acme.bob/models/{MODEL}/1-1/lora.safetensors")),
            [("model in the store", f"{MODEL}/1-1")],
        ),
    ],
)
def test_what_is_not_explained_is_listed(inventory: Callable[[], Inventory], expected: list[tuple[str, str]]) -> None:
    assert told(inventory()) == expected


def test_a_training_of_nobody_is_listed_with_what_it_cost() -> None:
    more = [Training("t9", "succeeded", "/z", Decimal("682.0")), Training("t1", "succeeded", None, Decimal(1))]
    [found] = explain(replace(everything(), trainings=more), PRICE)
    assert found == Unexplained("training", "t9", "succeeded; no attempt of ours", cost_usd=Decimal("1.04"))
    adopted = [Training("t9", "processing", "/a", Decimal(0)), *(everything().trainings or ())]
    assert told(replace(everything(), trainings=adopted)) == []


@pytest.mark.parametrize(
    ("key", "row", "is_explained"),
    [
        (f"users/{ANN}/runs/{RUN}/custody/owner.json", run(), True),
        (f"users/{ANN}/runs/{RUN}/request.json", run(), True),
        (f"users/{ANN}/runs/{RUN}/clean/p.jpg", run(), False),
        (f"users/{ANN}/runs/{RUN}/clean/p.jpg", run(ended_at=NOW - timedelta(minutes=5)), True),
        (f"users/{ANN}/runs/{RUN}/original/p", run(ended_at=NOW - timedelta(hours=20)), True),
        (f"users/{ANN}/runs/{RUN}/original/p", run(), False),
        (f"users/{ANN}/runs/{RUN}/original/p", run(over=False, ended_at=None, ended_as=None), True),
        (f"users/{ANN}/runs/{RUN}/other/p", run(), False),
        (f"users/{ANN}/runs/{MODEL}/custody/owner.json", run(), False),
        (f"users/{ANN}/contact.json", run(), True),
        (f"quarantine/{ANN}/{RUN}/x.dsse.json", run(), False),
        (f"quarantine/{ANN}/{RUN}/x.dsse.json", run(ended_as=RunFailed.ce_type), True),
        ("disposals/20260101T000000000000Z.dsse.json", run(), True),
        ("incoming/acme/ann/u1/p.jpg", run(), True),
        ("notes.txt", run(), False),
    ],
)
def test_objects_are_explained_by_their_run(key: str, row: Row, is_explained: bool) -> None:
    rows = {(ANN, RUN): row}
    found = [one for one in explain(replace(with_rows(runs=rows), store=stored(key)), PRICE) if one.kind == "objects"]
    assert bool(found) is not is_explained
    assert all(one.bytes == 10 for one in found)


def test_evidence_of_a_failed_run_is_held_for_as_long_as_ingest_holds_it() -> None:
    rows = {(ANN, RUN): run(ended_as=RunFailed.ce_type)}
    found = replace(with_rows(runs=rows), store=stored(f"users/{ANN}/runs/{RUN}/archive/1.zip"))
    assert [one.kind for one in explain(found, PRICE)].count("objects") == 1
    assert [one.kind for one in explain(found, PRICE, timedelta(days=4))].count("objects") == 0


def test_old_uploads_that_no_run_took_over_are_listed() -> None:
    store = stored("incoming/acme/ann/u1/p.jpg", "incoming/acme/ann/u1/q.jpg", at=NOW - timedelta(days=9))
    [found] = [one for one in explain(replace(everything(), store=store), PRICE) if one.kind == "objects"]
    assert (found.name, found.bytes) == ("incoming/acme/ann/u1", 20)


def test_what_came_while_the_sweep_looked_is_left_to_the_next_one() -> None:
    late = NOW + timedelta(seconds=1)
    rows = replace(everything().rows, models=[model(ready_at=late)], trainings=[booked(found_at=late)])
    found = replace(everything(), rows=rows, store=Store(), trainings=[], repos=[])
    assert told(found) == []
