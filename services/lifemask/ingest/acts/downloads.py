"""The weights behind a link: while the model is there, and not after it was withdrawn."""

from datetime import datetime

from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.refusals import Withdrawn
from lifemask.ingest.ports import Download


async def find_weights(office: Office, token: str, now: datetime) -> Download:
    """What the link gives. Raises LinkUnknown, LinkExpired or Withdrawn: a link handed out before does not outlive
    its model.
    """
    target = office.links.target(token, now)
    model = await office.runs.model(target.user_id, target.model_id)
    if model is not None and model.revoked is not None:
        raise Withdrawn(model.run_id, model.revoked)
    return await office.links.find(target)
