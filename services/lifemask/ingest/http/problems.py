"""Every error of the API as a problem document (RFC 9457): what happened, and the next step; never a stack trace."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import CATALOGUE

BASE: Final = "https://lifemask.dev/problems/"
MEDIA_TYPE: Final = "application/problem+json"
RETRY_AFTER: Final = "5"


class ProblemDocument(BaseModel):
    """The body of every 4xx and 5xx answer; some codes add members of their own."""

    model_config = ConfigDict(use_attribute_docstrings=True, extra="allow")

    type: str = Field(examples=[f"{BASE}not_found"])
    title: str
    status: int
    detail: str
    """What happened, a sentence for people."""
    code: str = Field(examples=["not_found"])
    """Stable, for programs."""
    next_step: str
    """What to do now, a sentence for people."""
    run_id: str | None = None


class Problem(Exception):
    """An answer that says what is wrong. `more` are further members of the document."""

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        detail: str,
        next_step: str,
        *,
        run_id: str | None = None,
        headers: Mapping[str, str] | None = None,
        **more: Any,
    ) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail
        self.next_step = next_step
        self.run_id = run_id
        self.headers = dict(headers or {})
        self.more = more

    def answer(self, run_id: str | None = None) -> JSONResponse:
        """The problem document; `run_id` when the problem itself names none."""
        document = {
            "type": f"{BASE}{self.code}",
            "title": self.status.phrase,
            "status": self.status.value,
            "detail": self.detail,
            "code": self.code,
            "next_step": self.next_step,
            "run_id": self.run_id or run_id,
            **self.more,
        }
        content = {name: value for name, value in document.items() if value is not None}
        return JSONResponse(content, self.status.value, headers=self.headers, media_type=MEDIA_TYPE)


def unauthorized() -> Problem:
    """No key, or none that we know."""
    return Problem(
        HTTPStatus.UNAUTHORIZED,
        "unauthorized",
        "The request carries no valid key of an app.",
        "Send the header `Authorization: Bearer <key>` with your app's key.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def not_found(run_id: str | None = None) -> Problem:
    """Nothing there, or not the caller's."""
    return Problem(
        HTTPStatus.NOT_FOUND,
        "not_found",
        "There is nothing at this address that your key may see.",
        "Check the ids in the address.",
        run_id=run_id,
    )


def body_too_large(limit: int) -> Problem:
    """The body is larger than `limit` bytes."""
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f"The request body may have up to {limit} bytes.",
        "Send less in one request.",
        limit=limit,
        headers={"Connection": "close"},
    )


def unavailable(error: Retryable | Misconfigured) -> Problem:
    """Something of ours is away; the catalogue's words say what."""
    entry = CATALOGUE[error.code]
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE,
        error.code.value,
        entry.what,
        "Send the same request again in a few seconds.",
        headers={"Retry-After": RETRY_AFTER},
    )


def of_validation(errors: list[dict[str, Any]], run_id: str | None = None) -> Problem:
    """Fields that are wrong; what was sent is not repeated."""
    fields = [{"field": ".".join(str(part) for part in error["loc"]), "problem": error["msg"]} for error in errors]
    named = ", ".join(sorted({field["field"] for field in fields if field["field"]})) or "the body"
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "invalid_request",
        f"These values are missing, wrong or not known: {named}."[:500],
        "Correct the fields named in `errors` and send the request again.",
        run_id=run_id,
        errors=fields,
    )
