"""The gateway of archives on the wire: the sealed bytes whole and on record, of anything else no end."""

import asyncio
import hashlib
import io
import random
import resource
import zipfile
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from starlette.types import Message
from tests.ingest.world import World, a_world, about, served, until

from lifemask.contracts import ArchiveFetched, ArchiveRefusal, RunFailed, new_id
from lifemask.ingest.domain.archives import HELD_BACK, MARK
from lifemask.objects import keys
from lifemask.objects.archives import SealedArchive, archive_token

USER = "acme.u1"
SIZE = 3_000_000
CONTENT = random.Random(7).randbytes(SIZE)
SOON = timedelta(minutes=5)
HOLES = SealedArchive(keys.Key("-"), 1, 4 * 10**8, "36286c9dd45c90a7ff4443de7fc7301c5bc4900ff415d789dbc7f9a32a9dbb83")
"""400 MB of zeros."""


@dataclass
class Gateway:
    """A run with an archive in the store, and a client that fetches like the provider."""

    world: World
    web: httpx.AsyncClient
    run: str

    @property
    def key(self) -> keys.Key:
        return keys.archive(USER, self.run, 1)

    @property
    def path(self) -> Path:
        return self.world.folder / self.key

    def lies(self, content: bytes) -> None:
        """This now lies in the store, in one step."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_name("draft")
        draft.write_bytes(content)
        draft.replace(self.path)

    def url(self, *, attempt: int = 1, life: timedelta = SOON, run: str = "", content: bytes = CONTENT) -> str:
        """The address of the archive that was sealed with this content."""
        key = keys.archive(USER, run or self.run, 1)
        sealed = SealedArchive(key, attempt, len(content), hashlib.sha256(content).hexdigest())
        return f"/v1/objects/{archive_token(self.world.tokens, sealed, datetime.now(UTC) + life)}"

    async def fetch(self, **headers: str) -> bytes:
        """The whole answer. Raises what the client raises when it breaks off."""
        answer = await self.web.get(self.url(), headers=headers)
        assert answer.status_code == 200, answer.text
        return answer.content

    async def received(self) -> bytes:
        """What comes until the answer ends or breaks off."""
        got = bytearray()
        try:
            async with self.web.stream("GET", self.url()) as answer:
                async for chunk in answer.aiter_raw():
                    got += chunk
        except httpx.RemoteProtocolError:
            return bytes(got)
        raise AssertionError("the answer came to its end")

    async def told(self) -> list[tuple[int, int, str | None]]:
        """Attempt, bytes and refusal of each fetch that is on record."""
        facts = [fact for fact in await self.world.facts() if isinstance(fact, ArchiveFetched)]
        return [(fact.attempt, fact.bytes, fact.refused and fact.refused.value) for fact in facts]


@asynccontextmanager
async def opened(dsn: str, folder: Path, **settings: float) -> AsyncIterator[Gateway]:
    async with (
        a_world(dsn, folder, **settings) as world,
        served(world.service.app) as url,
        httpx.AsyncClient(base_url=url, trust_env=False, timeout=20) as web,
    ):
        found = Gateway(world, web, await world.draft())
        found.lies(CONTENT)
        yield found


@pytest.fixture
async def gateway(database: Callable[[str], Awaitable[str]], tmp_path: Path) -> AsyncIterator[Gateway]:
    async with opened(await database("ingest"), tmp_path) as found:
        yield found


VERIFIED = (1, SIZE, None)
PROVEN = SIZE // MARK * MARK
"""Bytes that go before the record of the fetch."""


async def test_the_sealed_archive_is_given_out_and_each_fetch_is_on_record(gateway: Gateway) -> None:
    assert await gateway.fetch() == CONTENT
    assert await gateway.told() == [VERIFIED]
    assert await gateway.fetch() == CONTENT
    assert await gateway.told() == [VERIFIED, VERIFIED]


async def test_the_headers_say_what_comes(gateway: Gateway) -> None:
    answer = await gateway.web.get(gateway.url())
    head = await gateway.web.head(gateway.url())
    for each in (answer, head):
        assert each.headers["content-length"] == str(SIZE)
        assert each.headers["content-type"] == "application/zip"
        assert each.headers["accept-ranges"] == "none"
    assert (head.status_code, head.content) == (200, b"")
    assert len(await gateway.told()) == 1  # a look at the headers is no fetch


@pytest.mark.parametrize("asked", ["bytes=0-9", "bytes=-70000", f"bytes={SIZE}-", "bytes=1-"])
async def test_nobody_gets_the_end_alone(gateway: Gateway, asked: str) -> None:
    answer = await gateway.web.get(gateway.url(), headers={"Range": asked})
    assert (answer.status_code, answer.content) == (200, CONTENT)
    gateway.lies(CONTENT[::-1])
    with pytest.raises(httpx.RemoteProtocolError):
        await gateway.web.get(gateway.url(), headers={"Range": asked})


@pytest.mark.parametrize("at", [0, SIZE // 2, SIZE - 1])
async def test_of_other_bytes_nothing_goes(gateway: Gateway, at: int) -> None:
    gateway.lies(CONTENT[:at] + bytes([CONTENT[at] ^ 1]) + CONTENT[at + 1 :])
    for _ in range(2):
        assert await gateway.received() == b""
    assert await gateway.told() == [(1, SIZE, "other_bytes")]  # once, however often it is tried


async def test_a_whole_archive_of_others_before_padding_does_not_go(gateway: Gateway) -> None:
    """Its directory would lie before the bytes that are held back."""
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as photos:
        photos.writestr("1.jpg", b"another person")
    whole = other.getvalue()
    gateway.lies(bytes(SIZE - HELD_BACK - len(whole)) + whole + bytes(HELD_BACK))
    assert await gateway.received() == b""
    assert await gateway.told() == [(1, SIZE, "other_bytes")]


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"PK", b"", CONTENT * 2])
async def test_of_another_size_nothing_goes(gateway: Gateway, content: bytes) -> None:
    gateway.lies(content)
    assert await gateway.received() == b""
    assert await gateway.told() == [(1, len(content), "other_size")]


async def test_a_missing_archive_is_told(gateway: Gateway) -> None:
    gateway.path.unlink()
    assert await gateway.received() == b""
    assert await gateway.told() == [(1, 0, "missing")]


async def test_swapped_and_swapped_back_gives_the_sealed_bytes_or_none(gateway: Gateway) -> None:
    gateway.lies(CONTENT[::-1])
    await gateway.received()
    gateway.lies(CONTENT)
    assert await gateway.fetch() == CONTENT
    assert await gateway.told() == [(1, SIZE, "other_bytes"), VERIFIED]


async def test_overwritten_while_it_is_read(gateway: Gateway) -> None:
    """The file itself is changed behind the reader, as no store of ours does it."""
    big = CONTENT * 10
    gateway.lies(big)
    got = 0

    async def fetch() -> None:
        nonlocal got
        async with gateway.web.stream("GET", gateway.url(content=big)) as answer:
            async for chunk in answer.aiter_raw():
                if not got:
                    with gateway.path.open("r+b") as file:
                        file.seek(len(big) - 100)
                        file.write(b"x" * 100)
                got += len(chunk)

    with pytest.raises(httpx.RemoteProtocolError):
        await fetch()
    assert got <= len(big) - HELD_BACK
    assert [why for _, _, why in await gateway.told()] == ["other_bytes"]


async def test_a_fetch_that_breaks_off_is_repeated(gateway: Gateway) -> None:
    async with gateway.web.stream("GET", gateway.url()) as answer:
        async for chunk in answer.aiter_raw():
            assert chunk
            break
    assert await gateway.fetch() == CONTENT
    assert await gateway.told() == [VERIFIED]


async def test_the_record_is_stored_before_the_end_goes(gateway: Gateway) -> None:
    """While the database takes no record, nobody gets the end; afterwards the fetch can be repeated."""
    pool = gateway.world.service.bus.pool
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("lock table outbox in access exclusive mode")
        got = bytearray()

        async def fetch() -> None:
            async with gateway.web.stream("GET", gateway.url()) as answer:
                async for chunk in answer.aiter_raw():
                    got.extend(chunk)

        fetching = asyncio.create_task(fetch())
        await until(lambda: len(got) == PROVEN)
        waiting = (
            "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"
        )

        async def waits() -> bool:
            return bool(await pool.fetchval(waiting))

        await until(waits)
        assert len(got) == PROVEN
    await fetching
    assert bytes(got) == CONTENT
    assert await gateway.told() == [VERIFIED]


async def test_without_a_record_there_is_no_end(database: Callable[[str], Awaitable[str]], tmp_path: Path) -> None:
    async with opened(await database("ingest"), tmp_path, watchdog=1) as gateway:
        async with gateway.world.service.bus.pool.acquire() as connection, connection.transaction():
            await connection.execute("lock table outbox in access exclusive mode")
            assert len(await gateway.received()) == PROVEN
        assert await gateway.told() == []
        assert await gateway.fetch() == CONTENT
        assert await gateway.told() == [VERIFIED]


async def test_an_address_is_of_one_run_and_ends_with_it(gateway: Gateway) -> None:
    url = gateway.url()
    changed = url[:-5] + ("B" if url[-5] == "A" else "A") + url[-4:]  # the last letter has bits that mean nothing
    expected = {gateway.url(run=new_id()): 404, gateway.url(life=-SOON): 410, changed: 404}
    for url, status in expected.items():
        assert (await gateway.web.get(url)).status_code == status
    await gateway.world.receive(about(gateway.run, RunFailed))
    gateway.lies(CONTENT)
    assert (await gateway.web.get(gateway.url())).status_code == 410
    assert (await gateway.web.head(gateway.url())).status_code == 410
    assert await gateway.told() == []


async def test_a_token_for_weights_opens_no_archive(gateway: Gateway) -> None:
    old = gateway.world.tokens.mint(gateway.key, "archive", datetime.now(UTC) + SOON)
    assert (await gateway.web.get(f"/v1/objects/{old}")).status_code == 404
    model = keys.model_weights(USER, new_id(), "1-1")
    terms = f"1 {SIZE} {hashlib.sha256(CONTENT).hexdigest()}"
    other = gateway.world.tokens.mint(model, "archive", datetime.now(UTC) + SOON, terms)
    assert (await gateway.web.get(f"/v1/objects/{other}")).status_code == 404


async def test_refusals_are_words_of_the_contract(gateway: Gateway) -> None:
    gateway.lies(b"")
    await gateway.received()
    [fact] = [fact for fact in await gateway.world.facts() if isinstance(fact, ArchiveFetched)]
    assert fact.refused is ArchiveRefusal.OTHER_SIZE
    assert CONTENT[:8] not in fact.body()


@pytest.mark.slow
async def test_a_great_archive_takes_little_memory(gateway: Gateway) -> None:
    """400 MB of holes, through the whole app without a socket."""
    gateway.lies(b"")
    with gateway.path.open("r+b") as file:
        file.truncate(HOLES.bytes)
    token = archive_token(gateway.world.tokens, replace(HOLES, key=gateway.key), datetime.now(UTC) + SOON)
    sent = 0

    async def send(message: Message) -> None:
        nonlocal sent
        sent += len(message.get("body", b""))

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    path = urlsplit(f"/v1/objects/{token}").path
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "root_path": ""}
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    await gateway.world.service.app(scope, receive, send)
    assert sent == HOLES.bytes
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kilobytes
    assert await gateway.told() == [(1, HOLES.bytes, None)]


async def test_whoever_takes_nothing_is_left(database: Callable[[str], Awaitable[str]], tmp_path: Path) -> None:
    """One place, held by a fetch that stands still: it is freed, and the next fetch gets it."""
    async with opened(await database("ingest"), tmp_path, archives_max=1, archive_idle=0.3) as gateway:
        big = CONTENT * 10
        gateway.lies(big)
        async with gateway.web.stream("GET", gateway.url(content=big)) as standing:
            assert standing.status_code == 200
            assert (await gateway.web.get(gateway.url(content=big))).content == big
