"""Reads and hashes what lies in the object store for a run and its model."""

import asyncio
import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Final

from lifemask.audit.case import Hashed
from lifemask.audit.records import Located
from lifemask.objects import keys
from lifemask.objects.keys import Key
from lifemask.objects.port import File, ObjectInfo, ObjectMissing, ObjectStore, ObjectTooLarge

_AT_ONCE: Final = 8
_LOOKS: Final = 3
_STATEMENT: Final = 4 << 20
"""Bytes of the largest file of the custody folder."""
_DOCUMENT: Final = 64 << 10
"""Bytes of a small document that is kept as well as hashed."""


async def read_store(
    objects: ObjectStore, located: Located, model: str
) -> tuple[Mapping[Key, File], Mapping[Key, Hashed]]:
    """The files of the run's custody folder, and digests of all other objects of the run and of the model.

    Read again when something goes meanwhile: its disposal was signed before, but perhaps after we looked for that.
    """
    custody, others, is_whole = await _read_once(objects, located, model)
    for _ in range(_LOOKS - 1):
        if is_whole:
            break
        custody, others, is_whole = await _read_once(objects, located, model)
    return dict(sorted(custody.items())), dict(sorted(others.items()))


async def _read_once(
    objects: ObjectStore, located: Located, model: str
) -> tuple[dict[Key, File], dict[Key, Hashed], bool]:
    custody_folder = f"{keys.run_prefix(located.user, located.run)}custody/"
    found = [
        info
        for prefix in (keys.run_prefix(located.user, located.run), keys.model_versions(located.user, model))
        async for info in objects.list(prefix)
    ]
    room = asyncio.Semaphore(_AT_ONCE)
    others: dict[Key, Hashed] = {}
    gone: list[Key] = []

    async def look(info: ObjectInfo) -> None:
        async with room:
            try:
                others[info.key] = await _hash(objects, info)
            except ObjectMissing:
                gone.append(info.key)

    custody = await read_custody(objects, [info.key for info in found if info.key.startswith(custody_folder)])
    await asyncio.gather(*(look(info) for info in found if info.key not in custody))
    return custody, others, not gone


async def read_custody(objects: ObjectStore, wanted: Iterable[Key]) -> dict[Key, File]:
    """Files of a custody folder."""
    return await objects.get_each(wanted, limit=_STATEMENT)


async def locate_in_store(objects: ObjectStore, model: str) -> Located | None:
    """Whose a model is that no row knows: reads the names of all objects of all users."""
    async for info in objects.list(keys.USERS):
        parts = info.key.split("/")
        if len(parts) == 6 and parts[2] == "models" and parts[3] == model and parts[5] == "metadata.json":
            try:
                said = json.loads(await objects.get(info.key, limit=_DOCUMENT))
                keys.run_prefix(parts[1], str(said["run_id"]))
            except (ValueError, KeyError, TypeError, ObjectMissing, ObjectTooLarge):
                continue
            return Located(parts[1], str(said["run_id"]))
    return None


async def _hash(objects: ObjectStore, info: ObjectInfo) -> Hashed:
    if info.bytes <= _DOCUMENT:
        data = await objects.get(info.key, limit=_DOCUMENT)
        return Hashed(hashlib.sha256(data).hexdigest(), len(data), data)
    digest, size = hashlib.sha256(), 0
    async for chunk in objects.read(info.key):
        digest.update(chunk)
        size += len(chunk)
    return Hashed(digest.hexdigest(), size)
