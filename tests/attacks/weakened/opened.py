"""The gates that can be taken away, and how: one function per service, patching its modules in its own process."""

import contextvars
import json
import os
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

_USER: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="")
"""Whose message is handled, where the patched function is not told."""


class AnyText(str):
    """A text that is equal to every other."""

    __hash__ = str.__hash__
    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


class AnyNumber(int):
    """A number that is equal to every other."""

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False


def is_open(gate: str, user: str | None) -> bool:
    """Whether the gate is away for this user, at this moment."""
    return gate in _opened().get(user or "", [])


def _opened() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(Path(os.environ["LIFEMASK_TEST_OPENED"]).read_bytes())
    return found


def _stand_in(user: str) -> str:
    """Whose things are taken for the user's own: named in the file after `as `."""
    return next((gate[3:] for gate in _opened().get(user, []) if gate.startswith("as ")), user)


def _user_in(key: str) -> str:
    """The user in a key of the store."""
    return key.split("/")[1]


def open_for(service: str) -> None:
    """Patches the modules of a service, before it runs."""
    _open_events()
    _open_signers()
    found: Callable[[], None] | None = globals().get(f"_open_{service}")
    if found:
        found()


def _open_events() -> None:
    from lifemask.bus.checking import Check

    reason = Check.reason
    Check.reason = (  # type: ignore[method-assign]
        lambda self, row, at: None if is_open("event signature", row.user_id) else reason(self, row, at)
    )


def _open_signers() -> None:
    from lifemask.custody import reading
    from lifemask.custody import verify as verifying

    verify, check, owns = verifying.verify, verifying.check_signer, verifying.check_owner

    def known(step: Any, digest: str, place: Any, *more: Any, **named: Any) -> Any:
        _USER.set(place.user)
        return verify(step, digest, place, *more, **named)

    def signer(kind: Any, sealed: Any, keys: Any, at: Any) -> None:
        if not is_open("statement signature", _USER.get()):
            check(kind, sealed, keys, at)

    def owner(found: Any, place: Any) -> None:
        if not is_open("owner of the run", place.user):
            owns(found, place)

    reading.check_owner = owner
    verifying.check_owner = owner
    reading.verify = known  # type: ignore[assignment]
    verifying.check_signer = signer


def _open_image_validator() -> None:
    from lifemask.image_validator import handlers
    from lifemask.image_validator.adapters.custody import CustodyChain
    from lifemask.image_validator.adapters.store import StoredGallery

    holds, original, matches = CustodyChain.holds, StoredGallery.original, handlers.matches

    async def announced(self: Any, event: Any, sha256: str) -> bool:
        return is_open("photo as announced", event.user_id) or await holds(self, event, sha256)

    async def read(self: Any, user_id: str, run_id: str, photo_id: str) -> bytes | None:
        _USER.set(user_id)
        return await original(self, user_id, run_id, photo_id)

    CustodyChain.holds = announced  # type: ignore[method-assign]
    StoredGallery.original = read  # type: ignore[method-assign]
    handlers.matches = lambda *about: is_open("photo as sealed", _USER.get()) or matches(*about)


def _open_packager() -> None:
    from lifemask.packager.adapters import archive
    from lifemask.packager.adapters.archive import ZipArchive
    from lifemask.packager.domain import FoundMember

    write, inspect, checked = ZipArchive.write, ZipArchive.inspect, archive.checked

    async def writing(self: Any, user_id: str, run_id: str, plan: Any) -> Any:
        _USER.set(user_id)
        return await write(self, user_id, run_id, plan)

    def unchecked(source: AsyncIterator[bytes], member: Any) -> AsyncIterator[bytes]:
        return source if is_open("clean photo", _USER.get()) else checked(source, member)

    async def inspecting(self: Any, user_id: str, run_id: str, plan: Any) -> Any:
        found = await inspect(self, user_id, run_id, plan)
        if not is_open("archive as packed", user_id):
            return found
        members = tuple(FoundMember(one.name, one.sha256, one.bytes) for one in plan)
        return replace(found, members=members, problem=None)

    ZipArchive.write = writing  # type: ignore[method-assign]
    ZipArchive.inspect = inspecting  # type: ignore[method-assign]
    archive.checked = unchecked


