"""The mail server: keeps every mail as it came (.eml) and a JSON line about it."""

import asyncio
import email
import email.policy
import time
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, Envelope, Session

from lifemask.sandbox.calls import Calls
from lifemask.sandbox.faults import Faults
from lifemask.sandbox.store import Store

LOG = "mails.jsonl"


class Mailbox:
    """The mails kept so far; `handle_DATA` is what aiosmtpd calls for each new one."""

    def __init__(self, store: Store, faults: Faults, calls: Calls) -> None:
        self._store = store
        self._faults = faults
        self._calls = calls
        self._folder = store.folder("mails")

    async def handle_DATA(self, server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
        taken = self._faults.take("smtp")
        if delay := taken.get("delay"):
            await asyncio.sleep(delay.seconds or 0)
        if "drop_before" in taken:
            return self._hang_up(server, "dropped_before")
        if answer := taken.get("answer"):
            self._calls.count("smtp", f"refused_{answer.status}")
            return f"{answer.status} The sandbox was told to refuse this mail"
        self._keep(envelope)
        if "drop_after" in taken:
            return self._hang_up(server, "dropped_after")
        self._calls.count("smtp", "answered_250")
        return "250 OK"

    def parsed(self) -> list[dict[str, Any]]:
        """The mails, oldest first: file, sender, recipients, subject, text, html, and all headers."""
        return [self._parse(line) for line in self._store.lines(LOG)]

    def lines(self) -> list[dict[str, Any]]:
        return list(self._store.lines(LOG))

    def _keep(self, envelope: Envelope) -> None:
        content = envelope.content or b""
        raw = content.encode() if isinstance(content, str) else content
        at = time.time()
        name = f"{time.time_ns()}.eml"
        (self._folder / name).write_bytes(raw)
        subject = str(_message(raw)["subject"] or "")
        line = {"file": name, "at": at, "sender": envelope.mail_from, "to": envelope.rcpt_tos, "subject": subject}
        self._store.append(LOG, line)

    def _parse(self, line: dict[str, Any]) -> dict[str, Any]:
        message = _message((self._folder / line["file"]).read_bytes())
        return line | {
            "text": _body(message, "plain"),
            "html": _body(message, "html"),
            "headers": {name: str(value) for name, value in message.items()},
        }

    def _hang_up(self, server: SMTP, outcome: str) -> str:
        self._calls.count("smtp", outcome)
        if server.transport is not None:
            server.transport.close()
        return "421 closing"  # never sent: the connection is gone


def _message(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _body(message: EmailMessage, kind: str) -> str | None:
    part = message.get_body((kind,))
    return None if part is None else str(part.get_content())


async def serve_mail(mailbox: Mailbox, sock: Any, max_bytes: int) -> asyncio.Server:
    """Listens on `sock` in the running loop."""
    loop = asyncio.get_running_loop()

    def connection() -> SMTP:
        return SMTP(mailbox, data_size_limit=max_bytes, enable_SMTPUTF8=True, hostname="sandbox", loop=loop)

    return await loop.create_server(connection, sock=sock)
