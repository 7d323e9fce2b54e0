"""Settings and addresses: what is refused, what the provider gets to see."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr, ValidationError

from lifemask.contracts import new_id
from lifemask.objects.tokens import Tokens
from lifemask.trainer.adapters.addresses import TokenAddresses
from lifemask.trainer.domain.attempt import AttemptId
from lifemask.trainer.settings import TrainerSettings

AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    monkeypatch.setenv("REPLICATE_API_TOKEN", "r8_sandbox")
    monkeypatch.setenv("LIFEMASK_REPLICATE_DESTINATION", "lifemask/loras")
    return monkeypatch


def test_the_environment_is_read(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("REPLICATE_BASE_URL", "http://127.0.0.1:1234")
    environment.setenv("LIFEMASK_PRICE_PER_SECOND", "0.0122")
    settings = TrainerSettings()
    assert settings.replicate_api_token == SecretStr("r8_sandbox")
    assert settings.replicate_base_url == "http://127.0.0.1:1234"
    assert settings.policy.price == Decimal("0.0122")
    assert settings.policy.trainer.startswith("ostris/flux-dev-lora-trainer:e440909d")
    assert settings.policy.looks.first == timedelta(seconds=2)
    assert "r8_sandbox" not in repr(settings)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("REPLICATE_API_TOKEN", ""),
        ("LIFEMASK_REPLICATE_DESTINATION", "no-owner"),
        ("LIFEMASK_REPLICATE_TRAINER_VERSION", "latest"),
        ("REPLICATE_BASE_URL", "ftp://x.test"),
        ("LIFEMASK_WATCH_MAX", "7200"),
        ("LIFEMASK_ARCHIVE_URL_HOURS", "2"),
    ],
)
def test_what_cannot_work_is_refused(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError):
        TrainerSettings()


MINE = AttemptId("acme.anna", new_id(), 2)


def addresses(url: str) -> TokenAddresses:
    return TokenAddresses(url, Tokens(bytes(32)))


def test_addresses_are_stable_and_open_what_they_are_for() -> None:
    url = addresses("https://lifemask.test/api/").archive("users/x", AT)
    assert url == addresses("https://lifemask.test/api").archive("users/x", AT)
    assert url.startswith("https://lifemask.test/api/v1/objects/")
    ticket = Tokens(bytes(32)).open(urlsplit(url).path.rpartition("/")[2], AT - timedelta(seconds=1))
    assert (ticket.key, ticket.purpose) == ("users/x", "archive")
    back = addresses("https://lifemask.test").callback(MINE, AT)
    assert back is not None
    assert back.startswith("https://lifemask.test/v1/callbacks/replicate/")
    ticket = Tokens(bytes(32)).open(back.rpartition("/")[2], AT - timedelta(seconds=1))
    assert (ticket.key, ticket.purpose) == (f"acme.anna/{MINE.run_id}/2", "callback")


@pytest.mark.parametrize(
    ("url", "called"),
    [
        ("https://lifemask.test", True),
        ("http://127.0.0.1:8080", True),
        ("http://[::1]:8080", True),
        ("http://localhost:8080", True),
        ("http://lifemask.test", False),
        ("http://10.0.0.1", False),
    ],
)
def test_callbacks_come_by_https_or_on_this_machine(url: str, *, called: bool) -> None:
    assert (addresses(url).callback(MINE, AT) is not None) is called
