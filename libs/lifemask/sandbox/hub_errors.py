"""The hub's error shapes: a JSON `error`, and headers that the client tells its exceptions by."""

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from lifemask.sandbox.faults import Fault


class HubError(Exception):
    """Ends a call with `status`, `code` (X-Error-Code, may be empty) and a text."""

    def __init__(self, status: int, code: str, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text


def hub_error(status: int, code: str, text: str) -> JSONResponse:
    headers = {"x-error-message": text} | ({"x-error-code": code} if code else {})
    return JSONResponse({"error": text}, status, headers)


def refuse(status: int, fault: Fault) -> Response:
    """The answer of a fault switch."""
    if status == 429:
        answer = hub_error(status, "", "We had to rate limit you")
        answer.headers["retry-after"] = str(fault.retry_after)
        return answer
    if status == 409:
        return hub_error(status, "", "Cannot create repo: another conflicting operation is in progress")
    return hub_error(status, "", "The sandbox was told to refuse this call.")


def wrong_token() -> HubError:
    return HubError(401, "", "Invalid credentials in Authorization header")


def no_repo(*, known_caller: bool) -> HubError:
    """A repository that is not there, or not for this caller: the hub does not tell which."""
    if known_caller:
        return HubError(404, "RepoNotFound", "Repository not found")
    return HubError(401, "RepoNotFound", "Invalid username or password.")


def no_revision() -> HubError:
    return HubError(404, "RevisionNotFound", "Invalid rev id")


def no_entry() -> HubError:
    return HubError(404, "EntryNotFound", "Entry not found")


async def http_error(_: Request, error: Exception) -> Response:
    """For starlette: its own refusals in this shape."""
    assert isinstance(error, HTTPException)
    return hub_error(error.status_code, "", error.detail)
