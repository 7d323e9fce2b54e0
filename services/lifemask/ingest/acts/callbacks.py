"""A provider's callback: checked over its raw bytes, then only a hint to look."""

from typing import Any

from pydantic import BaseModel, ValidationError

from lifemask.contracts import TrainingCallbackReceived, TrainingStarted
from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.refusals import Forged, NotFound, ProviderSilent, Unintelligible
from lifemask.ingest.domain.signature import Signed, is_genuine
from lifemask.ingest.ports import LinkExpired, LinkUnknown, SecretUnavailable


class _Body(BaseModel):
    """All that is read of a callback: which training it is about."""

    id: str


async def take_callback(office: Office, token: str, message: Signed) -> None:
    """Publishes the hint, once per callback id. Raises NotFound, Forged, Unintelligible, ProviderSilent."""
    try:
        target = office.links.callback(token, office.clock())
    except (LinkUnknown, LinkExpired):
        raise NotFound from None
    await _check(office, message)
    training = _training(message.body)
    if (run := await office.runs.run(target.user_id, target.run_id)) is None:
        raise NotFound(target.run_id)
    started = {event.attempt: event.training for event, _ in run.facts.of(TrainingStarted)}
    if started.get(target.attempt, training) != training:
        raise Forged(target.run_id)
    fields: dict[str, Any] = {"user_id": run.user_id, "run_id": run.id, "attempt": target.attempt, "training": training}
    try:
        hint = TrainingCallbackReceived.model_validate(fields)
    except ValidationError:
        raise Unintelligible(run.id) from None
    await office.desk.commit(run.user_id, [hint], cause=f"{run.id}:callback:{message.id}", run_id=run.id)


async def _check(office: Office, message: Signed) -> None:
    now = office.clock().timestamp()
    try:
        if is_genuine(message, await office.secrets.current(), now):
            return
        newer = await office.secrets.newer()
    except SecretUnavailable:
        raise ProviderSilent from None
    if newer is None or not is_genuine(message, newer, now):
        raise Forged


def _training(body: bytes) -> str:
    try:
        return _Body.model_validate_json(body).id
    except ValidationError:
        raise Unintelligible from None
