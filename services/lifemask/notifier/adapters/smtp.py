"""Mail by `aiosmtplib`, one connection per mail: a few a minute do not need one that stays."""

import email.policy
from collections.abc import Callable
from datetime import datetime, timedelta
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Final

import aiosmtplib
import structlog

from lifemask.contracts import Digest
from lifemask.notifier.adapters.reach import Reach
from lifemask.notifier.domain import Delivery, SmtpServer
from lifemask.notifier.letter import Letter

Clock = Callable[[], datetime]

log = structlog.get_logger()

_SERVER: Final = "mail"
"""The one target."""


class SmtpMail:
    """A mail server. `patience` in seconds bounds each step of the conversation."""

    def __init__(self, server: SmtpServer, sender: Address, clock: Clock, *, patience: float, reach: Reach) -> None:
        self._server = server
        self._sender = sender
        self._clock = clock
        self._patience = patience
        self._reach = reach

    def wait(self) -> timedelta | None:
        return self._reach.wait(_SERVER)

    async def send(self, address: str, letter: Letter, notification: Digest) -> Delivery:
        message = compose(letter, notification, self._sender, Address(addr_spec=address), self._clock())
        with self._reach.calling(_SERVER):
            return await self._hand_in(message)

    async def _hand_in(self, message: EmailMessage) -> Delivery:
        try:
            await aiosmtplib.send(
                message,
                hostname=self._server.host,
                port=self._server.port,
                username=self._server.username,
                password=self._server.password,
                use_tls=self._server.tls,
                start_tls=True if self._server.starttls else None,
                timeout=self._patience,
            )
        except aiosmtplib.SMTPRecipientsRefused as refused:
            # 5xx about the mailbox is for good; about the sender or the content it may be our own set-up
            self._reach.answered(_SERVER)
            is_final = all(recipient.code >= 500 for recipient in refused.recipients)
            log.warning("mailbox_refused", codes=[recipient.code for recipient in refused.recipients])
            return Delivery.REFUSED if is_final else Delivery.FAILED
        except aiosmtplib.SMTPAuthenticationError as error:
            # ours to mend, but no reason to hold up the webhooks, as a paused stage would
            self._reach.answered(_SERVER)
            log.error("mail_login_refused", code=error.code, setting="LIFEMASK_SMTP")  # noqa: TRY400 - not our code's fault
            return Delivery.FAILED
        except (aiosmtplib.SMTPException, OSError) as error:
            code = getattr(error, "code", None)
            self._reach.silent(_SERVER) if code is None else self._reach.answered(_SERVER)
            log.warning("mail_not_taken", problem=type(error).__name__, code=code)
            return Delivery.FAILED
        self._reach.answered(_SERVER)
        return Delivery.ACCEPTED


def compose(letter: Letter, notification: Digest, sender: Address, recipient: Address, at: datetime) -> EmailMessage:
    """The mail. The message id carries the notification's, so that a mail that comes twice can be told as one."""
    message = EmailMessage(email.policy.SMTP)
    message["From"] = sender
    message["To"] = recipient
    message["Subject"] = letter.subject
    message["Date"] = format_datetime(at)
    message["Message-ID"] = f"<{notification}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(letter.text)
    message.add_alternative(letter.html, subtype="html")
    return message
