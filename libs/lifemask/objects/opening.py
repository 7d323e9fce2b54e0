"""From the setting `LIFEMASK_OBJECTS` to a store."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from urllib.parse import SplitResult, unquote, urlsplit

from lifemask.objects.port import ObjectStore, StoreLimits

Opener = Callable[[SplitResult, StoreLimits], AbstractAsyncContextManager[ObjectStore]]


def open_objects(url: str, limits: StoreLimits | None = None) -> AbstractAsyncContextManager[ObjectStore]:
    """The store at `file:///directory` or `s3://bucket`. Raises ValueError for anything else.

    `limits` are for a store over a network; a directory has none.

    Opening an S3 store asks it nothing, so that a service starts while its store is away.
    """
    parsed = urlsplit(url)
    opener = OPENERS.get(parsed.scheme)
    if opener is None or parsed.query or parsed.fragment:
        raise ValueError(f"the objects URL must be file:///directory or s3://bucket, not {parsed.scheme or 'empty'}:…")
    return opener(parsed, limits or StoreLimits())


@asynccontextmanager
async def _directory(url: SplitResult, _limits: StoreLimits) -> AsyncIterator[ObjectStore]:
    if url.netloc not in {"", "localhost"} or not url.path.startswith("/"):
        raise ValueError("a local objects URL has three slashes and an absolute path: file:///directory")
    from lifemask.objects.local import LocalObjects

    yield LocalObjects(Path(unquote(url.path)))


@asynccontextmanager
async def _bucket(url: SplitResult, limits: StoreLimits) -> AsyncIterator[ObjectStore]:
    if not url.netloc or url.path not in {"", "/"}:
        raise ValueError("an S3 objects URL is s3://bucket and nothing after it")
    from lifemask.objects.s3 import open_s3  # costs 0.3 s, which the local store need not pay

    async with open_s3(url.netloc, limits) as objects:
        yield objects


OPENERS: dict[str, Opener] = {"file": _directory, "s3": _bucket}
"""By scheme; the test kit adds `memory`."""