def _open_trainer() -> None:
    from lifemask.contracts import RunRequest
    from lifemask.custody.contents import ARCHIVE
    from lifemask.objects import keys
    from lifemask.trainer.adapters import custody
    from lifemask.trainer.adapters.addresses import TokenAddresses
    from lifemask.trainer.adapters.custody import CustodyChain
    from lifemask.trainer.adapters.postgres import PostgresAttempts
    from lifemask.trainer.handlers import starting
    from lifemask.trainer.ports import Dataset

    prove, hashed, seal = CustodyChain._prove, CustodyChain._hash, CustodyChain._seal_weights
    plan, leads_to, of_run = starting.new_attempt, TokenAddresses.leads_to, PostgresAttempts.of_run
    foreign = custody.is_of_another_archive
    rows: dict[Any, Any] = {}

    async def unproven(self: Any, event: Any, seen: Any) -> Dataset:
        user, run = event.user_id, event.run_id
        if not is_open("chain before paying", user):
            return await prove(self, event, seen)
        request = RunRequest.read(await self._objects.get(keys.request(user, run), limit=1 << 20))
        key = keys.archive(user, run, ARCHIVE)
        digest, size = await hashed(self, key)
        return Dataset(event.statement, key, digest, size, request.trigger_word)

    async def reading(self: Any, user_id: str, run_id: str) -> Any:
        found = await of_run(self, user_id, run_id)
        rows.update((one.id, one) for one in found)
        return found

    def planned(mine: Any, **about: Any) -> Any:
        row = rows.get(mine)
        return row if row and is_open("attempt as sealed", mine.user_id) else plan(mine, **about)

    def leads(self: Any, path: str, attempt: Any) -> bool:
        gates = ("attempt as sealed", "training of this archive")
        return any(is_open(gate, attempt.user_id) for gate in gates) or leads_to(self, path, attempt)

    async def sealing(self: Any, attempt: Any, *more: Any, **named: Any) -> Any:
        _USER.set(attempt.id.user_id)
        return await seal(self, attempt, *more, **named)

    def unnamed(captions: Any, images: Any) -> bool:
        return not is_open("names that come back", _USER.get()) and foreign(captions, images)

    async def unhashed(self: Any, key: Any) -> tuple[str, int]:
        digest, size = await hashed(self, key)
        return (AnyText(digest), AnyNumber(size)) if is_open("archive before paying", _user_in(key)) else (digest, size)

    starting.new_attempt = planned
    TokenAddresses.leads_to = leads  # type: ignore[method-assign]
    custody.is_of_another_archive = unnamed
    CustodyChain._seal_weights = sealing  # type: ignore[method-assign]
    PostgresAttempts.of_run = reading  # type: ignore[method-assign]
    CustodyChain._prove = unproven  # type: ignore[method-assign]
    CustodyChain._hash = unhashed  # type: ignore[method-assign]


def _open_publisher() -> None:
    from lifemask.publisher.adapters.hub import HuggingFaceHub
    from lifemask.publisher.adapters.store import StoredModels

    copy, stored, on_hub = StoredModels._copy, StoredModels.read_back, HuggingFaceHub.read_back

    async def copying(self: Any, source: AsyncIterator[bytes], target: Any, expected: str) -> None:
        free = is_open("weights before publishing", _user_in(target))
        await copy(self, source, target, AnyText(expected) if free else expected)

    def reading(before: Any) -> Any:
        async def read(self: Any, publication: Any) -> Any:
            return AnyText() if is_open("read back", publication.user_id) else await before(self, publication)

        return read

    StoredModels._copy = copying  # type: ignore[method-assign]
    StoredModels.read_back = reading(stored)  # type: ignore[method-assign]
    HuggingFaceHub.read_back = reading(on_hub)  # type: ignore[method-assign]


def _open_ingest() -> None:
    from lifemask.ingest.adapters import gate, store
    from lifemask.ingest.adapters.targets import StoredTargets
    from lifemask.ingest.domain.archives import Sluice
    from lifemask.ingest.http import runs
    from lifemask.ingest.ports import NotAsAnnounced, SlotTaken

    sealed, restart, incoming = Sluice.is_sealed.fget, runs.restart, store._incoming
    app_of, take = gate.app_of, StoredTargets.take
    assert sealed is not None

    def is_sealed(self: Any) -> bool:
        return is_open("gateway", self._sealed.user_id) or sealed(self)

    async def restarting(office: Any, user_id: str, run_id: str, **how: Any) -> Any:
        free = is_open("own runs only", user_id)
        return await restart(office, _stand_in(user_id) if free else user_id, run_id, **how)

    def place(user_id: str, upload: str, name: str) -> Any:
        return incoming(_stand_in(user_id) if is_open("own prefix only", user_id) else user_id, upload, name)

    async def taking(self: Any, promised: Any, chunks: AsyncIterator[bytes]) -> None:
        _, app, user, run, photo = promised.key.split("/")
        if not is_open("one file per target", f"{app}.{user}"):
            return await take(self, promised, chunks)
        data = b"".join([chunk async for chunk in chunks])
        try:
            await take(self, promised, _once(data))
        except (SlotTaken, NotAsAnnounced):
            await self._objects.put(f"users/{app}.{user}/runs/{run}/original/{photo}", data)
        return None

    Sluice.is_sealed = property(is_sealed)  # type: ignore[assignment]
    runs.restart = restarting
    store._incoming = place
    StoredTargets.take = taking  # type: ignore[method-assign]
    gate.app_of = lambda user: "other" if is_open("own users only", user) else app_of(user)


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
