"""Route of targets: files that an app puts straight into the store."""

from typing import Annotated, Final

from fastapi import Request
from pydantic import BaseModel, ConfigDict, Field

from lifemask.contracts import Digest
from lifemask.ingest.acts.targets import Announced, give_targets
from lifemask.ingest.domain.photos import Shown, plain_name
from lifemask.ingest.domain.targets import TargetView
from lifemask.ingest.http.auth import SECURED, Owner, RunPath, TheOffice, answers
from lifemask.ingest.http.bodies import documented, read_json
from lifemask.ingest.http.routing import routes

router: Final = routes("/v1/users/{user}/runs/{run}/uploads", "photos")


class AnnouncedFile(BaseModel):
    """One file as it will be put."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1, max_length=255, examples=["me.jpg"])
    """The person's own file name, for showing verdicts."""
    bytes: int = Field(ge=1, examples=[2_400_000])
    """Its exact size."""
    sha256: Digest
    content_type: str = Field(pattern=r"^image/[a-z0-9.+-]{1,40}$", examples=["image/jpeg"])
    """Its media type; informative, the verdict decides."""


class AnnouncedFiles(BaseModel):
    """Files that are to be put straight into the store."""

    model_config = ConfigDict(extra="forbid")

    files: Annotated[tuple[AnnouncedFile, ...], Field(min_length=1, max_length=1000)]


class TargetPage(Shown):
    """One target per file, in the order of the files."""

    targets: tuple[TargetView, ...]


@router.post(
    "",
    status_code=201,
    openapi_extra=SECURED | documented(AnnouncedFiles),
    responses=answers(401, 404, 409, 413, 422, 429),
)
async def announce(request: Request, office: TheOffice, owner: Owner, run: RunPath) -> TargetPage:
    """Targets for many files at once: each takes one PUT of exactly that file; `submit` takes what has arrived."""
    limits = office.limits
    given = await read_json(request, AnnouncedFiles, limits.json_bytes_max, limits.upload_idle.total_seconds())
    files = [Announced(plain_name(each.name), each.bytes, each.sha256, each.content_type) for each in given.files]
    return TargetPage(targets=tuple(await give_targets(office, owner, run, files)))
