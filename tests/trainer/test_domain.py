"""Decisions as tables."""

import json
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.trainer.fakes import POLICY, SECOND

from lifemask.contracts import DatasetSealed, TrainingParameters, new_id
from lifemask.testkit.events import an_event
from lifemask.trainer.domain.attempt import (
    MOVES,
    OVER,
    ArchiveAddress,
    Attempt,
    AttemptId,
    KnownTraining,
    State,
    sources,
)
from lifemask.trainer.domain.planning import expiry, new_attempt, waits_for_record
from lifemask.trainer.domain.policy import Pace
from lifemask.trainer.domain.training import (
    Answer,
    Fate,
    Progress,
    Training,
    asked_delay,
    bill_of,
    choose,
    dollars,
    estimate,
    read_progress,
    refusal,
)
from lifemask.trainer.domain.watching import is_settled, needs_listing, next_watch
from lifemask.trainer.domain.weights import MAX_HEADER, UnsafeWeights, check_header, echo_of, header_length

AT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
NO_VERSION = "The specified version does not exist (or perhaps you don't have permission to use it?)"


@pytest.mark.parametrize(
    ("status", "detail", "answer"),
    [
        (400, "", Answer.INVALID),
        (401, "", Answer.DENIED),
        (402, "", Answer.UNPAID),
        (403, "", Answer.DENIED),
        (404, "", Answer.MISSING),
        (408, "", Answer.LOST),
        (409, "", Answer.INVALID),
        (413, "", Answer.INVALID),
        (422, "- input.steps: Must be less than or equal to 6000", Answer.INVALID),
        (422, NO_VERSION, Answer.MISSING),
        (429, "", Answer.BUSY),
        (302, "", Answer.LOST),
        (500, "", Answer.LOST),
        (502, "", Answer.LOST),
        (503, "", Answer.LOST),
        (504, NO_VERSION, Answer.LOST),
        (599, "", Answer.LOST),
    ],
)
def test_what_a_refusal_of_the_paid_call_means(status: int, detail: str, answer: Answer) -> None:
    assert refusal(status, detail) is answer


@pytest.mark.parametrize(
    ("detail", "delay"),
    [
        ("Request was throttled. Your rate limit resets in ~30s.", 30 * SECOND),
        ("Your rate limit for creating trainings resets in 5s", 5 * SECOND),
        ("resets in ~99999s", 600 * SECOND),
        ("Request was throttled.", None),
        ("", None),
    ],
)
def test_the_delay_that_a_refusal_asks_for(detail: str, delay: timedelta | None) -> None:
    assert asked_delay(detail) == delay


BAR = "flux_train_replicate:  42%|####2     | 420/1000 [04:46<06:35,  1.47it/s, lr: 1.0e-04 loss: 3.6e-01]"


@pytest.mark.parametrize(
    ("logs", "progress"),
    [
        ("", None),
        ("Extracted 12 files from zip to input_images\nTraining for 1000 steps\n", None),
        (BAR, Progress(42, 420, 1000)),
        ("flux_train_replicate:   0%|          | 0/1000 [00:00<?, ?it/s]\r" + BAR, Progress(42, 420, 1000)),
        (BAR + "\rflux_train_replicate:  43%|████▎     | 430/1000 [04:53<06:28]", Progress(43, 430, 1000)),
        (BAR + "\nSaving\nflux_train_replicate: 100%|██████████| 1000/1000 [11:22<00:00]", Progress(100, 1000, 1000)),
        (BAR + "\rflux_train_replicate:  4", Progress(42, 420, 1000)),
        ("other_bar:  42%|####2     | 420/1000", None),
        ("flux_train_replicate: 999%|x| 5/0", None),
        ("flux_train_replicate: 999%|x| 5/3", Progress(100, 5, 3)),
    ],
)
def test_progress_is_the_last_bar(logs: str, progress: Progress | None) -> None:
    assert read_progress(logs) == progress


