"""Replicate behind the trainer's port: replicate 1.0.7's own HTTP client, our own reading of what comes back.

That client repeats GET (429, 503, 504) and never POST; the paid call therefore goes out once. Its training model is
not used: see `wire`.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import httpx
import structlog
from replicate.client import Client

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import FailureCode
from lifemask.trainer.adapters.wire import read_training
from lifemask.trainer.domain.training import Answer, Fate, Listing, Reply, Training, asked_delay, refusal
from lifemask.trainer.ports import Order

log = structlog.get_logger()

_NO_TOKEN: Final = (401,)
_DENIED: Final = (401, 402, 403)
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
_CONNECT_SECONDS: Final = 5.0
_ADDRESS: Final = re.compile(r"https?://\S*")
"""Addresses may carry tokens and stay out of the log."""
_VERSION: Final = re.compile(r"([A-Za-z0-9._-]+/[A-Za-z0-9._-]+):([0-9a-f]{64})")
_LOGGED: Final = 200
"""Characters of a provider's text that go into the log."""
_DEFAULTS: Final[dict[str, Any]] = {
    "batch_size": 1,
    "resolution": "512,768,1024",
    "caption_dropout_rate": 0.05,
    "optimizer": "adamw8bit",
    "autocaption": True,
    "cache_latents_to_disk": False,
    "gradient_checkpointing": False,
}
"""The trainer's own defaults, said aloud so that a change over there changes nothing here. Never `hf_repo_id`: it
publishes the weights to everybody."""


@dataclass(frozen=True, slots=True)
class Account:
    """Where trainings go: `destination` is `owner/name`, one private model for all, made with `hardware` when missing.

    `call` and `create` are the longest seconds of an ordinary and of the paid call, `pages` the most of a listing.
    """

    destination: str
    hardware: str
    call: float
    create: float
    pages: int


@asynccontextmanager
async def open_trainings(token: str, base_url: str, account: Account) -> AsyncIterator["ReplicateTrainings"]:
    """The provider's trainings; the connections are closed at the end."""
    timeout = httpx.Timeout(account.create, connect=_CONNECT_SECONDS)
    client = Client(api_token=token, base_url=base_url, timeout=timeout)
    try:
        yield ReplicateTrainings(client, account)
    finally:
        await client._async_client.aclose()  # noqa: SLF001 - it offers no way of its own


