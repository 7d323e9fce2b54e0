"""The unmodified aiosmtplib against the mail server."""

from email.message import EmailMessage
from urllib.parse import urlsplit

import aiosmtplib
import pytest
from tests.sandbox.world import Provider


def letter(subject: str = "Your model is ready ✓") -> EmailMessage:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "lifemask@example.org", "anna@example.org", subject
    message["Message-ID"] = "<r1.succeeded@lifemask>"
    message.set_content("It is ready.")
    message.add_alternative("<p>It is ready.</p>", subtype="html")
    return message


async def send(provider: Provider, message: EmailMessage) -> None:
    address = urlsplit(provider.urls.smtp)
    await aiosmtplib.send(message, hostname=address.hostname, port=address.port)


async def test_a_mail_is_kept_and_read_back(provider: Provider) -> None:
    await send(provider, letter())
    mails = (await provider.web.get(provider.urls.mails)).json()
    assert len(mails) == 1
    assert (mails[0]["to"], mails[0]["subject"]) == (["anna@example.org"], "Your model is ready ✓")
    assert mails[0]["text"].strip() == "It is ready."
    assert mails[0]["html"].strip() == "<p>It is ready.</p>"
    assert mails[0]["headers"]["Message-ID"] == "<r1.succeeded@lifemask>"
    assert [each["subject"] for each in (await provider.ledger())["mails"]] == ["Your model is ready ✓"]


async def test_a_mail_can_be_refused(provider: Provider) -> None:
    await provider.fault("smtp", "answer", status=451)
    with pytest.raises(aiosmtplib.SMTPDataError) as refused:
        await send(provider, letter())
    assert refused.value.code == 451
    await send(provider, letter("again"))
    assert [mail["subject"] for mail in (await provider.ledger())["mails"]] == ["again"]


@pytest.mark.parametrize(("effect", "kept"), [("drop_before", 0), ("drop_after", 1)])
async def test_a_mail_whose_answer_is_lost(provider: Provider, effect: str, kept: int) -> None:
    await provider.fault("smtp", effect)
    with pytest.raises(aiosmtplib.SMTPServerDisconnected):
        await send(provider, letter())
    assert len((await provider.ledger())["mails"]) == kept
