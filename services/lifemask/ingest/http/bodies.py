"""Request bodies: bounded in size and in time, checked against a model without repeating what was sent."""

import asyncio
import time
from collections.abc import AsyncIterator
from http import HTTPStatus
from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from lifemask.ingest.acts.office import Limits
from lifemask.ingest.http.paces import Pace, Paces
from lifemask.ingest.http.problems import Problem, body_too_large, of_validation

M = TypeVar("M", bound=BaseModel)


def declared_length(request: Request) -> int | None:
    """What `Content-Length` says, when it says a number."""
    declared = request.headers.get("content-length", "")
    return int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 19 else None


async def chunks(
    request: Request, limit: int, idle: float, rate: float = 0, pace: Pace | None = None
) -> AsyncIterator[bytes]:
    """The body as it comes, no faster than `pace`.

    Answers 413 above `limit` bytes, and 408 when nothing comes for `idle` seconds or, in the long run, less than `rate`
    bytes a second. Only the time counts for which the sender is waited for.
    """
    if (declared_length(request) or 0) > limit:
        raise body_too_large(limit)
    source, total, waited = request.stream(), 0, 0.0
    while True:
        began = time.monotonic()
        try:
            async with asyncio.timeout(idle):
                chunk = await anext(source, None)
        except TimeoutError:
            raise _too_slow(idle) from None
        if chunk is None:
            return
        total += len(chunk)
        waited += time.monotonic() - began
        if total > limit:
            raise body_too_large(limit)
        if rate and waited > idle + total / rate:
            raise _too_slow(idle)
        yield chunk
        if pace is not None:
            await pace(len(chunk))


def uploaded(request: Request, owner: str, limit: int, limits: Limits) -> AsyncIterator[bytes]:
    """The body of a user's upload of at most `limit` bytes, at their pace. Answers as `chunks` does."""
    paces: Paces = request.app.state.paces
    return chunks(request, limit, limits.upload_idle.total_seconds(), limits.upload_rate, paces.of(owner))


async def whole(request: Request, limit: int, idle: float) -> bytes:
    """A small body. Answers as `chunks` does."""
    try:
        return b"".join([chunk async for chunk in chunks(request, limit, idle)])
    except ClientDisconnect:
        raise _too_slow(idle) from None


async def read_json(request: Request, model: type[M], limit: int, idle: float, *, empty: M | None = None) -> M:
    """A JSON body as `model`; 422 names the fields that are wrong. Nesting is bounded by pydantic's parser.

    `empty`: what no body at all means, if it may be left out.
    """
    body = await whole(request, limit, idle)
    if not body and empty is not None:
        return empty
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        found: list[Any] = error.errors(include_url=False, include_context=False, include_input=False)
        raise of_validation(found, request.path_params.get("run")) from None


def documented(model: type[BaseModel], *, required: bool = True) -> dict[str, Any]:
    """The description of a JSON body that is read by `read_json`."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    definitions = schema.pop("$defs", {})
    return {
        "requestBody": {
            "required": required,
            "content": {"application/json": {"schema": _inlined(schema, definitions)}},
        }
    }


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(definitions[schema["$ref"].rsplit("/", 1)[-1]], definitions)
        return {key: _inlined(value, definitions) for key, value in schema.items()}
    return [_inlined(item, definitions) for item in schema] if isinstance(schema, list) else schema


def _too_slow(idle: float) -> Problem:
    return Problem(
        HTTPStatus.REQUEST_TIMEOUT,
        "request_timeout",
        f"Nothing of the request body came for {idle:.0f} seconds, or too little all the time.",
        "Send the request again.",
        headers={"Connection": "close"},
    )
