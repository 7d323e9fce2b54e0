"""Who calls: an app, by its key. An app can only ever name its own users, so what is not its own is not found.

The one place that every authenticated request passes, and where it is counted against a limit.
"""

from typing import Annotated, Any, Final, cast

from fastapi import Depends, Path, Request

from lifemask.contracts import user_id
from lifemask.contracts.ids import NAME_PATTERN, UUID7_PATTERN
from lifemask.ingest.acts.office import Office
from lifemask.ingest.http.problems import Problem, ProblemDocument, unauthorized
from lifemask.ingest.http.rates import Rates

_KEY_MAX: Final = 512
_SCHEME: Final = "bearer"


async def office_of(request: Request) -> Office:
    """Everything behind the API."""
    return cast("Office", request.app.state.office)


async def caller(request: Request) -> str:
    """The calling app's name. Answers 401 without a key that we know, and 429 when it asks too often."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != _SCHEME or not key or len(key) > _KEY_MAX:
        raise unauthorized()
    if (app := (await office_of(request)).apps.named_by(key)) is None:
        raise unauthorized()
    request.state.app = app
    rates: Rates = request.app.state.app_rates
    rates.count(app)
    return app


def is_known(request: Request) -> bool:
    """Whether the request carried the key of an app."""
    return hasattr(request.state, "app")


async def owner(
    request: Request,
    app: Annotated[str, Depends(caller)],
    user: Annotated[str, Path(pattern=NAME_PATTERN, description="The app's own id for its user, no e-mail address.")],
) -> str:
    """The user id on the bus: the calling app's own user. Answers 429 when too much is asked about one user.

    What is refused to one user takes nothing from the app's other users.
    """
    rates: Rates = request.app.state.user_rates
    of_app: Rates = request.app.state.app_rates
    found = user_id(app, user)
    try:
        rates.count(found)
    except Problem:
        of_app.give_back(app)
        raise
    return found


TheOffice = Annotated[Office, Depends(office_of)]
Owner = Annotated[str, Depends(owner)]
RunPath = Annotated[str, Path(pattern=UUID7_PATTERN, alias="run", description="The run, a UUIDv7.")]

SECURED: Final[dict[str, Any]] = {"security": [{"app": []}]}
"""For `openapi_extra` of routes that ask for a key."""


def answers(*statuses: int, **others: dict[str, Any]) -> dict[int | str, dict[str, Any]]:
    """The documented answers of a route: problem documents, and `others` as `http_<status>`."""
    problems: dict[int | str, dict[str, Any]] = {
        status: {"model": ProblemDocument, "description": "A problem document"} for status in statuses
    }
    return {**problems, **{int(name.removeprefix("http_")): answer for name, answer in others.items()}}
