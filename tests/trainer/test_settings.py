"""Settings and addresses: what is refused, what the provider gets to see."""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr, ValidationError

from lifemask.contracts import new_id
from lifemask.objects import keys
from lifemask.objects.archives import SealedArchive, archive_of
from lifemask.objects.keys import Key
from lifemask.objects.tokens import Tokens
from lifemask.trainer.adapters.addresses import PresignedAddresses, TokenAddresses
from lifemask.trainer.domain.attempt import ArchiveAddress, AttemptId
from lifemask.trainer.ports import Dataset
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
        ("LIFEMASK_ARCHIVE_URLS", "public"),
        ("LIFEMASK_ARCHIVE_URLS", "presigned"),  # and the store is a directory
    ],
)
def test_what_cannot_work_is_refused(environment: pytest.MonkeyPatch, name: str, value: str) -> None:
    environment.setenv(name, value)
    with pytest.raises(ValidationError):
        TrainerSettings()


def test_presigned_needs_a_store_that_signs(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("LIFEMASK_ARCHIVE_URLS", "presigned")
    environment.setenv("LIFEMASK_OBJECTS", "s3://bucket")
    assert TrainerSettings().archive_urls == "presigned"


MINE = AttemptId("acme.anna", new_id(), 2)
DATASET = Dataset("a" * 64, keys.archive(MINE.user_id, MINE.run_id, 1), "b" * 64, 61_000_000, "ANNA")


def addresses(url: str) -> TokenAddresses:
    return TokenAddresses(url, Tokens(bytes(32)))


async def test_an_archives_address_says_what_was_sealed() -> None:
    address = await addresses("https://lifemask.test/api/").archive(MINE, DATASET, AT)
    assert address == await addresses("https://lifemask.test/api").archive(MINE, DATASET, AT)
    assert address.gateway
    assert address.url.startswith("https://lifemask.test/api/v1/objects/")
    ticket = Tokens(bytes(32)).open(urlsplit(address.url).path.rpartition("/")[2], AT - timedelta(seconds=1))
    assert archive_of(ticket) == SealedArchive(Key(DATASET.archive_key), 2, 61_000_000, "b" * 64)
    assert archive_of(ticket).owner == ("acme.anna", MINE.run_id)


def test_callbacks_name_the_attempt() -> None:
    back = addresses("https://lifemask.test").callback(MINE, AT)
    assert back is not None
    assert back.startswith("https://lifemask.test/v1/callbacks/replicate/")
    ticket = Tokens(bytes(32)).open(urlsplit(back).path.rpartition("/")[2], AT - timedelta(seconds=1))
    assert (ticket.key, ticket.purpose) == (f"acme.anna/{MINE.run_id}/2", "callback")


@dataclass
class Signing:
    """A store that signs addresses of its own."""

    asked: list[tuple[str, timedelta]] = field(default_factory=list)

    async def link(self, key: Key, lifetime: timedelta) -> str:
        self.asked.append((key, lifetime))
        return f"https://store.test/{key}?signature"


@pytest.mark.parametrize(
    ("hours", "least", "most"), [(24, 24 * 3600 - 60, 24 * 3600), (168.1, 604_800, 604_800), (-1, 1, 1)]
)
async def test_presigned_addresses_are_the_stores_own(hours: float, least: int, most: int) -> None:
    store = Signing()
    presigned = PresignedAddresses("https://lifemask.test", Tokens(bytes(32)), store)
    address = await presigned.archive(MINE, DATASET, datetime.now(UTC) + timedelta(hours=hours))
    assert address == ArchiveAddress(f"https://store.test/{DATASET.archive_key}?signature", gateway=False)
    [(key, life)] = store.asked
    assert (key, least <= life.total_seconds() <= most) == (DATASET.archive_key, True)
    assert presigned.callback(MINE, AT) == addresses("https://lifemask.test").callback(MINE, AT)


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
