"""A mailbox that refuses: the sandbox cannot, so a server of four lines does."""

import asyncio
import time
from collections.abc import AsyncIterator
from email.headerregistry import Address

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session
from tests.notifier.test_smtp import ID, LETTER, now

from lifemask.notifier.adapters.reach import Bounds, Reach
from lifemask.notifier.adapters.smtp import SmtpMail
from lifemask.notifier.domain import Delivery, SmtpServer


class Picky:
    """Answers every recipient with `answer`."""

    def __init__(self, answer: str) -> None:
        self.answer = answer

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's name
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        return self.answer


@pytest.fixture
async def picky() -> AsyncIterator[tuple[Picky, SmtpServer]]:
    handler = Picky("250 OK")
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(handler, loop=loop, hostname="picky"), "127.0.0.1", 0)
    async with server:
        yield handler, SmtpServer("127.0.0.1", server.sockets[0].getsockname()[1])


@pytest.mark.parametrize(
    ("answer", "delivery"),
    [("550 no such mailbox", Delivery.REFUSED), ("450 come back later", Delivery.FAILED)],
)
async def test_a_mailbox_that_is_not_there_is_asked_once(
    picky: tuple[Picky, SmtpServer], answer: str, delivery: Delivery
) -> None:
    handler, server = picky
    handler.answer = answer
    mail = SmtpMail(
        server, Address(addr_spec="models@example.com"), now, patience=5, reach=Reach(Bounds(), time.monotonic)
    )
    assert await mail.send("anna@example.org", LETTER, ID) is delivery
