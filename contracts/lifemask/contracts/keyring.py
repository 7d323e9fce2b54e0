"""The keyring: which key may sign which step and emit which events, from when to when. Signed by an offline root.

Needs the extra `lifemask-contracts[verify]` (cryptography). A subscriber pins the root's fingerprint and loads
`keyring.json`; a newer keyring of the same root replaces an older one, never the other way round.
"""

import base64
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from lifemask.contracts.catalogue import split_version
from lifemask.contracts.ids import NAME_PATTERN
from lifemask.contracts.signing import (
    BadSignature,
    Reason,
    Signer,
    Untrusted,
    check_signature,
    fingerprint,
    seal,
    unseal,
)

PAYLOAD_TYPE: Final = "application/vnd.lifemask.keyring+json"
SOURCE: Final = "lifemask/"
"""Before a service's name in `ce_source`."""


class BadKeyring(ValueError):
    """The bytes are no keyring, or not one signed by the pinned root. The text says which."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Key(_Part):
    """A public key and what its holder may do with it."""

    id: str
    """Its fingerprint; believed only when it follows from `public`."""
    public: str
    """The raw key, 32 bytes, as base64."""
    holder: str = Field(pattern=NAME_PATTERN)
    """The service, as in `ce_source` after `lifemask/`."""
    steps: tuple[str, ...] = ()
    """Steps and acts of the custody chain it may sign, for example `upload`."""
    events: tuple[str, ...] = ()
    """Event types without version it may emit, for example `lifemask.run.accepted`."""
    since: AwareDatetime
    """Good for what is seen from here on."""
    until: AwareDatetime | None = None
    """Good for what is seen before."""
    compromised_at: AwareDatetime | None = None
    """From here on it may be in other hands: good only for what was seen before."""

    @property
    def raw(self) -> bytes:
        """The public key, 32 bytes."""
        return base64.b64decode(self.public)

    def good_at(self, at: datetime) -> None:
        """Raises Untrusted unless the key is good for what is seen at `at`."""
        if self.compromised_at is not None and at >= self.compromised_at:
            raise Untrusted(Reason.COMPROMISED)
        if self.until is not None and at >= self.until:
            raise Untrusted(Reason.ROTATED_OUT)
        if at < self.since:
            raise Untrusted(Reason.TOO_EARLY)


class Contents(_Part):
    """What the root signs."""

    version: int = Field(ge=1, lt=2**53)
    """Grows with each keyring of a root."""
    issued_at: AwareDatetime
    """Informative."""
    root: str
    """The root's public key, 32 bytes, as base64: it is checked against the pinned fingerprint."""
    keys: tuple[Key, ...]


class Keyring:
    """A keyring that the pinned root has signed."""

    def __init__(self, contents: Contents, data: bytes) -> None:
        self.contents = contents
        self.data = data
        self.root = fingerprint(base64.b64decode(contents.root))
        self._keys = {key.id: key for key in contents.keys}

    @classmethod
    def load(cls, data: bytes, root: str) -> "Keyring":
        """The keyring in the bytes of `keyring.json`, signed by the root of this fingerprint. Raises BadKeyring."""
        try:
            sealed = unseal(data, PAYLOAD_TYPE)
            contents = Contents.model_validate_json(sealed.payload)
            public = base64.b64decode(contents.root, validate=True)
            if fingerprint(public) != root.strip() or sealed.keyid != root.strip():
                raise BadKeyring("the keyring is signed by another root than the pinned one")
            check_signature(public, PAYLOAD_TYPE, sealed.payload, sealed.signature)
            _ids_fit(contents.keys)
        except BadSignature:
            raise BadKeyring("the keyring is damaged: its signature does not hold") from None
        except ValidationError as problem:
            places = ", ".join(sorted({".".join(map(str, each["loc"])) for each in problem.errors()}))
            raise BadKeyring(f"the keyring has wrong values at: {places or 'the top'}") from None
        except ValueError as problem:
            if isinstance(problem, BadKeyring):
                raise
            raise BadKeyring("the keyring holds a key that is no base64") from None
        return cls(contents, data)

    @classmethod
    def issue(cls, version: int, keys: Iterable[Key], root: Signer, issued_at: datetime) -> "Keyring":
        """A new keyring, signed. Raises BadKeyring when a key's id is not its fingerprint, or comes twice."""
        contents = Contents(
            version=version,
            issued_at=issued_at.astimezone(UTC),
            root=base64.b64encode(root.public).decode(),
            keys=tuple(keys),
        )
        data = seal(PAYLOAD_TYPE, contents.model_dump_json().encode(), root)
        return cls.load(data, root.keyid)

    @property
    def version(self) -> int:
        """Grows with each keyring of a root."""
        return self.contents.version

    def find(self, keyid: str) -> Key | None:
        """The key of this id, whatever it may do and whenever it was good."""
        return self._keys.get(keyid)

    def for_step(self, step: str, keyid: str, at: datetime) -> bytes:
        """The raw public key, if it may sign this step and is good for what is seen at `at`. Raises Untrusted."""
        key = self._known(keyid)
        if step not in key.steps:
            raise Untrusted(Reason.NOT_ALLOWED)
        key.good_at(at)
        return key.raw

    def for_event(self, type: str, source: str, keyid: str, at: datetime) -> bytes:
        """The raw public key, if it may emit this type under this source and is good at `at`. Raises Untrusted."""
        key = self._known(keyid)
        if source != SOURCE + key.holder or split_version(type)[0] not in key.events:
            raise Untrusted(Reason.NOT_ALLOWED)
        key.good_at(at)
        return key.raw

    def _known(self, keyid: str) -> Key:
        if (key := self._keys.get(keyid)) is None:
            raise Untrusted(Reason.UNKNOWN_KEY)
        return key


def key_for(signer: Signer, *, steps: Iterable[str], events: Iterable[str], since: datetime, **limits: Any) -> Key:
    """The keyring's entry of a signer; `limits`: `until`, `compromised_at`."""
    return Key(
        id=signer.keyid,
        public=base64.b64encode(signer.public).decode(),
        holder=signer.holder,
        steps=tuple(steps),
        events=tuple(events),
        since=since.astimezone(UTC),
        **limits,
    )


def _ids_fit(keys: tuple[Key, ...]) -> None:
    for key in keys:
        raw = base64.b64decode(key.public, validate=True)
        if len(raw) != 32 or fingerprint(raw) != key.id:
            raise BadKeyring("the keyring holds an id that is not its key's fingerprint")
    if len({key.id for key in keys}) != len(keys):
        raise BadKeyring("the keyring holds a key twice")