def test_fates() -> None:
    fates = {status: Training("t", status).fate for status in ("starting", "processing", "queued", "succeeded")}
    assert fates == {
        "starting": Fate.OPEN,
        "processing": Fate.OPEN,
        "queued": Fate.OPEN,
        "succeeded": Fate.SUCCEEDED,
    }
    assert [Training("t", status).fate for status in ("canceled", "aborted", "failed")] == [
        Fate.STOPPED,
        Fate.STOPPED,
        Fate.FAILED,
    ]


@pytest.mark.parametrize(
    ("training", "seconds", "cost"),
    [
        (Training("t", "succeeded", predict_seconds=Decimal("682.0")), "682.0", "1.0401"),
        (Training("t", "succeeded", started_at=AT, completed_at=AT + 10 * SECOND), "10.0", "0.0153"),
        (Training("t", "canceled", predict_seconds=Decimal(-1)), "0", "0.0000"),
        (Training("t", "failed", started_at=AT, completed_at=AT - SECOND), "0", "0.0000"),
        (Training("t", "aborted", completed_at=AT), "0", "0.0000"),
    ],
)
def test_bills(training: Training, seconds: str, cost: str) -> None:
    bill = bill_of(training, POLICY.price)
    assert (str(bill.seconds), dollars(bill.cost)) == (seconds, cost)


def test_the_estimate_is_the_measured_price() -> None:
    assert dollars(estimate(1000, POLICY.seconds_per_step, POLICY.price)) == "1.0401"
    assert dollars(estimate(3, POLICY.seconds_per_step, POLICY.price)) == "0.0031"


@pytest.mark.parametrize(
    ("matches", "chosen"),
    [
        ([("a", "processing", 0)], "a"),
        ([("b", "processing", 1), ("a", "processing", 0)], "a"),
        ([("b", "processing", 1), ("a", "failed", 0)], "b"),
        ([("b", "succeeded", 1), ("a", "aborted", 0)], "b"),
        ([("b", "failed", 1), ("a", "canceled", 0)], "a"),
    ],
)
def test_which_of_several_is_adopted(matches: Sequence[tuple[str, str, int]], chosen: str) -> None:
    trainings = [Training(name, status, created_at=AT + age * SECOND) for name, status, age in matches]
    assert choose(trainings).id == chosen


def test_an_unaged_training_is_chosen_last() -> None:
    assert choose([Training("a", "starting"), Training("b", "starting", created_at=AT)]).id == "b"


@given(first=st.floats(0.1, 100), growth=st.floats(1, 10), longest=st.floats(0.1, 10_000), tries=st.integers(0, 10**9))
def test_delays_grow_to_their_bound(first: float, growth: float, longest: float, tries: int) -> None:
    pace = Pace(timedelta(seconds=first), growth, timedelta(seconds=longest))
    assert timedelta(0) < pace.delay(tries) <= pace.delay(tries + 1) <= timedelta(seconds=longest)


def test_an_attempt_is_never_left_for_a_state_before() -> None:
    for state in OVER:
        assert MOVES[state] == frozenset()
    assert sources(State.CREATING) == {State.INTENDED}
    assert sources(State.INTENDED) == {State.CREATING}
    assert sources(State.RUNNING) == {State.CREATING, State.UNKNOWN}
    assert set(MOVES) == set(State)


def attempt(**changes: Any) -> Attempt:
    number = changes.pop("number", 1)
    made = new_attempt(
        AttemptId("acme.anna", new_id(), number),
        dataset="a" * 64,
        archive_key="k",
        event=an_event(DatasetSealed, parameters=TrainingParameters()),
        at=AT,
        seen_at=AT,
        address=ArchiveAddress(f"https://x.test/{number}", gateway=True),
        expires_at=expiry(AT, POLICY.url_life, number),
        policy=POLICY,
    )
    return replace(made, **changes)


def test_no_two_attempts_expire_together() -> None:
    assert len({attempt(number=number).plan.url_expires_at for number in range(1, 10)}) == 9


