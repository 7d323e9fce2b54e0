"""A file of a repository as the hub gives it out, not as it says that it is."""

import hashlib
import threading
from typing import Final

from lifemask.contracts import Digest
from lifemask.publisher.adapters.hub_errors import TurnedAway
from lifemask.publisher.adapters.hub_library import (
    EntryNotFoundError,
    HfApi,
    build_hf_headers,
    get_session,
    hf_hub_url,
    hf_raise_for_status,
)

_CHUNK: Final = 1 << 20


def digest_of(
    api: HfApi, repo: str, path: str, revision: str | None, *, limit: int, stop: threading.Event
) -> Digest | None:
    """Blocking. SHA-256 of the file's bytes, or of a little more than `limit` of them; None when there is no such file.

    `stop` ends it when nobody waits for the answer any more. Raises what the client raises.
    """
    url = hf_hub_url(repo, path, revision=revision, endpoint=api.endpoint)
    headers = build_hf_headers(token=api.token) | {"Accept-Encoding": "identity"}
    digest, size = hashlib.sha256(), 0
    with get_session().stream("GET", url, headers=headers) as response:
        if response.history and response.status_code >= 400:  # the file host; its 403 is an expired link, not our token
            raise TurnedAway(503, None)
        try:
            hf_raise_for_status(response)
        except EntryNotFoundError:
            return None
        for chunk in response.iter_raw(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            if size > limit or stop.is_set():
                break
    return digest.hexdigest()
