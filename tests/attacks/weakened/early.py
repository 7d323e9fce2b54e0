"""Takes gates away in the services before the money: one function for each."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from opened import USER, is_open, module, stand_in


def open_ingest() -> None:
    gate = module("lifemask.ingest.adapters.gate")
    store = module("lifemask.ingest.adapters.store")
    stored_targets = module("lifemask.ingest.adapters.targets").StoredTargets
    sealed_archive = module("lifemask.ingest.domain.archives").Sealed
    runs = module("lifemask.ingest.http.runs")
    not_as_announced = module("lifemask.ingest.ports").NotAsAnnounced
    slot_taken = module("lifemask.ingest.ports").SlotTaken

    is_in, restart, incoming = sealed_archive.is_in, runs.restart, store._incoming
    app_of, take = gate.app_of, stored_targets.take

    def whatever_is_read(self: Any, reading: Any) -> Any:
        return is_open("gateway", self.user_id) or is_in(self, reading)

    async def restarting(office: Any, user_id: str, run_id: str, **how: Any) -> Any:
        free = is_open("own runs only", user_id)
        return await restart(office, stand_in(user_id) if free else user_id, run_id, **how)

    def place(user_id: str, upload: str, name: str) -> Any:
        return incoming(stand_in(user_id) if is_open("own prefix only", user_id) else user_id, upload, name)

    async def taking(self: Any, promised: Any, chunks: AsyncIterator[bytes]) -> Any:
        _, app, user, run, photo = promised.key.split("/")
        if not is_open("one file per target", f"{app}.{user}"):
            return await take(self, promised, chunks)
        data = b"".join([chunk async for chunk in chunks])
        try:
            await take(self, promised, _once(data))
        except (slot_taken, not_as_announced):
            await self._objects.put(f"users/{app}.{user}/runs/{run}/original/{photo}", data)
        return None

    sealed_archive.is_in = whatever_is_read
    runs.restart = restarting
    store._incoming = place
    stored_targets.take = taking
    gate.app_of = lambda user: "other" if is_open("own users only", user) else app_of(user)


def open_image_validator() -> None:
    row_codes = module("lifemask.custody").RowCodes
    handlers = module("lifemask.image_validator.handlers")
    custody_chain = module("lifemask.image_validator.adapters.custody").CustodyChain
    stored_gallery = module("lifemask.image_validator.adapters.store").StoredGallery

    holds, original, matches = custody_chain.holds, stored_gallery.original, handlers.matches
    contradicts, fits = handlers.contradicts, row_codes.holds

    async def announced(self: Any, event: Any, sha256: str) -> Any:
        return is_open("photo as announced", event.user_id) or await holds(self, event, sha256)

    async def read(self: Any, user_id: str, run_id: str, photo_id: str) -> Any:
        USER.set(user_id)
        return await original(self, user_id, run_id, photo_id)

    custody_chain.holds = announced
    stored_gallery.original = read

    def other(photo: Any, *about: Any) -> Any:
        return not (photo and is_open("photo as sealed", photo.user_id)) and contradicts(photo, *about)

    def intact(self: Any, code: bytes, table: str, user: str, *more: Any) -> Any:
        return is_open("row as written", user) or fits(self, code, table, user, *more)

    handlers.contradicts = other
    row_codes.holds = intact
    handlers.matches = lambda *about: is_open("photo as sealed", USER.get()) or matches(*about)


def open_packager() -> None:
    archive = module("lifemask.packager.adapters.archive")
    zip_archive = module("lifemask.packager.adapters.archive").ZipArchive
    found_member = module("lifemask.packager.domain").FoundMember

    write, inspect, checked = zip_archive.write, zip_archive.inspect, archive.checked

    async def writing(self: Any, user_id: str, run_id: str, plan: Any) -> Any:
        USER.set(user_id)
        return await write(self, user_id, run_id, plan)

    def unchecked(source: AsyncIterator[bytes], member: Any) -> AsyncIterator[bytes]:
        return source if is_open("clean photo", USER.get()) else checked(source, member)

    async def inspecting(self: Any, user_id: str, run_id: str, plan: Any) -> Any:
        found = await inspect(self, user_id, run_id, plan)
        if not is_open("archive as packed", user_id):
            return found
        members = tuple(found_member(one.name, one.sha256, one.bytes) for one in plan)
        return replace(found, members=members, problem=None)

    zip_archive.write = writing
    zip_archive.inspect = inspecting
    archive.checked = unchecked


async def _once(data: bytes) -> AsyncIterator[bytes]:
    yield data
