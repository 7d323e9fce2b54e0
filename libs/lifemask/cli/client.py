"""The public HTTP API of Lifemask, as any app would call it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import httpx

from lifemask.cli.sse import ServerEvent, read_events
from lifemask.cli.stops import Code, Missing, Stop
from lifemask.cli.views import Photo, Run, Uploaded

_TIMEOUT: Final = httpx.Timeout(30, connect=5, pool=None)
_STREAM_SILENCE: Final = 60.0
"""Seconds without a byte after which a stream counts as dead; the API writes a comment every few seconds."""
_RECONNECT: Final = (0.2, 5.0)
"""First and longest wait before a lost stream is opened again, seconds."""


_PASSING: Final = frozenset({429, 502, 503, 504})
_WAITS: Final = (0.5, 1.0, 2.0, 5.0)
"""Seconds before a call is sent again when the answer names no time of its own; the last is also the longest."""


class _StreamOver(Exception):
    """The run is over and nothing came after the last event."""


class ApiProblem(Stop):
    """An answer that is a problem (RFC 9457): what happened, its code, and the next step."""

    def __init__(self, status: int, body: Mapping[str, Any], *, retry_after: float | None = None) -> None:
        what = str(body.get("detail") or body.get("title") or f"The API answered {status}.")
        super().__init__(what, str(body.get("next_step") or ""))
        self.status = status
        self.problem_code = str(body.get("code") or "")
        self.run_id = body.get("run_id")
        self.body = dict(body)
        self.retry_after = retry_after
        self.may_pass = status in _PASSING
        if status == httpx.codes.UNAUTHORIZED:
            self.code = Code.MISSING
            self.next_step = "Set LIFEMASK_APP_KEY to your app's key, as `lifemask up` prints it."


class Api:
    """One app's calls. Use as a context; each method raises ApiProblem, or Missing when nobody answers."""

    def __init__(self, url: str, key: str, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self.url = url.rstrip("/")
        self._http = httpx.AsyncClient(
            base_url=self.url,
            headers={"Authorization": f"Bearer {key}", "User-Agent": "lifemask-cli"},
            timeout=_TIMEOUT,
            transport=transport,
            trust_env=not _is_local(self.url),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()

    async def create_run(self, user: str, request: Mapping[str, Any], *, idempotency_key: str) -> Run:
        """A draft. `request`: name, trigger_word, steps, learning_rate, rank, metadata; absent ones have defaults."""
        headers = {"Idempotency-Key": idempotency_key}
        return Run.model_validate(await self._call("POST", f"{_user(user)}/runs", json=request, headers=headers))

    async def upload(self, user: str, run: str, photos: Sequence[Path]) -> list[Uploaded]:
        """Sends files in one multipart call, streamed from disk; one result per file, in their order."""

        async def send() -> Any:
            with contextlib.ExitStack() as open_files:
                files = [("photos", (path.name, open_files.enter_context(path.open("rb")))) for path in photos]
                return await self._send("POST", f"{_run(user, run)}/photos", files=files, timeout=300.0)

        return [Uploaded.model_validate(result) for result in (await _patiently(send))["results"]]

    async def remove(self, user: str, run: str, photo: str) -> None:
        """Takes a photo out of a draft."""
        await self._call("DELETE", f"{_run(user, run)}/photos/{photo}")

    async def submit(self, user: str, run: str) -> Run:
        """Seals the draft; asking again is harmless. A 422 lists every verdict when too few photos can be usable."""
        return Run.model_validate(await self._call("POST", f"{_run(user, run)}/submit"))

    async def cancel(self, user: str, run: str) -> Run:
        """Asks for the run's end."""
        return Run.model_validate(await self._call("POST", f"{_run(user, run)}/cancel"))

    async def runs(self, user: str) -> list[Run]:
        """The user's runs, newest first."""
        return [Run.model_validate(run) async for run in self._pages(f"{_user(user)}/runs", "runs")]

    async def run(self, user: str, run: str) -> Run:
        """One run."""
        return Run.model_validate(await self._call("GET", _run(user, run)))

    async def run_body(self, user: str, run: str) -> dict[str, Any]:
        """One run, with all that the API tells about it."""
        body: dict[str, Any] = await self._call("GET", _run(user, run))
        return body

    async def photos(self, user: str, run: str) -> list[Photo]:
        """The photos of a run with their verdicts, in order of arrival."""
        body = await self._call("GET", f"{_run(user, run)}/photos")
        return [Photo.model_validate(photo) for photo in body["photos"]]

    async def model(self, user: str, model: str) -> dict[str, Any]:
        """A published model with an expiring link to its weights."""
        body: dict[str, Any] = await self._call("GET", f"{_user(user)}/models/{model}")
        return body

    async def set_contact(self, user: str, email: str) -> None:
        """Where the user is told about the end of a run."""
        await self._call("PUT", f"{_user(user)}/contact", json={"email": email})

    async def events(self, user: str, run: str) -> AsyncIterator[ServerEvent]:
        """The run's live events, from its first to its last; a lost stream is opened again behind the last one seen."""
        last_id: str | None = None
        wait = _RECONNECT[0]
        while True:
            try:
                async for event in self._stream(user, run, last_id):
                    last_id, wait = event.id or last_id, _RECONNECT[0]
                    yield event
            except _StreamOver:
                return
            except httpx.TransportError:
                pass
            except ApiProblem as problem:
                if not problem.may_pass:
                    raise
            await asyncio.sleep(wait * random.uniform(0.5, 1))  # noqa: S311  spreads reconnects, no secret
            wait = min(wait * 2, _RECONNECT[1])

    async def _stream(self, user: str, run: str, last_id: str | None) -> AsyncIterator[ServerEvent]:
        headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last_id} if last_id else {})
        timeout = httpx.Timeout(_STREAM_SILENCE, connect=5)
        async with self._http.stream("GET", f"{_run(user, run)}/events", headers=headers, timeout=timeout) as response:
            if response.status_code == httpx.codes.NO_CONTENT:
                raise _StreamOver
            if response.is_error:
                await response.aread()
                raise _problem(response)
            async for event in read_events(response.aiter_lines()):
                yield event

    async def _pages(self, path: str, name: str) -> AsyncIterator[Any]:
        cursor: str | None = None
        while True:
            body = await self._call("GET", path, params={"limit": 100} | ({"cursor": cursor} if cursor else {}))
            for item in body[name]:
                yield item
            if not (cursor := body.get("next")):
                return

    async def _call(self, method: str, path: str, **options: Any) -> Any:
        async def send() -> Any:
            return await self._send(method, path, **options)

        return await _patiently(send)

    async def _send(self, method: str, path: str, **options: Any) -> Any:
        try:
            response = await self._http.request(method, path, **options)
        except httpx.ConnectError:
            raise Missing(
                f"Nothing answers at {self.url}.", "Start it with `lifemask up`, or set LIFEMASK_URL to where it runs."
            ) from None
        except httpx.TimeoutException:
            raise Missing(f"{self.url} took too long to answer.", "Look at its log, then try again.") from None
        except httpx.TransportError as error:
            raise Missing(f"The connection to {self.url} broke ({type(error).__name__}).", "Try again.") from None
        if response.is_error:
            raise _problem(response)
        return response.json() if response.content else {}


def _problem(response: httpx.Response) -> ApiProblem:
    try:
        body = response.json()
    except ValueError:
        body = None
    retry_after = response.headers.get("Retry-After", "")
    wait = float(retry_after) if retry_after.isdecimal() else None
    return ApiProblem(response.status_code, body if isinstance(body, dict) else {}, retry_after=wait)


async def _patiently(send: Callable[[], Awaitable[Any]]) -> Any:
    """Sends again while the API is busy or lacks something of its own. Every call here may be repeated."""
    for wait in _WAITS:
        try:
            return await send()
        except ApiProblem as problem:
            if not problem.may_pass:
                raise
            await asyncio.sleep(min(problem.retry_after if problem.retry_after is not None else wait, _WAITS[-1]))
    return await send()


def _user(user: str) -> str:
    return f"/v1/users/{user}"


def _run(user: str, run: str) -> str:
    return f"{_user(user)}/runs/{run}"


def _is_local(url: str) -> bool:
    """Whether a proxy of the environment would be wrong."""
    return httpx.URL(url).host in {"127.0.0.1", "localhost", "::1"}
