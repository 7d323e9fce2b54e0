"""Route of the words for people who pick photos. They are public: no key is asked for, and anybody may keep them."""

from typing import Final

from fastapi import Response

from lifemask.contracts import GUIDANCE, Guidance
from lifemask.ingest.http.routing import routes

router: Final = routes("/v1/guidance", "guidance")

_KEEP: Final = {"Cache-Control": "public, max-age=3600", "Cross-Origin-Resource-Policy": "cross-origin"}


@router.get("")
async def show(response: Response) -> tuple[Guidance, ...]:
    """What makes a good set of photos, how to allow access on a phone, and how to pick photos by hand."""
    response.headers.update(_KEEP)
    return GUIDANCE
