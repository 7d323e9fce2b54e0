"""Route of the training provider's callbacks."""

from typing import Final

from fastapi import APIRouter, Request

from lifemask.ingest.acts.callbacks import take_callback
from lifemask.ingest.domain.signature import Signed
from lifemask.ingest.http.auth import TheOffice, answers
from lifemask.ingest.http.bodies import whole

router: Final = APIRouter(prefix="/v1/callbacks", tags=["callbacks"])


@router.post("/replicate/{token}", responses=answers(400, 401, 404, 413, 503))
async def replicate(request: Request, office: TheOffice, token: str) -> dict[str, str]:
    """A signed callback (Standard Webhooks) about one training attempt; a hint to look, nothing more."""
    limits = office.limits
    body = await whole(request, limits.callback_bytes_max, limits.upload_idle.total_seconds())
    headers = request.headers
    message = Signed(
        id=headers.get("webhook-id", "")[:256],
        timestamp=headers.get("webhook-timestamp", ""),
        signatures=headers.get("webhook-signature", "")[:4096],
        body=body,
    )
    await take_callback(office, token, message)
    return {"status": "received"}
