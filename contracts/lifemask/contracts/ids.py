"""Identifiers as they appear on the bus and in the object store. All are strings with a fixed alphabet."""

import os
import re
import time
from typing import Annotated, Final

from pydantic import Field

UUID7_PATTERN: Final = "^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$"
NAME_PATTERN: Final = "^[A-Za-z0-9_-]{1,64}$"
USER_PATTERN: Final = r"^[A-Za-z0-9_-]{1,64}\.[A-Za-z0-9_-]{1,64}$"

_EXAMPLE = "0192f7a0-1b2c-7d3e-8f40-5a6b7c8d9e0f"

UserId = Annotated[
    str,
    Field(
        pattern=USER_PATTERN,
        description="`{app}.{user}`: the app's name and the app's own id for its user; never an e-mail address. "
        "Also the Kafka key of the record.",
        examples=["acme.user-42"],
    ),
]
RunId = Annotated[
    str, Field(pattern=UUID7_PATTERN, description="The run, a UUIDv7. Also `ce_subject`.", examples=[_EXAMPLE])
]
PhotoId = Annotated[
    str,
    Field(
        pattern=UUID7_PATTERN,
        description="The photo, a UUIDv7; says nothing about its content.",
        examples=["0192f7a0-2222-7d3e-8f40-5a6b7c8d9e0f"],
    ),
]
ModelId = Annotated[
    str,
    Field(pattern=UUID7_PATTERN, description="The model, a UUIDv7.", examples=["0192f7a0-3333-7d3e-8f40-5a6b7c8d9e0f"]),
]
Digest = Annotated[  # says nothing about itself: each field says of what it is the digest
    str,
    Field(
        pattern="^[0-9a-f]{64}$",
        examples=["9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"],
    ),
]


OWN_APP: Final = "lifemask"
"""No app may have this name: users of it are ours."""
OPERATOR: Final = f"{OWN_APP}.operator"
"""The user under whose key events travel that are about no user at all."""


def new_id() -> str:
    """A fresh UUIDv7 (RFC 9562): 48 bits of Unix milliseconds, then 74 random bits."""
    value = bytearray((time.time_ns() // 1_000_000).to_bytes(6, "big") + os.urandom(10))
    value[6] = (value[6] & 0x0F) | 0x70
    value[8] = (value[8] & 0x3F) | 0x80
    text = value.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def user_id(app: str, user: str) -> str:
    """The id on the bus of an app's user. Raises ValueError when either name leaves `[A-Za-z0-9_-]{1,64}`."""
    for name in (app, user):
        if not re.fullmatch(NAME_PATTERN, name):
            raise ValueError("an app or user id is 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
    return f"{app}.{user}"


def app_of(user: str) -> str:
    """The app's name in a user id of the bus."""
    return user.partition(".")[0]
