"""Every error of the API as a problem document (RFC 9457): what happened, and the next step; never a stack trace."""

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import CATALOGUE
from lifemask.ingest.acts import refusals
from lifemask.ingest.domain.status import Status

_LOG: Final = logging.getLogger(__name__)
BASE: Final = "https://lifemask.dev/problems/"
MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER: Final = "5"


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
        headers={"Retry-After": _RETRY_AFTER},
    )


def of_refusal(refusal: refusals.Refusal) -> Problem:
    """The problem document's content for what an act refused."""
    run_id = refusal.run_id
    match refusal:
        case refusals.DraftClosed():
            return Problem(
                HTTPStatus.CONFLICT,
                "not_a_draft",
                "The run is no draft any more; its photos cannot be changed.",
                "Start a new run for other photos.",
                run_id=run_id,
            )
        case refusals.AlreadyOver(status=status):
            return _over(status, run_id)
        case refusals.TooFewPhotos():
            return _too_few(refusal)
        case refusals.KeyConflict():
            return Problem(
                HTTPStatus.CONFLICT,
                "idempotency_conflict",
                "This Idempotency-Key was used for a request with other content.",
                "Use a new key for a new request, or repeat the first request unchanged.",
                run_id=run_id,
            )
        case refusals.Busy():
            return Problem(
                HTTPStatus.CONFLICT,
                "busy",
                "The run was being changed by another request.",
                "Send the same request again.",
                run_id=run_id,
            )
        case refusals.Forged():
            return Problem(
                HTTPStatus.UNAUTHORIZED,
                "bad_signature",
                "The callback is not signed by the provider for this training.",
                "Only the training provider calls this address.",
                run_id=run_id,
            )
        case refusals.Unintelligible():
            return Problem(
                HTTPStatus.BAD_REQUEST,
                "unintelligible",
                "The callback's body is not a training.",
                "Send the training as JSON with its id.",
                run_id=run_id,
            )
        case refusals.ProviderSilent():
            return Problem(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "provider_unavailable",
                "The callback cannot be checked now.",
                "Send the callback again.",
                run_id=run_id,
                headers={"Retry-After": _RETRY_AFTER},
            )
        case _:
            return not_found(run_id)


def _over(status: Status, run_id: str | None) -> Problem:
    return Problem(
        HTTPStatus.CONFLICT,
        "run_over",
        f"The run has ended already: it is {status.value}.",
        "Nothing to do: a run that has ended cannot be cancelled.",
        run_id=run_id,
        run_status=status.value,
    )


def _too_few(refusal: refusals.TooFewPhotos) -> Problem:
    unfit = sum(1 for photo in refusal.photos if photo.status == "rejected")
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        "too_few_usable",
        f"{refusal.needed} more photos needed: {refusal.received} were received and {unfit} of them cannot be used.",
        f"Add at least {refusal.needed} more good photos and submit again; the run stays open.",
        run_id=refusal.run_id,
        needed=refusal.needed,
        photos=[photo.model_dump(mode="json") for photo in refusal.photos],
    )


def _of_framework(error: HTTPException) -> Problem:
    if error.status_code == HTTPStatus.NOT_FOUND:
        return not_found()
    status = HTTPStatus(error.status_code)
    code = status.name.lower()
    return Problem(
        status,
        code,
        f"The request cannot be answered: {status.phrase.lower()}.",
        "Check method, address and headers against the API description.",
        headers=error.headers,
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


def install(app: FastAPI) -> None:
    """Makes problem documents of everything that can go wrong in `app`."""

    async def problem(request: Request, error: Exception) -> JSONResponse:
        return _problem_of(error).answer(request.path_params.get("run"))

    for kind in (Problem, refusals.Refusal, HTTPException, RequestValidationError, Retryable, Misconfigured, Exception):
        app.add_exception_handler(kind, problem)


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case refusals.Refusal():
            return of_refusal(error)
        case HTTPException():
            return _of_framework(error)
        case RequestValidationError():
            return of_validation(list(error.errors()))
        case Retryable() | Misconfigured():
            _LOG.warning("request not served: %s", error.code.value)
            return unavailable(error)
        case _:
            return Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal",
                "A fault of ours stopped this request.",
                "Send the request again; tell us the run id if it happens again.",
            )