class ReplicateTrainings:
    """Trainings of one account."""

    def __init__(self, client: Client, account: Account) -> None:
        self._http: httpx.AsyncClient = client._async_client  # noqa: SLF001 - the one door around its training model
        self._account = account
        self._prepared = False

    async def prepare(self) -> None:
        if self._prepared:
            return
        owner, _, name = self._account.destination.partition("/")
        if (await self._ask("GET", f"/v1/models/{owner}/{name}")).status_code == httpx.codes.NOT_FOUND:
            body = {"owner": owner, "name": name, "visibility": "private", "hardware": self._account.hardware}
            made = await self._ask("POST", "/v1/models", body)
            if made.is_client_error and made.status_code != httpx.codes.CONFLICT:
                _log_refusal("create_model", made)
                detail = "the destination model does not exist and cannot be made: check LIFEMASK_REPLICATE_DESTINATION"
                raise Misconfigured(FailureCode.PROVIDER_DENIED, detail)
        self._prepared = True

    async def create(self, order: Order) -> Reply:
        model, _, version = order.trainer.partition(":")
        path = f"/v1/models/{model}/versions/{version}/trainings"
        try:
            async with asyncio.timeout(self._account.create):
                response = await self._http.request("POST", path, json=self._body(order))
        except _NEVER_SENT:
            return Reply(Answer.UNSENT)
        except (httpx.HTTPError, TimeoutError):
            return Reply(Answer.LOST)
        if not response.is_success:
            _log_refusal("create_training", response)
            detail = _detail(response)
            answer = refusal(response.status_code, detail)
            self._prepared = self._prepared and answer is not Answer.MISSING  # it may have been deleted meanwhile
            return Reply(answer, after=asked_delay(detail))
        try:
            return Reply(Answer.STARTED, read_training(response.json()))
        except ValueError:
            return Reply(Answer.LOST)

    async def get(self, training: str) -> Training | None:
        return _training(await self._ask("GET", f"/v1/trainings/{training}"))

    async def cancel(self, training: str) -> Training | None:
        response = await self._ask("POST", f"/v1/trainings/{training}/cancel")
        if response.is_success:
            return _training(response)
        return await self.get(training)  # refused because it is over, or gone

    async def find(self, archive_path: str, since: datetime) -> Listing:
        found: dict[str, Training] = {}  # a page may repeat rows when new ones arrive meanwhile
        clean = True
        async for raw in self._rows():
            try:
                training = read_training(raw)
            except ValueError:
                clean = False
                continue
            if training.created_at is not None and training.created_at < since:
                break
            if training.archive_path == archive_path:
                found[training.id] = training
            clean = clean and training.archive_path is not None
        return Listing(tuple(found.values()), clean)

    async def delete_version(self, version: str) -> None:
        if (named := _VERSION.fullmatch(version)) is None or ".." in version:
            log.error("version_not_deleted", reason="the provider called it by no name that can be asked for")
            return
        address = f"/v1/models/{named[1]}/versions/{named[2]}"
        response = await self._ask("DELETE", address, denied=_NO_TOKEN)
        if response.is_client_error and response.status_code != httpx.codes.NOT_FOUND:
            _log_refusal("delete_version", response)
            raise Retryable(FailureCode.PROVIDER_UNAVAILABLE)

    async def _rows(self) -> AsyncIterator[Any]:
        """The account's trainings, newest first. Raises Retryable when there are more than may be read."""
        address = "/v1/trainings"
        for _ in range(self._account.pages):
            page = _json(await self._ask("GET", address))
            for raw in page.get("results") or ():
                yield raw
            if not page.get("next"):
                return
            address = httpx.URL(str(page["next"])).raw_path.decode()  # never the token to another host
        log.error("listing_too_long", pages=self._account.pages)
        raise Retryable(FailureCode.PROVIDER_UNAVAILABLE)

    async def _ask(
        self, method: str, address: str, body: Any = None, *, denied: Collection[int] = _DENIED
    ) -> httpx.Response:
        """An ordinary call: success, or a refusal that the caller understands."""
        try:
            async with asyncio.timeout(self._account.call):
                response = await self._http.request(method, address, json=body)
        except (httpx.HTTPError, TimeoutError):
            raise Retryable(FailureCode.PROVIDER_UNAVAILABLE) from None
        if response.status_code in denied:
            _log_refusal(method, response)
            raise Misconfigured(FailureCode.PROVIDER_DENIED, "the provider refuses the token: set REPLICATE_API_TOKEN")
        if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
            raise Retryable(FailureCode.PROVIDER_BUSY, after=asked_delay(_detail(response)), counts=False)
        if not (response.is_success or response.is_client_error):
            raise Retryable(FailureCode.PROVIDER_UNAVAILABLE)
        return response

    def _body(self, order: Order) -> dict[str, Any]:
        body: dict[str, Any] = {
            "destination": self._account.destination,
            "input": {
                **_DEFAULTS,
                "input_images": order.archive_url,
                "trigger_word": order.trigger_word,
                "steps": order.steps,
                "lora_rank": order.rank,
                "learning_rate": float(order.learning_rate),
            },
        }
        if order.webhook:
            body |= {"webhook": order.webhook, "webhook_events_filter": ["completed"]}
        return body


def _training(response: httpx.Response) -> Training | None:
    if response.status_code == httpx.codes.NOT_FOUND:
        return None
    if not response.is_success:
        raise Retryable(FailureCode.PROVIDER_UNAVAILABLE)
    try:
        raw = response.json()
        training = read_training(raw)
    except ValueError:
        raise Retryable(FailureCode.PROVIDER_UNAVAILABLE) from None
    if training.fate is Fate.FAILED:
        log.warning("training_failed", training=training.id, error=_shown(str(raw.get("error"))))
    return training


def _json(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.raise_for_status().json()
    except (httpx.HTTPStatusError, ValueError):
        body = None
    if not isinstance(body, dict):
        raise Retryable(FailureCode.PROVIDER_UNAVAILABLE)
    return body


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return ""


def _log_refusal(call: str, response: httpx.Response) -> None:
    log.warning(
        "provider_refused",
        call=call,
        status=response.status_code,
        detail=_shown(_detail(response)),
    )


def _shown(text: str) -> str:
    """A provider's text for the log."""
    return _ADDRESS.sub("…", text)[:_LOGGED]
