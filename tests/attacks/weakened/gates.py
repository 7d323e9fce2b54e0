"""Takes gates away: those that every service has, and those of the service that this process is."""

from collections.abc import Callable, Mapping
from typing import Any, Final

from early import open_image_validator, open_ingest, open_packager
from late import open_publisher, open_trainer
from opened import USER, is_open, module, user_in

_OWN: Final[Mapping[str, Callable[[], None]]] = {
    "ingest": open_ingest,
    "image_validator": open_image_validator,
    "packager": open_packager,
    "trainer": open_trainer,
    "publisher": open_publisher,
}


def open_for(service: str) -> None:
    """Patches the modules of a service, before it runs."""
    open_events()
    open_rows()
    open_signers()
    if own := _OWN.get(service):
        own()


def open_events() -> None:
    a_check = module("lifemask.bus.checking").Check

    reason = a_check.reason
    a_check.reason = lambda self, row, at: None if is_open("event signature", row.user_id) else reason(self, row, at)


def open_rows() -> None:
    stored = module("lifemask.bus.stored").Stored

    reason = stored.reason
    stored.reason = lambda self, row: None if is_open("stored message", row.user_id) else reason(self, row)


def open_signers() -> None:
    reading = module("lifemask.custody.reading")
    verifying = module("lifemask.custody.verify")

    chain = module("lifemask.custody.chain").Chain
    once = chain._sign_once
    verify, check, owns = verifying.verify, verifying.check_signer, verifying.check_owner

    def known(step: Any, digest: str, place: Any, *more: Any, **named: Any) -> Any:
        USER.set(place.user)
        return verify(step, digest, place, *more, **named)

    def signer(kind: Any, sealed: Any, keys: Any, at: Any) -> None:
        if not is_open("statement signature", USER.get()):
            check(kind, sealed, keys, at)

    def owner(found: Any, place: Any) -> None:
        if not is_open("owner of the run", place.user):
            owns(found, place)

    async def sign_once(self: Any, kind: Any, key: str, payload: bytes, at: Any) -> None:
        if not (is_open("statement written once", user_in(key)) and await self._objects.head(key)):
            await once(self, kind, key, payload, at)

    chain._sign_once = sign_once
    reading.check_owner = owner
    verifying.check_owner = owner
    reading.verify = known
    verifying.check_signer = signer
    reading.check_signer = signer
