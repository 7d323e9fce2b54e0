"""Names, ids and the metadata document."""

import json
import re
from datetime import UTC, datetime

import pytest
from tests.publisher.world import DIGEST, NAMES, RUN, USER, publication, trained

from lifemask.contracts.ids import UUID7_PATTERN
from lifemask.publisher.domain import HubNames, metadata, model_of, plan

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_a_model_id_is_a_uuid7_of_the_runs_time() -> None:
    model_id = model_of(USER, RUN)
    assert re.match(UUID7_PATTERN, model_id)
    assert model_id[:13] == RUN[:13]
    assert model_id == model_of(USER, RUN)


@pytest.mark.parametrize(
    ("user", "run"),
    [("other.user-42", RUN), (USER, "0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e00")],
)
def test_another_user_or_run_has_another_model(user: str, run: str) -> None:
    assert model_of(user, run) != model_of(USER, RUN)


def test_a_repository_is_named_by_the_model_and_never_by_the_user() -> None:
    repo = publication().repo
    assert repo == f"lifemask/lora-{model_of(USER, RUN)}"
    assert "user-42" not in repo
    assert re.fullmatch(r"[A-Za-z0-9._-]{1,96}", repo.split("/")[1])
    assert "--" not in repo


def test_no_namespace_means_no_repository() -> None:
    assert plan(USER, RUN, 3, HubNames()).repo is None


def test_two_workers_never_have_the_same_place() -> None:
    assert plan(USER, RUN, 3, NAMES).place == "1-3"
    assert plan(USER, RUN, 4, NAMES).place == "1-4"


def test_metadata_says_what_the_weights_are() -> None:
    assert json.loads(metadata(publication(), trained(), AT)) == {
        "model_id": model_of(USER, RUN),
        "run_id": RUN,
        "version": "1-3",
        "created_at": "2026-01-02T03:04:05+00:00",
        "name": "My portrait",
        "description": "Studio portraits, spring",
        "trigger_word": "ANNA",
        "metadata": {"order": "1234"},
        "base_model": "black-forest-labs/FLUX.1-dev",
        "trainer": "ostris/flux-dev-lora-trainer:26dce37a",
        "parameters": {"steps": 1200, "learning_rate": "0.0004", "rank": 32},
        "photos": 16,
        "weights": {"file": "lora.safetensors", "sha256": DIGEST, "bytes": 4800},
        "statements": {
            "upload": "a" * 64,
            "validation": "b" * 64,
            "dataset": "c" * 64,
            "training": "d" * 64,
            "weights": "e" * 64,
        },
        "hub_repo": f"lifemask/lora-{model_of(USER, RUN)}",
    }


def test_metadata_is_the_same_bytes_each_time() -> None:
    assert metadata(publication(), trained(), AT) == metadata(publication(), trained(), AT)
