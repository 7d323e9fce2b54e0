"""Mail against the sandbox's server, with the unmodified client."""

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.notifier.world import READY

from lifemask.notifier.adapters.reach import Bounds, Reach
from lifemask.notifier.adapters.smtp import SmtpMail
from lifemask.notifier.domain import Delivery
from lifemask.notifier.letter import Called, Letter, write
from lifemask.notifier.settings import read_server
from lifemask.sandbox.server import SandboxUrls, running_sandbox

SENDER = Address("Lifemask", addr_spec="models@example.com")
ID = "ab" * 32
LETTER = write(READY, Called("Zoë at sea", "ANNA"))


@dataclass
class Post:
    """The adapter and the sandbox's mailbox."""

    mail: SmtpMail
    urls: SandboxUrls
    client: httpx.AsyncClient

    async def send(self, letter: Letter = LETTER, address: str = "anna@example.org") -> Delivery:
        return await self.mail.send(address, letter, ID)

    async def fails(self, effect: str, **details: Any) -> None:
        answer = await self.client.post(self.urls.faults, json={"operation": "smtp", "effect": effect, **details})
        assert answer.status_code == 200, answer.text

    async def mails(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.client.get(self.urls.mails)).json()
        return found


def now() -> datetime:
    return datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.fixture
async def post(tmp_path: Path) -> AsyncIterator[Post]:
    async with running_sandbox(tmp_path / "sandbox") as urls, httpx.AsyncClient(trust_env=False) as client:
        yield Post(
            SmtpMail(read_server(urls.smtp), SENDER, now, patience=5, reach=Reach(Bounds(), time.monotonic)),
            urls,
            client,
        )


async def test_a_mail_arrives_as_text_and_page(post: Post) -> None:
    assert await post.send() is Delivery.ACCEPTED
    [mail] = await post.mails()
    assert mail["to"] == ["anna@example.org"]
    assert mail["sender"] == "models@example.com"
    assert mail["subject"] == "“Zoë at sea” is ready"
    assert mail["text"].replace("\r\n", "\n") == LETTER.text
    assert mail["html"].replace("\r\n", "\n") == LETTER.html
    headers = mail["headers"]
    assert headers["Message-ID"] == f"<{ID}@example.com>"
    assert headers["From"] == "Lifemask <models@example.com>"
    assert headers["Date"] == "Fri, 02 Jan 2026 03:04:05 +0000"
    assert headers["Auto-Submitted"] == "auto-generated"


async def test_a_second_try_has_the_same_message_id(post: Post) -> None:
    await post.fails("drop_after")
    assert await post.send() is Delivery.FAILED
    assert await post.send() is Delivery.ACCEPTED
    assert len({mail["headers"]["Message-ID"] for mail in await post.mails()}) == 1


@pytest.mark.parametrize(
    ("effect", "details"),
    [("answer", {"status": 451}), ("answer", {"status": 554}), ("drop_before", {}), ("drop_after", {})],
)
async def test_a_server_that_fails_is_tried_again(post: Post, effect: str, details: dict[str, Any]) -> None:
    await post.fails(effect, **details)
    assert await post.send() is Delivery.FAILED


async def test_a_server_that_is_away_is_tried_again() -> None:
    mail = SmtpMail(read_server("smtp://127.0.0.1:9"), SENDER, now, patience=1, reach=Reach(Bounds(), time.monotonic))
    assert await mail.send("anna@example.org", LETTER, ID) is Delivery.FAILED


async def test_a_server_without_tls_gets_no_mail_when_tls_is_required(post: Post) -> None:
    mail = SmtpMail(
        read_server(f"{post.urls.smtp}?starttls=required"),
        SENDER,
        now,
        patience=5,
        reach=Reach(Bounds(), time.monotonic),
    )
    assert await mail.send("anna@example.org", LETTER, ID) is Delivery.FAILED
    assert await post.mails() == []


async def test_no_name_adds_a_header(post: Post) -> None:
    letter = Letter("ready\r\nBcc: all@example.com", LETTER.sections, LETTER.footer)
    with pytest.raises(ValueError, match="linefeed"):
        await post.send(letter)
    assert await post.send(write(READY, Called("x\r\nBcc: all@example.com\r\n\r\nbody"))) is Delivery.ACCEPTED
    [mail] = await post.mails()
    assert mail["to"] == ["anna@example.org"]
    assert "Bcc" not in mail["headers"]
