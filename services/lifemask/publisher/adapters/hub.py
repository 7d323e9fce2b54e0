"""The Hugging Face Hub by the unmodified `huggingface_hub`, which blocks: each call has a thread of a small pool."""

import asyncio
import io
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Final, TypeVar

import httpx2

from lifemask.bus.outcomes import Retryable
from lifemask.contracts import Digest, Failure, FailureCode
from lifemask.objects import keys
from lifemask.objects.port import ObjectStore
from lifemask.publisher.adapters.hub_errors import Refused, status_of, trouble, turn_away
from lifemask.publisher.adapters.hub_library import (
    CommitOperationAdd,
    HfApi,
    ModelCardData,
    RepoFile,
    set_client_factory,
)
from lifemask.publisher.adapters.stored_file import StoredFile
from lifemask.publisher.card import LICENSE_LINK, LICENSE_NAME, card_body
from lifemask.publisher.domain import BASE_MODEL, Publication, Trained
from lifemask.publisher.ports import Check

WEIGHTS: Final = "lora.safetensors"
CARD: Final = "README.md"
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
        repo = publication.repo or ""
        for _ in range(TRIES):
            head = await self._call("read", lambda: self._api.model_info(repo).sha)
            await check()
            try:
                return await self._put(publication, trained, head)
            except Refused:
                return Failure.of(FailureCode.PUBLICATION_REFUSED)
            except Retryable as again:
                if status_of(again) != 412:
                    raise
        raise Retryable(FailureCode.HUB_BUSY)

    async def read_back(self, publication: Publication) -> Digest | None:
        repo = publication.repo or ""
        found = await self._call(
            "read", lambda: self._api.get_paths_info(repo, [WEIGHTS], revision=publication.hub_commit)
        )
        files = [item for item in found if isinstance(item, RepoFile) and item.path == WEIGHTS]
        return files[0].lfs.sha256 if files and files[0].lfs else None

    async def remove(self, repo: str) -> None:
        await self._call("delete", lambda: self._api.delete_repo(repo, missing_ok=True))

    async def _put(self, publication: Publication, trained: Trained, head: str | None) -> str:
        """One commit on `head`. The client reads the weights twice: for their digest, then to send them."""
        key = keys.model_weights(publication.user_id, publication.model_id, publication.place)
        weights = StoredFile(self._objects, key, trained.bytes, patience=self._patience)
        card = card_text(publication, trained).encode()
        try:
            return await self._call("write", lambda: self._commit(publication.repo or "", card, weights, head))
        finally:
            weights.abandon()

    def _commit(self, repo: str, card: bytes, weights: StoredFile, head: str | None) -> str:
        """Blocking. The same content as the head's makes no commit and returns the head."""
        done = self._api.create_commit(
            repo,
            [CommitOperationAdd(CARD, card), CommitOperationAdd(WEIGHTS, io.BufferedReader(weights, weights.BLOCK))],
            commit_message="Publish the model",
            parent_commit=head,
            num_threads=1,
        )
        return done.oid

    async def _call(self, action: str, blocking: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._pool, blocking)
        except Exception as error:
            if (found := trouble(error, action)) is error:
                raise
            raise found from error


def card_text(publication: Publication, trained: Trained) -> str:
    """The whole README.md: metadata in YAML, then the text."""
    data = ModelCardData(
        base_model=BASE_MODEL,
        license="other",
        license_name=LICENSE_NAME,
        license_link=LICENSE_LINK,
        pipeline_tag="text-to-image",
        instance_prompt=trained.request.trigger_word,
        tags=["lora", "diffusers", "flux"],
    )
    return f"---\n{data.to_yaml()}\n---\n\n{card_body(publication, trained)}"
