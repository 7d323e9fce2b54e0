"""Addresses of archives: what a token says, and what a store signs."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from tests.objects.wire import BUCKET, WireS3

from lifemask.contracts import new_id
from lifemask.objects import keys, open_objects
from lifemask.objects.archives import PresignedLinks, SealedArchive, archive_of, archive_token
from lifemask.objects.keys import BadKey, Key
from lifemask.objects.tokens import BadToken, Ticket, Tokens
from lifemask.testkit.objects import InMemoryObjects

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LIFE = timedelta(hours=24)
TOKENS = Tokens(b"s" * 32)
RUN = new_id()
ARCHIVE = SealedArchive(keys.archive("acme.ann", RUN, 1), 2, 61_000_000, "a" * 64)


def test_a_token_says_what_was_sealed() -> None:
    found = archive_of(TOKENS.open(archive_token(TOKENS, ARCHIVE, NOW + LIFE), NOW))
    assert found == ARCHIVE
    assert found.owner == ("acme.ann", RUN)


def test_the_longest_ids_fit_into_a_token() -> None:
    longest = SealedArchive(keys.archive(f"{'a' * 64}.{'b' * 64}", RUN, 999), 999, 10**12, "a" * 64)
    assert archive_of(TOKENS.open(archive_token(TOKENS, longest, NOW + LIFE), NOW)) == longest


@pytest.mark.parametrize(
    "ticket",
    [
        Ticket(ARCHIVE.key, "archive"),
        Ticket(ARCHIVE.key, "weights", f"1 5 {'a' * 64}"),
        Ticket(ARCHIVE.key, "archive", f"0 5 {'a' * 64}"),
        Ticket(ARCHIVE.key, "archive", f"1 -5 {'a' * 64}"),
        Ticket(ARCHIVE.key, "archive", f"1 5 {'a' * 63}"),
        Ticket(keys.weights("acme.ann", RUN, 1), "archive", f"1 5 {'a' * 64}"),
        Ticket("users/acme.ann/runs/r/archive/1.zip", "archive", f"1 5 {'a' * 64}"),
        Ticket("users/../runs/r/archive/1.zip", "archive", f"1 5 {'a' * 64}"),
    ],
)
def test_tokens_of_anything_else_are_refused(ticket: Ticket) -> None:
    with pytest.raises(BadToken):
        archive_of(ticket)


def test_only_an_archive_has_an_owner() -> None:
    with pytest.raises(BadKey):
        _ = SealedArchive(Key("incoming/acme/u/up/a"), 1, 1, "a" * 64).owner


async def test_a_store_signs_addresses_for_reading(monkeypatch: pytest.MonkeyPatch, wire: WireS3) -> None:
    async with open_objects(f"s3://{BUCKET}") as store:
        assert isinstance(store, PresignedLinks)
        url = await store.link(ARCHIVE.key, LIFE)
        query = parse_qs(urlsplit(url).query)
        assert urlsplit(url).path.endswith(f"/{ARCHIVE.key}")
        assert (query["X-Amz-Expires"], query["X-Amz-SignedHeaders"]) == (["86400"], ["host"])
        with pytest.raises(BadKey):
            await store.link(Key("users/../x"), LIFE)
    assert not isinstance(InMemoryObjects(), PresignedLinks)


@pytest.mark.real
async def test_a_real_server_reads_for_whoever_has_the_address(
    s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    async with open_objects(s3_environment["LIFEMASK_OBJECTS"]) as store, httpx.AsyncClient() as http:
        assert isinstance(store, PresignedLinks)
        await store.put(ARCHIVE.key, b"archive")
        url = await store.link(ARCHIVE.key, LIFE)
        assert (await http.get(url)).content == b"archive"
        assert (await http.get(url.replace("/archive/1.zip", "/archive/2.zip"))).status_code == 403
        assert (await http.put(url, content=b"other")).status_code == 403
        await store.delete(ARCHIVE.key)
