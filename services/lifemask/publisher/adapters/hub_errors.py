"""What the hub's refusals mean to us. Waiting is the lane's affair: nothing here waits."""

import json
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Final

import httpx2

from lifemask.bus.outcomes import Misconfigured, Retryable
from lifemask.contracts import FailureCode
from lifemask.publisher.adapters.hub_library import HfHubHTTPError, OfflineModeIsEnabled

_BUSY: Final = frozenset({404, 409, 412, 423, 429})
"""It answers, and something else must come first; but for 429 that may be this publication's own fault."""
_DENIED: Final = frozenset({401, 402, 403})
_AGAIN: Final = frozenset({408, 425})
_LONGEST: Final = 3600
"""Seconds; a longer delay than this is looked at earlier than the hub asks."""


class TurnedAway(Exception):
    """The hub asked us to come again: raised out of the client before it waits, in a thread, by itself."""

    def __init__(self, status: int, after: float | None) -> None:
        super().__init__(f"the hub answered {status}")
        self.status = status
        self.after = after


class Refused(Exception):
    """The hub calls what we sent invalid."""


def turn_away(response: httpx2.Response) -> None:
    """Response hook of the client: ends its own retries, which block a thread (a 409 even without a pause)."""
    status = response.status_code
    if response.request.method == "PUT" and status >= 400:  # the file host; its 403 is an expired link, not our token
        raise TurnedAway(503, asked_delay(response.headers))
    if status in {408, 425, 429} or status >= 500 or (status == 409 and _is_conflict(response)):
        raise TurnedAway(status, asked_delay(response.headers))


def asked_delay(headers: httpx2.Headers) -> float | None:
    """Seconds the hub asks us to wait: `Retry-After`, or `t` of its `RateLimit` header; None when it names none."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return min(float(text), _LONGEST)
    reset = re.search(r"(?:^|;)\s*t=([0-9]{1,6})", headers.get("ratelimit", ""))
    return min(float(reset.group(1)), _LONGEST) if reset else None


def status_of(error: BaseException) -> int | None:
    """The HTTP status that an error of the client stands for."""
    for cause in _causes(error):
        if isinstance(cause, TurnedAway):
            return cause.status
        if isinstance(cause, HfHubHTTPError):
            return cause.response.status_code
    return None


def trouble(error: Exception, action: str) -> Exception:
    """What to raise instead: Retryable, Misconfigured, Refused, or the error itself when it is a bug of ours.

    `HfHubHTTPError` is an `OSError`, and an upload wraps what went wrong into a RuntimeError: the whole chain of
    causes is looked at, the refusals first.
    """
    causes = list(_causes(error))
    for cause in causes:
        if isinstance(cause, Retryable | Misconfigured):
            return cause
    if (status := status_of(error)) is not None:
        return _by_status(status, next((c.after for c in causes if isinstance(c, TurnedAway)), None), action)
    if any(isinstance(c, OfflineModeIsEnabled) for c in causes):
        return Misconfigured(FailureCode.HUB_DENIED, "HF_HUB_OFFLINE is set")
    if any(isinstance(c, httpx2.HTTPError | OSError | json.JSONDecodeError) for c in causes):
        return Retryable(FailureCode.HUB_UNAVAILABLE)
    return Refused() if isinstance(error, ValueError) else error


def _by_status(status: int, after: float | None, action: str) -> Exception:
    delay = None if after is None else timedelta(seconds=after)
    if status in _BUSY:
        return Retryable(FailureCode.HUB_BUSY, after=delay, counts=status != 429)
    if status in _DENIED:
        return Misconfigured(FailureCode.HUB_DENIED, f"HF_TOKEN may not {action} in LIFEMASK_HF_NAMESPACE ({status})")
    if status in _AGAIN or status >= 500:
        return Retryable(FailureCode.HUB_UNAVAILABLE, after=delay)
    return Refused()


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _is_conflict(response: httpx2.Response) -> bool:
    """Another creation in the same account is under way; not: this repository exists already."""
    response.read()
    return "conflicting operation" in response.text
