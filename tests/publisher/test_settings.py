"""Wrong settings are named at the start."""

import os
import subprocess
import sys
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from lifemask.publisher.settings import PublisherSettings

pytestmark = pytest.mark.slow


def test_the_hub_needs_a_namespace() -> None:
    with pytest.raises(ValidationError, match="LIFEMASK_HF_NAMESPACE"):
        PublisherSettings(hf_namespace="")
    assert PublisherSettings(hf_namespace="", hub_publish=False).hf_namespace == ""


def test_settings_that_do_not_go_together_are_told_in_one_line() -> None:
    own = {name: value for name, value in os.environ.items() if not name.startswith("LIFEMASK_")}
    process = subprocess.run(
        [sys.executable, "-m", "lifemask.publisher"], env=own, capture_output=True, text=True, check=False, timeout=60
    )
    assert process.returncode == 3
    assert process.stderr == (
        "publisher: set LIFEMASK_HF_NAMESPACE to the account that owns the models on the hub, "
        "or LIFEMASK_HUB_PUBLISH=false to keep them in the model store alone\n"
    )


def test_the_hubs_own_variables_keep_their_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "HF_TOKEN": "hf_secret",
        "HF_ENDPOINT": "https://hub.example",
        "LIFEMASK_HF_NAMESPACE": "studio",
        "LIFEMASK_HUB_PREFIX": "face",
    }.items():
        monkeypatch.setenv(name, value)
    settings = PublisherSettings()
    assert settings.hf_token.get_secret_value() == "hf_secret"
    assert settings.hf_endpoint == "https://hub.example"
    assert (settings.hf_namespace, settings.hub_prefix) == ("studio", "face")
    assert "hf_secret" not in repr(settings)


@pytest.mark.parametrize(
    "wrong",
    [
        {"hf_namespace": "a/b"},
        {"hub_prefix": ""},
        {"hub_prefix": "../x"},
        {"hub_prefix": "lora-"},
        {"hf_endpoint": "hub.example"},
        {"hub_threads": 0},
    ],
)
def test_a_name_that_the_hub_would_refuse_stops_the_start(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        PublisherSettings.model_validate({"hf_namespace": "lifemask", "hf_token": SecretStr("t"), **wrong})
