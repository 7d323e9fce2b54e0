"""Routes of runs: a draft begins, is shown, submitted, cancelled."""

from typing import Annotated, Final

from fastapi import Header, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from lifemask.contracts import RunRequest
from lifemask.contracts.ids import UUID7_PATTERN
from lifemask.ingest.acts.drafts import cancel, create_draft, load
from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.restarting import restart
from lifemask.ingest.acts.submission import submit
from lifemask.ingest.domain.photos import Shown
from lifemask.ingest.domain.view import RunView, show_run
from lifemask.ingest.http.auth import SECURED, Owner, RunPath, TheOffice, answers
from lifemask.ingest.http.bodies import documented, read_json
from lifemask.ingest.http.routing import routes
from lifemask.ingest.http.texts import plain

router: Final = routes("/v1/users/{user}/runs", "runs")

_Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=255,
        pattern=r"^[\x21-\x7e]+$",
        description=("The same key with the same content answers the same run; kept for at least 7 days."),
    ),
]
Cursor = Annotated[str | None, Query(pattern=UUID7_PATTERN, description="`next` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=100)]


class RunPage(Shown):
    """Runs, newest first."""

    runs: tuple[RunView, ...]
    next: str | None = Field(default=None)
    """The cursor of the next page; absent on the last one."""


class Again(BaseModel):
    """How a run is started again."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    submit: bool | None = None
    """Submit the new run as soon as its photos are there. When it is left out, the new run of a failed run does, and
    that of a rejected or cancelled one waits as a draft."""


async def view(office: Office, user_id: str, run_id: str) -> RunView:
    """The run as it is shown. Raises NotFound."""
    return show_run(*await load(office, user_id, run_id), office.limits.photos_min)


@router.post(
    "",
    status_code=201,
    openapi_extra=SECURED | documented(RunRequest),
    responses=answers(
        401, 409, 413, 422, 429, http_200={"model": RunView, "description": "The run that this key began before"}
    ),
)
async def begin(request: Request, response: Response, office: TheOffice, owner: Owner, key: _Key = None) -> RunView:
    """Begins a draft, which then takes photos."""
    limits = office.limits
    wish = await read_json(request, RunRequest, limits.json_bytes_max, limits.upload_idle.total_seconds())
    run_id, fresh = await create_draft(office, owner, plain(wish), key)
    response.status_code = 201 if fresh else 200
    response.headers["Location"] = f"{request.url.path}/{run_id}"
    return await view(office, owner, run_id)


@router.get("", openapi_extra=SECURED, responses=answers(401, 422, 429))
async def page(office: TheOffice, owner: Owner, cursor: Cursor = None, limit: Limit = 20) -> RunPage:
    """The user's runs, newest first."""
    found = await office.runs.page(owner, cursor, limit + 1)
    shown = tuple(show_run(run, counts, office.limits.photos_min) for run, counts in found[:limit])
    return RunPage(runs=shown, next=shown[-1].id if len(found) > limit else None)


@router.get("/{run}", openapi_extra=SECURED, responses=answers(401, 404, 422, 429))
async def show(office: TheOffice, owner: Owner, run: RunPath) -> RunView:
    """One run."""
    return await view(office, owner, run)


@router.post("/{run}/submit", status_code=202, openapi_extra=SECURED, responses=answers(401, 404, 409, 422, 429))
async def send_off(office: TheOffice, owner: Owner, run: RunPath) -> RunView:
    """Closes the set of photos and starts the run; 422 with every verdict while too few can be usable."""
    await submit(office, owner, run)
    return await view(office, owner, run)


@router.post(
    "/{run}/cancel",
    status_code=202,
    openapi_extra=SECURED,
    responses=answers(401, 404, 409, 422, 429, http_200={"model": RunView, "description": "It was cancelled before"}),
)
async def call_off(response: Response, office: TheOffice, owner: Owner, run: RunPath) -> RunView:
    """Ends the run wherever it is; 409 once it has ended otherwise."""
    if not await cancel(office, owner, run):
        response.status_code = 200
    return await view(office, owner, run)


@router.post(
    "/{run}/restart",
    status_code=201,
    openapi_extra=SECURED | documented(Again, required=False),
    responses=answers(
        401,
        404,
        409,
        410,
        413,
        422,
        429,
        http_200={"model": RunView, "description": "The run that was made of it before"},
    ),
)
async def start_again(request: Request, response: Response, office: TheOffice, owner: Owner, run: RunPath) -> RunView:
    """Makes a new run of the photos of one that was rejected, failed or was cancelled, within 24 hours of its end.

    A failed run needs nothing else: the new one submits itself once its photos are taken over. The new run of a
    rejected or cancelled one waits as a draft, so that photos can be added or removed before it is submitted. `submit`
    chooses otherwise; with too few photos the new run stays a draft.
    Every photo is hashed again, must be the one that was uploaded then, and is judged again from the start. A run is
    started again once: the same call answers the same new run. 410 once its photos are deleted; 409 for a run that is
    still going, is ready, was a draft that expired, or was stopped because its photos could not be proven its own.
    """
    limits = office.limits
    wish = await read_json(request, Again, limits.json_bytes_max, limits.upload_idle.total_seconds(), empty=Again())
    new, fresh = await restart(office, owner, run, submit=wish.submit)
    response.status_code = 201 if fresh else 200
    response.headers["Location"] = f"{request.url.path.removesuffix(f'{run}/restart')}{new}"
    return await view(office, owner, new)