@pytest.mark.parametrize(
    ("gateway", "fetches", "fate", "waits"),
    [
        (True, 0, Fate.SUCCEEDED, POLICY.records),
        (True, 0, Fate.FAILED, POLICY.failure_records),
        (True, 0, Fate.STOPPED, 0),
        (True, 0, Fate.OPEN, 0),
        (True, 1, Fate.SUCCEEDED, 0),
        (True, 2, Fate.FAILED, 0),
        (False, 0, Fate.SUCCEEDED, 0),
        (False, 0, Fate.FAILED, 0),
    ],
)
def test_how_long_a_record_is_waited_for(*, gateway: bool, fetches: int, fate: Fate, waits: int) -> None:
    made = attempt(fetches=fetches)
    made = replace(made, plan=replace(made.plan, gateway=gateway))
    assert waits_for_record(made, fate, POLICY) == waits


BEFORE, AFTER = AT + timedelta(hours=1), AT + timedelta(hours=25)
OPEN, PAID = KnownTraining("t", booked=False), KnownTraining("t", booked=True)


@pytest.mark.parametrize(
    ("changes", "now", "listed", "settled"),
    [
        ({"state": State.RUNNING}, BEFORE, False, True),  # not the watcher's
        ({"state": State.RUNNING, "training": "t", "trainings": (OPEN,)}, BEFORE, False, True),
        ({"state": State.RUNNING, "training": "s", "trainings": (OPEN,)}, BEFORE, False, False),  # a further one
        ({"state": State.CREATING, "stop": True}, BEFORE, True, False),
        ({"state": State.UNKNOWN, "stop": True}, AFTER, True, False),  # the visit ends it as abandoned
        ({"state": State.UNKNOWN, "stop": True, "trainings": (PAID,)}, BEFORE, True, False),
        ({"state": State.RUNNING, "stop": True, "training": "t", "trainings": (OPEN,)}, BEFORE, False, False),
        ({"state": State.CANCELED, "stop": True, "training": "t", "trainings": (PAID,)}, BEFORE, False, False),
        ({"state": State.CANCELED, "stop": True, "training": "t", "trainings": (PAID,)}, AFTER, True, True),
        ({"state": State.FAILED, "stop": True}, BEFORE, False, True),  # refused: made nothing
        ({"state": State.CANCELED, "stop": True}, BEFORE, False, True),  # never sent
        ({"state": State.ABANDONED}, BEFORE, True, False),
        ({"state": State.ABANDONED, "stop": True}, AFTER, True, True),
        ({"state": State.ABANDONED, "trainings": (OPEN,)}, AFTER, True, False),
    ],
)
def test_what_is_left_to_watch(changes: dict[str, Any], now: datetime, *, listed: bool, settled: bool) -> None:
    watched = attempt(**changes)
    assert needs_listing(watched, now, POLICY.skew) is listed
    assert is_settled(watched, now, POLICY.skew) is settled


def test_the_watcher_sleeps_until_the_last_url_expired() -> None:
    ended = attempt(state=State.CANCELED, stop=True, training="t", trainings=(PAID,))
    left = next_watch([ended], BEFORE, 9, POLICY.watches, POLICY.skew)
    assert BEFORE + left > ended.plan.url_expires_at + POLICY.skew
    unknown = attempt(state=State.UNKNOWN, stop=True)
    assert next_watch([ended, unknown], BEFORE, 0, POLICY.watches, POLICY.skew) == POLICY.watches.first
    extra = attempt(state=State.RUNNING, training="s", trainings=(OPEN,))
    assert next_watch([extra], AFTER, 3, POLICY.watches, POLICY.skew) == 16 * SECOND


NAME = "transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight"


def tensor(start: int = 0, stop: int = 8, dtype: Any = "BF16", shape: Any = (2, 2), **more: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop], **more}


