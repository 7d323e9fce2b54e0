"""Replicate's error shapes."""

from collections.abc import Sequence
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lifemask.sandbox.faults import Fault
from lifemask.sandbox.inputs import Problem

_TITLES = {
    401: "Unauthenticated",
    403: "Forbidden",
    404: "Not found",
    409: "Conflict",
    413: "Request entity too large",
    422: "Input validation failed",
    429: "Too many requests",
}


def problem(status: int, detail: str, **more: Any) -> JSONResponse:
    body = {"title": _TITLES.get(status, "Request failed"), "detail": detail, "status": status}
    return JSONResponse(body | more, status, media_type="application/problem+json")


def refuse(status: int, fault: Fault) -> Response:
    """The answer of a fault switch. Like the real one, a 429 names its delay in the text alone."""
    if status == 429:
        return problem(status, f"Request was throttled. Your rate limit resets in ~{fault.retry_after}s.")
    return problem(status, "The sandbox was told to refuse this call.")


def not_found() -> JSONResponse:
    return problem(404, "The requested resource could not be found.")


def invalid_input(problems: Sequence[Problem]) -> JSONResponse:
    named = [(".".join(filter(None, ("input", each.field))), each) for each in problems]
    return problem(
        422,
        "".join(f"- {name}: {each.text}\n" for name, each in named),
        invalid_fields=[{"type": each.type, "field": name, "description": each.text} for name, each in named],
    )


async def http_error(_: Request, error: Exception) -> Response:
    """For starlette: its own refusals (no such path, wrong method, too large) in this shape."""
    assert isinstance(error, HTTPException)
    return not_found() if error.status_code == 404 else problem(error.status_code, error.detail)
