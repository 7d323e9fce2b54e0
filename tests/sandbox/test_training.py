"""The timeline of a training, as tables: what it is follows from what is recorded and the time."""

from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest

from lifemask.sandbox.progress import log_of
from lifemask.sandbox.training import (
    Archive,
    Callback,
    Training,
    Trouble,
    billed_seconds,
    completed_at,
    cost,
    is_gone,
    status_of,
    steps_done,
)

ARCHIVE = Archive(fetched_at=1011, bytes=1, sha256="0" * 64, members=[], captions={"a": "", "b": ""})


def training(**recorded: Any) -> Training:
    """Created at 1000, starts at 1010, takes 100 s."""
    values: dict[str, Any] = {
        "id": "t",
        "number": 1,
        "model": "m/n",
        "version": "v",
        "destination": "o/d",
        "input": {"input_images": "http://h/path/1.zip?signature=x", "steps": 1000},
        "created_at": 1000,
        "queue_seconds": 10,
        "seconds": 100,
        "archive": ARCHIVE,
        "callback": Callback(id="msg"),
    }
    return Training(**values | recorded)


FAILS = Trouble(error="broken")


@pytest.mark.parametrize(
    ("recorded", "now", "status", "ended", "seconds"),
    [
        ({"archive": None}, 1005, "starting", None, 0),
        ({"archive": None}, 1500, "processing", None, 0),  # the archive is still on its way
        ({}, 1060, "processing", None, 341),
        ({}, 1110, "succeeded", 1110, 682),
        ({}, 9999, "succeeded", 1110, 682),
        ({"archive": ARCHIVE.model_copy(update={"fetched_at": 1200})}, 1201, "succeeded", 1200, 682),  # came late
        ({"archive": None, "canceled_at": 1005}, 1006, "aborted", 1005, 0),
        ({"archive": None, "canceled_at": 1015}, 1020, "canceled", 1015, 0),
        ({"canceled_at": 1035}, 9999, "canceled", 1035, 170.5),
        ({"archive": None, "refused": "HTTP 403", "refused_at": 1012}, 1013, "failed", 1012, 2),
        ({"trouble": FAILS}, 1059, "processing", None, 334.18),
        ({"trouble": FAILS}, 1061, "failed", 1060, 341),
        ({"seconds": 0, "queue_seconds": 0}, 1011, "succeeded", 1011, 682),
    ],
)
def test_what_a_training_is(
    recorded: dict[str, Any], now: float, status: str, ended: float | None, seconds: float
) -> None:
    seen = training(**recorded)
    assert (status_of(seen, now), completed_at(seen, now)) == (status, ended)
    assert billed_seconds(seen, now) == pytest.approx(seconds)
    assert cost(seen, now) == Decimal(str(billed_seconds(seen, now))) * Decimal("0.001525")


def test_the_log_only_grows() -> None:
    seen = training()
    logs = [log_of(seen, now) for now in range(1000, 1120)]
    for earlier, later in pairwise(logs):
        assert later.startswith(earlier)
    assert "flux_train_replicate:  12%|█▏        | 120/1000 [" in logs[22]
    assert "flux_train_replicate: 100%|██████████| 1000/1000 [" in logs[-1]
    assert len(logs[-1]) < 10_000
    assert steps_done(seen, 1022) == 120


def test_an_ended_training_is_forgotten_after_a_while() -> None:
    assert not is_gone(training(), 1110 + 3599, 3600)
    assert is_gone(training(), 1110 + 3600, 3600)
    assert not is_gone(training(archive=None), 99_999, 3600)


def test_the_path_of_the_archive_survives_new_signatures() -> None:
    assert training().input_path == "/path/1.zip"