def bytes_of(header: Any) -> bytes:
    return header if isinstance(header, bytes) else json.dumps(header).encode()


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({NAME: tensor()}, 8),
        ({NAME: tensor(), "__metadata__": {"format": "pt"}}, 8),
        ({NAME: tensor(8, 24, "F32"), "lora_unet_x.lora_up.weight": tensor(0, 8, "F16")}, 24),
        ({"lora_unet_x.alpha": tensor(0, 4, "F32", [])}, 4),
    ],
)
def test_weights_that_are_fit(header: Any, data: int) -> None:
    text = bytes_of(header)
    check_header(text, 8 + len(text) + data)


@pytest.mark.parametrize(
    ("header", "data", "problem"),
    [
        ({}, 0, "no tensors"),
        ({"__metadata__": {"a": "b"}}, 0, "no tensors"),
        ({"__metadata__": {"a": 1}, NAME: tensor()}, 8, "metadata"),
        ({"__metadata__": [], NAME: tensor()}, 8, "metadata"),
        ([], 0, "unreadable"),
        (b"\xff\xfe", 0, "unreadable"),
        (b"[" * 50_000, 0, "unreadable"),
        (b'{"a": 1, "a": 2}', 0, "repeated"),
        ({NAME: tensor()}, 9, "length differs"),
        ({NAME: tensor()}, 7, "length differs"),
        ({NAME: tensor(1, 9)}, 9, "not contiguous"),
        ({NAME: tensor(), NAME + "x": tensor()}, 8, "name not allowed"),
        ({NAME: tensor(), NAME.replace("_A", "_B"): tensor(4, 12)}, 12, "not contiguous"),
        ({"os.system": tensor()}, 8, "name not allowed"),
        ({"../lora_A.weight": tensor()}, 8, "name not allowed"),
        ({NAME: tensor(dtype="I64")}, 8, "type not allowed"),
        ({NAME: tensor(dtype=7)}, 8, "malformed"),
        ({NAME: tensor(more=1)}, 8, "type not allowed"),
        ({NAME: tensor(shape=[2, 3])}, 8, "size wrong"),
        ({NAME: tensor(shape=[-2, -2])}, 8, "malformed"),
        ({NAME: tensor(shape=[0])}, 0, "malformed"),
        ({NAME: tensor(shape=[True, 4])}, 8, "malformed"),
        ({NAME: tensor(shape=[1] * 9)}, 2, "malformed"),
        ({NAME: "text"}, 0, "malformed"),
        ({NAME: tensor(-8, 0)}, 0, "not contiguous"),
    ],
)
def test_weights_that_are_unfit(header: Any, data: int, problem: str) -> None:
    text = bytes_of(header)
    with pytest.raises(UnsafeWeights, match=problem):
        check_header(text, 8 + len(text) + data)


@pytest.mark.parametrize(
    ("length", "file_bytes", "problem"),
    [(MAX_HEADER + 1, 1 << 40, "too large"), (2**64 - 1, 100, "too large"), (93, 100, "wrong"), (0, 100, "wrong")],
)
def test_header_lengths_that_lie(length: int, file_bytes: int, problem: str) -> None:
    with pytest.raises(UnsafeWeights, match=problem):
        header_length(length.to_bytes(8, "little"), file_bytes)


@given(st.binary(max_size=200))
def test_garbage_is_refused_by_name(header: bytes) -> None:
    with pytest.raises(UnsafeWeights):
        check_header(header, 8 + len(header))


@pytest.mark.parametrize(
    ("captions", "images", "echo"),
    [
        (["01", "02"], ["02", "01"], "matched"),
        (["01"], ["01", "02"], "unbound"),
        (["01", "02", "03"], ["01", "02"], "unbound"),
        ([], ["01"], "unbound"),
        ([], [], "unbound"),
    ],
)
def test_whether_the_captions_echo_our_names(captions: list[str], images: list[str], echo: str) -> None:
    assert echo_of(captions, images) == echo
