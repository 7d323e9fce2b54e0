"""Photos come from URLs: fetched side by side, each for itself, so that one that fails stops no other."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from typing import Final
from urllib.parse import unquote, urlsplit

from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.photos import receive_photo
from lifemask.ingest.domain import photos as answer
from lifemask.ingest.domain.photos import PhotoResult, plain_name
from lifemask.ingest.ports import AddressRefused, FetchFailed

_TRIES: Final = 3
_PAUSE: Final = 0.5
"""Seconds before a second try; before the third twice that."""


async def fetch_photos(office: Office, user_id: str, run_id: str, urls: Sequence[str]) -> list[PhotoResult]:
    """What became of each URL, in their order. Raises what the store raises, after all have ended."""
    room = asyncio.Semaphore(office.limits.fetch_at_once)

    async def fetch(url: str) -> PhotoResult:
        async with room:
            return await _fetch(office, user_id, run_id, url)

    found = await asyncio.gather(*(fetch(url) for url in urls), return_exceptions=True)
    results: list[PhotoResult] = []
    for each in found:
        if isinstance(each, BaseException):
            raise each
        results.append(each)
    return results


async def _fetch(office: Office, user_id: str, run_id: str, url: str) -> PhotoResult:
    name = _name(url)
    for attempt in range(1, _TRIES + 1):
        try:
            async with aclosing(office.web.read(url)) as body:
                return await receive_photo(office, user_id, run_id, name, body, door="url")
        except AddressRefused:
            return answer.no_address(name)
        except FetchFailed as failed:
            if not failed.passing or attempt == _TRIES:
                break
        await asyncio.sleep(_PAUSE * attempt)
    return answer.not_fetched(name)


def _name(url: str) -> str:
    """The file's name in the URL; never the query, which may hold a right to the file."""
    try:
        return plain_name(unquote(urlsplit(url).path))
    except ValueError:
        return plain_name("")
