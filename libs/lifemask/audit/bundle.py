"""Everything of a model's audit that is signed, in one file: what an auditor takes along, and needs nothing besides.

A bundle holds every file of the run's custody folder (statements, manifests, owner.json, acts) and the keyring. It
names the owner and the digests of all photos: whoever gets it can tell whether a photo was among them.
"""

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lifemask.audit.case import Case
from lifemask.contracts import ModelId, RunId, UserId
from lifemask.contracts.keyring import BadKeyring, Keyring
from lifemask.objects import keys
from lifemask.objects.keys import Key
from lifemask.objects.port import File

FORMAT: Final = "https://lifemask.dev/audit/bundle/v1"
LIMIT: Final = 64 << 20
"""Bytes of a bundle that is read; one of 100 photos and ten attempts has under 1 MB."""
CANNOT_SEE: Final = (
    "the bytes of photos, archive and weights, in the store and on the hub",
    "rows and events: whether the services' databases and the log say the same",
    "what happened after the bundle was made",
)
"""What an offline audit says that it has not looked at."""
NEWER_KEYRING: Final = "whether a newer keyring takes one of its keys away"
"""What it has not looked at either, unless it was told of the newest keyring."""
OFFLINE_HUB: Final = "an audit of a bundle does not look at the hub"


class BadBundle(ValueError):
    """The file is no bundle. The text says why."""


class _Bundle(BaseModel):
    """`files` are those of the custody folder by name, in base64; `keyring` is keyring.json in base64."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["https://lifemask.dev/audit/bundle/v1"]
    model: ModelId
    user: UserId
    run: RunId
    attempt: Annotated[int, Field(ge=1)]
    statement: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None
    files: dict[str, str]
    keyring: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A bundle as it was read."""

    case: Case
    keyring: Keyring


def write_bundle(case: Case, keyring: bytes) -> bytes:
    """The bundle of a case; the same case gives the same bytes."""
    files = {
        key.rpartition("/")[2]: base64.b64encode(file).decode()
        for key, file in sorted(case.custody.items())
        if isinstance(file, bytes)
    }
    bundle = _Bundle(
        format=FORMAT,
        model=case.model,
        user=case.user,
        run=case.run,
        attempt=case.attempt,
        statement=case.statement,
        files=files,
        keyring=base64.b64encode(keyring).decode(),
    )
    return json.dumps(bundle.model_dump(mode="json"), indent=1, sort_keys=True).encode() + b"\n"


def open_bundle(data: bytes, root: str, *, keyring: bytes | None = None, version: int = 1) -> Opened:
    """The case in a bundle, and the keyring to judge it by, if the root of this fingerprint has signed it.

    That is the newer one of the bundle's and of `keyring`, the bytes of a keyring.json. `version`: the oldest that will
    do; who made the bundle could have put in one from before a key was known to be stolen. Raises BadBundle.
    """
    try:
        bundle = _Bundle.model_validate_json(data)
        offered = [Keyring.load(base64.b64decode(bundle.keyring, validate=True), root)]
        offered += [Keyring.load(keyring, root)] if keyring is not None else []
        newest = max(offered, key=lambda one: one.version)
        folder = f"{keys.run_prefix(bundle.user, bundle.run)}custody/"
        files: dict[Key, File] = {
            Key(folder + name): base64.b64decode(text, validate=True) for name, text in bundle.files.items()
        }
    except ValidationError:
        raise BadBundle("it is not a bundle of this version") from None
    except BadKeyring as problem:
        raise BadBundle(str(problem)) from None
    except (binascii.Error, keys.BadKey):
        raise BadBundle("one of its files is damaged") from None
    if newest.version < version:
        raise BadBundle(f"its keyring is version {newest.version}, older than {version}: it may hold keys stolen since")
    case = Case(
        model=bundle.model,
        user=bundle.user,
        run=bundle.run,
        attempt=bundle.attempt,
        custody=files,
        statement=bundle.statement,
        hub_why=OFFLINE_HUB,
    )
    return Opened(case, newest)
