"""The Hugging Face Hub by the unmodified `huggingface_hub`, which blocks: each call has a thread of a small pool."""

import asyncio
import io
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import httpx2

from lifemask.bus.outcomes import Retryable
from lifemask.contracts import Digest, Failure, FailureCode
from lifemask.objects import keys
from lifemask.objects.port import ObjectStore
from lifemask.publisher.adapters.hub_card import card_text
from lifemask.publisher.adapters.hub_errors import Refused, status_of, trouble, turn_away
from lifemask.publisher.adapters.hub_library import (
    CommitOperationAdd,
    HfApi,
    set_client_factory,
)
from lifemask.publisher.adapters.hub_reading import digest_of
from lifemask.publisher.adapters.stored_file import StoredFile
from lifemask.publisher.domain import Publication, SignedFile, Trained
from lifemask.publisher.ports import Check

WEIGHTS: Final = "lora.safetensors"
CARD: Final = "README.md"
FOLDER: Final = "custody/"
"""Of the signed statements in a repository."""
TRIES: Final = 3
"""How often a moved head is looked at again in one go; then the lane backs off."""

T = TypeVar("T")


@asynccontextmanager
async def open_hub(
    objects: ObjectStore, *, token: str, endpoint: str | None, patience: float, threads: int
) -> AsyncIterator["HuggingFaceHub"]:
    """The hub at `endpoint` (None: the real one). `patience` in seconds bounds each connect, read and write."""
    set_client_factory(
        lambda: httpx2.Client(
            follow_redirects=True, timeout=httpx2.Timeout(patience), event_hooks={"response": [turn_away]}
        )
    )
    pool = ThreadPoolExecutor(threads, thread_name_prefix="hub")
    try:
        yield HuggingFaceHub(HfApi(endpoint=endpoint, token=token or False), objects, pool, patience=patience)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


class HuggingFaceHub:
    """Private model repositories."""

    def __init__(self, api: HfApi, objects: ObjectStore, pool: ThreadPoolExecutor, *, patience: float) -> None:
        self._api = api
        self._objects = objects
        self._pool = pool
        self._patience = patience

    async def create(self, repo: str) -> Failure | None:
        try:
            await self._call("create", lambda: self._api.create_repo(repo, private=True, exist_ok=True))
        except Refused:
            return Failure.of(FailureCode.PUBLICATION_REFUSED)
        return None

    async def commit(self, publication: Publication, trained: Trained, check: Check) -> str | Failure:
        return await self._on_head(publication, check, lambda head: self._put(publication, trained, head))

    async def attach(self, publication: Publication, file: SignedFile, check: Check) -> Failure | None:
        done = await self._on_head(publication, check, lambda head: self._put_statement(publication, file, head))
        return done if isinstance(done, Failure) else None

    async def _on_head(
        self, publication: Publication, check: Check, put: Callable[[str | None], Awaitable[str]]
    ) -> str | Failure:
        """One commit on whatever is the newest, looked at again when that moves meanwhile."""
        repo = publication.repo or ""
        for _ in range(TRIES):
            head = await self._call("read", lambda: self._api.model_info(repo).sha)
            await check()
            try:
                return await put(head)
            except Refused:
                return Failure.of(FailureCode.PUBLICATION_REFUSED)
            except Retryable as again:
                if status_of(again) != 412:
                    raise
        raise Retryable(FailureCode.HUB_BUSY)

    async def read_back(self, publication: Publication, size: int) -> Digest | None:
        repo, commit = publication.repo or "", publication.hub_commit
        stop = threading.Event()
        try:
            return await self._call("read", lambda: digest_of(self._api, repo, WEIGHTS, commit, limit=size, stop=stop))
        finally:
            stop.set()

    async def remove(self, repo: str) -> None:
        await self._call("delete", lambda: self._api.delete_repo(repo, missing_ok=True))

    async def _put(self, publication: Publication, trained: Trained, head: str | None) -> str:
        """One commit on `head`. The client reads the weights twice: for their digest, then to send them."""
        key = keys.model_weights(publication.user_id, publication.model_id, publication.place)
        weights = StoredFile(self._objects, key, trained.bytes, patience=self._patience)
        card = card_text(publication, trained).encode()
        try:
            return await self._call(
                "write",
                lambda: self._commit(
                    publication.repo or "",
                    [
                        CommitOperationAdd(CARD, card),
                        CommitOperationAdd(WEIGHTS, io.BufferedReader(weights, weights.BLOCK)),
                        *(CommitOperationAdd(f"{FOLDER}{file.name}", file.content) for file in trained.files),
                    ],
                    "Publish the model",
                    head,
                ),
            )
        finally:
            weights.abandon()

    async def _put_statement(self, publication: Publication, file: SignedFile, head: str | None) -> str:
        added = CommitOperationAdd(f"{FOLDER}{file.name}", file.content)
        message = "Add the statement about the publication"
        return await self._call("write", lambda: self._commit(publication.repo or "", [added], message, head))

    def _commit(self, repo: str, added: list[CommitOperationAdd], message: str, head: str | None) -> str:
        """Blocking. The same content as the head's makes no commit and returns the head."""
        done = self._api.create_commit(repo, added, commit_message=message, parent_commit=head, num_threads=1)
        return done.oid

    async def _call(self, action: str, blocking: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, blocking)
        except Exception as error:
            if (found := trouble(error, action)) is error:
                raise
            raise found from error
