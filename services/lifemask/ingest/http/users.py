"""Routes of a user: the state of the one thing that matters, the models, the contact."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Final

from fastapi import Path, Request
from pydantic import BaseModel, ConfigDict, Field

from lifemask.contracts.ids import UUID7_PATTERN
from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.refusals import NotFound
from lifemask.ingest.domain.photos import Shown
from lifemask.ingest.http.auth import SECURED, Owner, TheOffice, answers
from lifemask.ingest.http.bodies import documented, read_json
from lifemask.ingest.http.routing import routes
from lifemask.ingest.http.runs import Cursor, Limit
from lifemask.ingest.ports import LinkUnknown, Model

router: Final = routes("/v1/users/{user}", "users")


class ModelStatus(StrEnum):
    """Whether the user has a model; `ready` is never said before it is true, `revoked` when every model was withdrawn
    and none is being made.
    """

    NOT_STARTED = "not_started"
    IN_PROGRESS = "in_progress"
    READY = "ready"
    REVOKED = "revoked"


class PublishedModel(Shown):
    """A published model."""

    id: str
    run_id: str
    version: str
    weights_sha256: str
    bytes: int
    """Size of the weights."""
    hub_repo: str | None = None
    ready_at: datetime
    revoked: str | None = None
    """Why it was withdrawn; stop using it."""


class FetchableModel(PublishedModel):
    """A published model with a link to its weights; a withdrawn one has none."""

    weights_url: str | None = None
    weights_url_expires_at: datetime | None = None


class ModelPage(Shown):
    """Models, newest first."""

    models: tuple[PublishedModel, ...]
    next: str | None = None
    """The cursor of the next page; absent on the last one."""


class UserView(Shown):
    """A user in one word, with the newest model; the newest that was not withdrawn, while there is one."""

    user: str
    model_status: ModelStatus
    model: PublishedModel | None = None


class Contact(BaseModel):
    """Where the person is told what became of a run."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    email: str = Field(max_length=254, pattern=r"^[^\s@<>,;:\"\x00-\x1f]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$")
    """One address, without a display name."""


@router.get("", openapi_extra=SECURED, responses=answers(401, 422, 429))
async def show(office: TheOffice, owner: Owner) -> UserView:
    """Whether the user has a model, and the newest one."""
    models = await office.runs.models(owner, None, 100)
    user = owner.partition(".")[2]
    newest = next((model for model in models if model.revoked is None), None)
    if newest is not None:
        return UserView(user=user, model_status=ModelStatus.READY, model=_shown(newest))
    if await office.runs.is_active(owner):
        return UserView(user=user, model_status=ModelStatus.IN_PROGRESS)
    if models:
        return UserView(user=user, model_status=ModelStatus.REVOKED, model=_shown(models[0]))
    return UserView(user=user, model_status=ModelStatus.NOT_STARTED)


@router.get("/models", openapi_extra=SECURED, responses=answers(401, 422, 429))
async def models(office: TheOffice, owner: Owner, cursor: Cursor = None, limit: Limit = 20) -> ModelPage:
    """The user's models, newest first."""
    found = await office.runs.models(owner, cursor, limit + 1)
    shown = tuple(_shown(model) for model in found[:limit])
    return ModelPage(models=shown, next=shown[-1].id if len(found) > limit else None)


@router.get("/models/{model}", openapi_extra=SECURED, responses=answers(401, 404, 422, 429))
async def model(office: TheOffice, owner: Owner, model: Annotated[str, Path(pattern=UUID7_PATTERN)]) -> FetchableModel:
    """One model with an expiring link to its weights."""
    if (found := await office.runs.model(owner, model)) is None:
        raise NotFound
    return _fetchable(office, owner, found)


@router.put(
    "/contact", status_code=204, openapi_extra=SECURED | documented(Contact), responses=answers(401, 413, 422, 429)
)
async def contact(request: Request, office: TheOffice, owner: Owner) -> None:
    """Keeps the person's e-mail address under the user's own prefix."""
    limits = office.limits
    given = await read_json(request, Contact, limits.json_bytes_max, limits.upload_idle.total_seconds())
    await office.papers.keep_contact(owner, given.email)


def _shown(model: Model) -> PublishedModel:
    return PublishedModel.model_validate(_fields(model))


def _fetchable(office: Office, owner: str, model: Model) -> FetchableModel:
    if model.revoked is not None:
        return FetchableModel.model_validate(_fields(model))
    expires_at = office.clock() + office.limits.link_life
    try:
        url = office.links.weights(owner, model, expires_at)
    except LinkUnknown:
        raise NotFound(model.run_id) from None
    return FetchableModel.model_validate(_fields(model) | {"weights_url": url, "weights_url_expires_at": expires_at})


def _fields(model: Model) -> dict[str, object]:
    return {
        "id": model.id,
        "run_id": model.run_id,
        "version": model.version,
        "weights_sha256": model.weights,
        "bytes": model.bytes,
        "hub_repo": model.hub_repo,
        "ready_at": model.ready_at,
        "revoked": model.revoked,
    }
