"""Passwords of the services' roles, as `lifemask migrate` gives them to PostgreSQL."""

import hashlib
import hmac
import re
import secrets
from base64 import b64encode
from collections.abc import Iterable, Mapping
from typing import Final

from lifemask.bus.roles import schema_of

PREFIX: Final = "LIFEMASK_DB_PASSWORD_"
"""Before a service's schema in capitals: `LIFEMASK_DB_PASSWORD_IMAGE_VALIDATOR`."""

_ROUNDS: Final = 4096
"""PostgreSQL's own default (`scram_iterations`)."""
_PRINTABLE: Final = re.compile(r"[!-~]+")


def variable_of(service: str) -> str:
    """The variable that holds the password of a service's role."""
    return f"{PREFIX}{schema_of(service).upper()}"


def passwords_in(environment: Mapping[str, str], services: Iterable[str]) -> dict[str, str]:
    """The passwords that `environment` names, by service. Raises ValueError naming the variable, never its value."""
    found = {service: environment.get(variable_of(service), "") for service in services}
    for service, password in found.items():
        if password and not _PRINTABLE.fullmatch(password):
            raise ValueError(f"{variable_of(service)} must be printable ASCII characters without spaces")
    return {service: password for service, password in found.items() if password}


def verifier(password: str) -> str:
    """What PostgreSQL stores of a password: `SCRAM-SHA-256$…` (RFC 5803) with a salt of its own.

    Made here, so that the password itself is in no statement that a server may log. Its characters need no quoting.
    """
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode("ascii"), salt, _ROUNDS)
    stored = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server = hmac.digest(salted, b"Server Key", "sha256")
    return f"SCRAM-SHA-256${_ROUNDS}:{_text(salt)}${_text(stored)}:{_text(server)}"


def _text(data: bytes) -> str:
    return b64encode(data).decode()
