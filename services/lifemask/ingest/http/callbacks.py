"""Route of the training provider's callbacks."""

from typing import Final

from fastapi import Request

from lifemask.ingest.acts.callbacks import take_callback, target_of
from lifemask.ingest.acts.office import Office
from lifemask.ingest.domain.signature import Signed
from lifemask.ingest.http.auth import TheOffice, answers
from lifemask.ingest.http.bodies import whole
from lifemask.ingest.http.delay import Delay
from lifemask.ingest.http.routing import routes
from lifemask.ingest.ports import CallbackTarget

router: Final = routes("/v1/callbacks", "callbacks")


@router.post("/replicate/{token}", responses=answers(400, 401, 404, 413, 503))
async def replicate(request: Request, office: TheOffice, token: str) -> dict[str, str]:
    """A signed callback (Standard Webhooks) about one training attempt; a hint to look, nothing more.

    Bodies are read at addresses of ours only, and a few at once: the next one waits for the time of a request.
    """
    if not await _taken(request, office, target_of(office, token)):
        delay: Delay = request.app.state.delay_of_unknown
        await delay.wait()
    return {"status": "received"}


async def _taken(request: Request, office: Office, target: CallbackTarget) -> bool:
    """Whether it said anything new. What was read is gone when this returns: an answer may be held back after it."""
    limits, headers = office.limits, request.headers
    async with request.app.state.callbacks:
        message = Signed(
            id=headers.get("webhook-id", "")[:256],
            timestamp=headers.get("webhook-timestamp", ""),
            signatures=headers.get("webhook-signature", "")[:4096],
            body=await whole(request, limits.callback_bytes_max, limits.upload_idle.total_seconds()),
        )
        return await take_callback(office, target, message, request.app.state.recent_hints)
