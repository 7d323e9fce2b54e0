"""From whatever goes wrong in a request to its problem document."""

import traceback
from http import HTTPStatus
from typing import Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.ingest.acts.refusals import Refusal
from lifemask.ingest.http.auth import is_known
from lifemask.ingest.http.delay import Delay
from lifemask.ingest.http.problems import Problem, not_found, of_validation, unavailable
from lifemask.ingest.http.refused import of_refusal
from lifemask.ingest.ports import ChainSpoiled

_LOG: Final = structlog.get_logger(__name__)


def install(app: FastAPI) -> None:
    """Makes problem documents of everything that can go wrong in `app`."""

    async def problem(request: Request, error: Exception) -> JSONResponse:
        told = _problem_of(error)
        if (delay := _delay(told.status, request)) is not None:
            _forget(error)
            await delay.wait()
        return told.answer(request.path_params.get("run"))

    kinds = (Problem, Refusal, ChainSpoiled, HTTPException, RequestValidationError, Retryable, Misconfigured, Exception)
    for kind in kinds:
        app.add_exception_handler(kind, problem)


def _delay(status: HTTPStatus, request: Request) -> Delay | None:
    """What holds the answer back: one that says "too much", or goes to somebody who has not said who they are.

    The two have room of their own, so that nobody without a key takes it from the others.
    """
    found: Delay | None = None
    if not is_known(request) and 400 <= status < 500:
        found = request.app.state.delay_of_unknown
    elif status is HTTPStatus.TOO_MANY_REQUESTS:
        found = request.app.state.delay_of_known
    return found


def _forget(error: BaseException | None) -> None:
    """Lets go of what was read for the request, which the frames of its error still hold."""
    while error is not None:
        traceback.clear_frames(error.__traceback__)
        error = error.__context__


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case Refusal():
            return of_refusal(error)
        case ChainSpoiled():
            return Problem(HTTPStatus.CONFLICT, error.failure.code, error.failure.what, error.failure.next_step)
        case HTTPException():
            return _of_framework(error)
        case RequestValidationError():
            return of_validation(list(error.errors()))
        case Retryable() | Misconfigured():
            _LOG.warning("request_not_served", code=error.code.value)
            return unavailable(error)
        case _:
            return Problem(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                "internal",
                "A fault of ours stopped this request.",
                "Send the request again; tell us the run id if it happens again.",
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
