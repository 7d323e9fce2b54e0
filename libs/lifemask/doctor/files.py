"""Files that a service needs: its key, the keyring, the secret of URLs, the apps."""

import asyncio
import json
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from lifemask.bus.outcomes import Misconfigured
from lifemask.contracts.signing import Untrusted
from lifemask.keys.files import open_keys
from lifemask.runtime.checkup import Finding, Probe
from lifemask.runtime.settings import ServiceSettings

_URL_KEY_BYTES: Final = 32


def keys_probe(service: str, settings: ServiceSettings) -> Probe:
    """The private key can be read, and the keyring, signed by the pinned root, believes it today."""
    return _file("keys", lambda: _keys(service, settings), "Look at the directory of LIFEMASK_KEYS.")


def url_key_probe(settings: ServiceSettings) -> Probe:
    """The secret behind our URLs, which all services share."""
    return _file("keys", lambda: _url_key(settings.keys / "url.key"), "Look at the directory of LIFEMASK_KEYS.")


def apps_probe(path: Path) -> Probe:
    """The apps that may call and are called."""
    return _file("apps", lambda: _apps(path), "Look at the file of LIFEMASK_APPS.")


def _file(part: str, look: Callable[[], Finding], away: str) -> Probe:
    async def act() -> Sequence[Finding]:
        return [await asyncio.to_thread(look)]

    return Probe(part, act, away)


def _keys(service: str, settings: ServiceSettings) -> Finding:
    what = f"key of {service}, keyring"
    try:
        keys = open_keys(settings.keys, service, settings.keyring_root)
        if (known := keys.trust.find(keys.signer.keyid)) is not None:
            known.good_at(datetime.now(UTC))
    except Misconfigured as problem:
        return Finding("keys", what, problem.detail, "Run `lifemask keys init`, or put the file back.")
    except Untrusted as problem:
        return Finding(
            "keys",
            what,
            f"the keyring does not believe the key in {service}.pem today: {problem}",
            f"Run `lifemask keys rotate {service} --root PATH`, or look at the clock of this machine.",
        )
    return Finding("keys", what)


def _url_key(path: Path) -> Finding:
    what = "url.key"
    try:
        size = len(path.read_bytes())
    except OSError as problem:
        return Finding(
            "keys",
            what,
            f"{what} in the directory of LIFEMASK_KEYS cannot be read: {problem.strerror}",
            "Give ingest and trainer the same directory of keys; whoever starts first makes the file.",
        )
    if size != _URL_KEY_BYTES:
        fix = "Remove it and start ingest and trainer again: links that were handed out end."
        return Finding("keys", what, f"{what} has {size} bytes, not {_URL_KEY_BYTES}", fix)
    return Finding("keys", what)


def _apps(path: Path) -> Finding:
    what = "apps file"
    try:
        apps = json.loads(path.read_bytes())
    except OSError as problem:
        fix = "Set LIFEMASK_APPS to the JSON file of the apps: without it nobody may call."
        return Finding("apps", what, f"the file of LIFEMASK_APPS cannot be read: {problem.strerror}", fix)
    except ValueError:
        return Finding("apps", what, "the file of LIFEMASK_APPS is no JSON", "Correct it; the README shows one.")
    if not isinstance(apps, dict) or not apps:
        return Finding("apps", what, "the file of LIFEMASK_APPS names no app", "Add one; the README shows how.")
    return Finding("apps", what)
