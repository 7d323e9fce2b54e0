"""Wrong settings are named at the start."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from lifemask.notifier.domain import SmtpServer, Target
from lifemask.notifier.settings import NotifierSettings, read_server, read_targets

SECRET = "whsec_" + "AAAA" * 8


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://127.0.0.1:2525", SmtpServer("127.0.0.1", 2525)),
        ("smtp://mail.example.com", SmtpServer("mail.example.com", 25)),
        ("smtp://mail.example.com:587?starttls=required", SmtpServer("mail.example.com", 587, starttls=True)),
        ("smtp://me:p%40ss@localhost:25", SmtpServer("localhost", 25, "me", "p@ss")),
        ("smtp://me:p%40ss@mail.example.com:587", SmtpServer("mail.example.com", 587, "me", "p@ss", starttls=True)),
        ("smtps://me:pass@mail.example.com", SmtpServer("mail.example.com", 465, "me", "pass", tls=True)),
    ],
)
def test_a_mail_server_is_read(url: str, server: SmtpServer) -> None:
    assert read_server(url) == server


@pytest.mark.parametrize("url", ["", "mail.example.com:25", "http://mail.example.com", "smtp://", "smtp://host/path"])
def test_another_url_is_no_mail_server(url: str) -> None:
    with pytest.raises(ValueError, match="LIFEMASK_SMTP"):
        read_server(url)


def test_webhooks_are_read_and_other_parts_of_the_file_are_left_alone() -> None:
    apps = {
        "acme": {"key_sha256": "0" * 64, "webhook_url": "https://acme.example/hook", "webhook_secret": SECRET},
        "local": {"webhook_url": "http://127.0.0.1:9000/hook", "webhook_secret": SECRET},
        "quiet": {"key_sha256": "1" * 64},
    }
    assert read_targets(json.dumps(apps).encode()) == {
        "acme": Target("https://acme.example/hook", SECRET),
        "local": Target("http://127.0.0.1:9000/hook", SECRET),
    }


@pytest.mark.parametrize(
    ("app", "problem"),
    [
        ({"webhook_url": "http://acme.example/hook", "webhook_secret": SECRET}, "https"),
        ({"webhook_url": "ftp://acme.example", "webhook_secret": SECRET}, "https"),
        ({"webhook_url": "https:///hook", "webhook_secret": SECRET}, "https"),
        ({"webhook_url": "https://acme.example/hook"}, "webhook_secret"),
        ({"webhook_url": "https://acme.example/hook", "webhook_secret": "hunter2"}, "webhook_secret"),
        ({"webhook_url": "https://acme.example/hook", "webhook_secret": "whsec_AAAA"}, "webhook_secret"),
        ({"webhook_url": "https://acme.example/hook", "webhook_secret": "whsec_" + "!" * 40}, "webhook_secret"),
    ],
)
def test_a_webhook_that_is_not_safe_is_refused_by_name(app: dict[str, str], problem: str) -> None:
    with pytest.raises(ValueError, match=f"app acme: .*{problem}") as raised:
        read_targets(json.dumps({"acme": app}).encode())
    assert app.get("webhook_secret", "-") not in str(raised.value)


@pytest.mark.parametrize("text", [b"", b"[]", b"{", b'{"acme": "key"}'])
def test_a_file_that_is_no_apps_file_is_named(text: bytes) -> None:
    with pytest.raises(ValueError, match="LIFEMASK_APPS"):
        read_targets(text)


def test_without_an_apps_file_there_are_no_webhooks(tmp_path: Path) -> None:
    settings = NotifierSettings(apps=tmp_path / "apps.json")
    assert settings.targets == {}
    assert settings.sender.addr_spec == "lifemask@localhost"


@pytest.mark.parametrize(
    "wrong", [{"smtp": SecretStr("nowhere")}, {"mail_from": "nobody"}, {"mail_from": "a@b\nBcc: c@d"}]
)
def test_a_wrong_setting_stops_the_start(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        NotifierSettings(apps=tmp_path / "apps.json", **wrong)
