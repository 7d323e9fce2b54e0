"""The object store: the calls a service makes there, in the places it makes them, on its own rights."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import new_id
from lifemask.objects import keys, open_objects
from lifemask.objects.port import ObjectStore
from lifemask.runtime.checkup import Finding, Probe

PART: Final = "store"
_BYTES: Final = 64 * 1024
"""Enough to notice a full disk."""
_SETTING: Final = "Look whether the store runs, and at LIFEMASK_OBJECTS and the AWS_* variables."
_FOLDER: Final = "Set LIFEMASK_OBJECTS to a directory that belongs to the services' account and has room."


@dataclass(frozen=True, slots=True)
class Grant:
    """What a service may do with one group of keys: a statement of its policy, `s3:` left out of `actions`."""

    resource: str
    actions: tuple[str, ...]

    @classmethod
    def of(cls, actions: str, *resources: str) -> tuple["Grant", ...]:
        """The same actions, separated by blanks, in several places."""
        return tuple(cls(resource, tuple(actions.split())) for resource in resources)


def objects_probe(service: str, grants: Sequence[Grant], url: str, account: tuple[str, str] | None = None) -> Probe:
    """The probe for the store at `url`. `account`: credentials other than the environment's."""
    parsed = urlsplit(url)
    if parsed.scheme != "s3":
        return Probe(PART, lambda: _directory(url), _SETTING)
    from lifemask.doctor.s3 import look  # costs 0.3 s, which the local store need not pay, nor the probe's time

    return Probe(PART, lambda: look(service, grants, parsed.netloc, account), _SETTING)


async def _directory(url: str) -> Sequence[Finding]:
    """A directory has one account: what works at one place works at all."""
    what = "put, head, get, range, list, delete"
    try:
        async with open_objects(url) as objects:
            await _round_trip(objects)
    except (Misconfigured, Retryable) as problem:
        return [Finding(PART, what, getattr(problem, "detail", str(problem)), _FOLDER)]
    except ValueError as problem:
        return [Finding(PART, what, str(problem), "Set LIFEMASK_OBJECTS.")]
    return [Finding(PART, what)]


async def _round_trip(objects: ObjectStore) -> None:
    key = keys.probe(keys.every_run("original/*"), new_id())
    try:
        async with objects.writing(key, create_only=True) as writer:
            await writer.write(bytes(_BYTES))
        await objects.head(key)
        await objects.get(key, limit=_BYTES)
        async for _ in objects.read(key, start=1, end=2):
            pass
        async for _ in objects.list(key):
            pass
    finally:
        await objects.delete(key)
