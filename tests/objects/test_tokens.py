"""Token URLs: what they allow, until when, and what is refused."""

import base64
import json
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from lifemask.objects.tokens import BadToken, Ticket, Tokens, load_secret

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(minutes=15)
KEY = "users/acme.ann/runs/r/archive/1.zip"
TOKENS = Tokens(b"s" * 32)


def damaged(token: str, change: dict[str, object]) -> str:
    body, _, mac = token.partition(".")
    fields = json.loads(base64.urlsafe_b64decode(body + "=="))
    packed = json.dumps({**fields, **change}, separators=(",", ":"), sort_keys=True).encode()
    return f"{base64.urlsafe_b64encode(packed).rstrip(b'=').decode()}.{mac}"


def test_a_token_opens_to_what_it_was_minted_for() -> None:
    token = TOKENS.mint(KEY, "archive", LATER)
    assert TOKENS.open(token, NOW) == Ticket(KEY, "archive")
    assert TOKENS.mint(KEY, "archive", LATER) == token
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")


def test_a_token_ends_at_its_time() -> None:
    token = TOKENS.mint(KEY, "weights", LATER)
    TOKENS.open(token, LATER - timedelta(seconds=1))
    with pytest.raises(BadToken, match="expired"):
        TOKENS.open(token, LATER)


@pytest.mark.parametrize(
    "change", [{"exp": 2**40}, {"key": "users/acme.bob/runs/r/archive/1.zip"}, {"for": "callback"}, {"more": 1}, {}]
)
def test_a_changed_token_is_not_ours(change: dict[str, object]) -> None:
    token = damaged(TOKENS.mint(KEY, "archive", LATER), change)
    if not change:
        assert TOKENS.open(token, NOW).key == KEY
        return
    with pytest.raises(BadToken, match="not ours"):
        TOKENS.open(token, NOW)


@pytest.mark.parametrize("token", ["", ".", "a.b", "a", "..", "ä.b", "a b.c", "A.A", "AAAA.AAAA", "x" * 5000])
def test_rubbish_is_refused(token: str) -> None:
    with pytest.raises(BadToken):
        TOKENS.open(token, NOW)


def test_a_token_of_another_secret_is_not_ours() -> None:
    with pytest.raises(BadToken, match="not ours"):
        TOKENS.open(Tokens(b"t" * 32).mint(KEY, "archive", LATER), NOW)


def test_errors_name_no_key() -> None:
    with pytest.raises(BadToken) as expired:
        TOKENS.open(TOKENS.mint(KEY, "archive", NOW), NOW)
    assert "acme" not in str(expired.value)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        Tokens(b"short")


def test_services_share_one_secret(tmp_path: Path) -> None:
    keys = tmp_path / "keys"
    with ThreadPoolExecutor(8) as pool:
        secrets = set(pool.map(lambda _: load_secret(keys), range(8)))
    assert len(secrets) == 1
    assert secrets == {load_secret(keys)}
    assert [path.name for path in keys.iterdir()] == ["url.key"]
    assert stat.S_IMODE((keys / "url.key").stat().st_mode) == 0o600


def test_a_damaged_secret_says_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "url.key").write_bytes(b"short")
    with pytest.raises(ValueError, match="remove it"):
        load_secret(tmp_path)
