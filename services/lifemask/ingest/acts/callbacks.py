"""A provider's callback: checked over its raw bytes, then only a hint to look."""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from lifemask.contracts import TrainingCallbackReceived, TrainingStarted
from lifemask.ingest.acts.office import Office
from lifemask.ingest.acts.refusals import Forged, NotFound, ProviderSilent, Unintelligible
from lifemask.ingest.domain.signature import Signed, is_genuine
from lifemask.ingest.ports import CallbackTarget, LinkExpired, LinkUnknown, SecretUnavailable

_REMEMBERED: Final = 10_000
_Hint = tuple[str, str, int, str]
"""User, run, attempt, training."""


class _Body(BaseModel):
    """All that is read of a callback: which training it is about."""

    id: str


class Recent:
    """Hints given a moment ago, in this process: another one about the same training says nothing new."""

    def __init__(self) -> None:
        self._at: OrderedDict[_Hint, datetime] = OrderedDict()

    def is_new(self, hint: _Hint, now: datetime, gap: timedelta) -> bool:
        """Whether no such hint was given within `gap`; it counts as given from now on."""
        while self._at and (len(self._at) >= _REMEMBERED or now - next(iter(self._at.values())) >= gap):
            self._at.popitem(last=False)
        if hint in self._at:
            return False
        self._at[hint] = now
        return True

    def forget(self, hint: _Hint) -> None:
        """It could not be given after all."""
        self._at.pop(hint, None)


def target_of(office: Office, token: str) -> CallbackTarget:
    """The training attempt that the address is for. Raises NotFound."""
    try:
        return office.links.callback(token, office.clock())
    except (LinkUnknown, LinkExpired):
        raise NotFound from None


async def take_callback(office: Office, target: CallbackTarget, message: Signed, recent: Recent) -> bool:
    """Publishes the hint, once per callback id, and once in a while however many come about the same training.

    Whether it said anything new.

    Raises NotFound, Forged, Unintelligible, ProviderSilent.
    """
    await _check(office, message)
    hint = (target.user_id, target.run_id, target.attempt, _training(message.body))
    if not recent.is_new(hint, office.clock(), office.limits.callback_gap):
        return False
    try:
        await _pass_on(office, target, hint[-1], message.id)
    except BaseException:
        recent.forget(hint)
        raise
    return True


async def _pass_on(office: Office, target: CallbackTarget, training: str, name: str) -> None:
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
    await office.desk.commit(run.user_id, [hint], cause=f"{run.id}:callback:{name}", run_id=run.id)


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
