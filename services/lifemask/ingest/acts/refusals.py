"""Why a call cannot be answered as asked; the HTTP surface makes a problem document of each."""

from collections.abc import Sequence

from lifemask.ingest.domain.photos import PhotoView
from lifemask.ingest.domain.restarting import Hindrance
from lifemask.ingest.domain.status import Status


class Refusal(Exception):
    """A call that cannot be answered as asked. `run_id` where there is one."""

    def __init__(self, run_id: str | None = None) -> None:
        super().__init__(type(self).__name__)
        self.run_id = run_id


class NotFound(Refusal):
    """There is no such thing of this user."""


class DraftClosed(Refusal):
    """The run takes no more changes of its photos."""


class AlreadyOver(Refusal):
    """The run has ended; `status` says how."""

    def __init__(self, run_id: str, status: Status) -> None:
        super().__init__(run_id)
        self.status = status


class TooFewPhotos(Refusal):
    """Fewer photos than the minimum can turn out usable."""

    def __init__(self, run_id: str, received: int, needed: int, photos: Sequence[PhotoView]) -> None:
        super().__init__(run_id)
        self.received = received
        self.needed = needed
        self.photos = tuple(photos)


class TooManyPhotos(Refusal):
    """The run would hold more photos than it may."""

    def __init__(self, run_id: str, limit: int) -> None:
        super().__init__(run_id)
        self.limit = limit


class WrongSizes(Refusal):
    """Files at these places of the list are smaller than `least` or larger than `most` bytes."""

    def __init__(self, run_id: str, places: Sequence[int], least: int, most: int) -> None:
        super().__init__(run_id)
        self.places = tuple(places)
        self.least = least
        self.most = most


class TooManyOpen(Refusal):
    """The user has as many runs that have not ended as may be."""

    def __init__(self, limit: int) -> None:
        super().__init__()
        self.limit = limit


class StillComing(Refusal):
    """Photos of the earlier run are still being taken over."""


class NotRestartable(Refusal):
    """The run cannot be started again; `why` says it."""

    def __init__(self, run_id: str, why: Hindrance) -> None:
        super().__init__(run_id)
        self.why = why


class PhotosGone(Refusal):
    """The run's originals are not kept any more."""


class Withdrawn(Refusal):
    """The model was withdrawn; `reason` says why, in words without personal data."""

    def __init__(self, run_id: str, reason: str) -> None:
        super().__init__(run_id)
        self.reason = reason


class KeyConflict(Refusal):
    """The idempotency key named another request."""


class Busy(Refusal):
    """Others change the same thing at this moment; the same call again will do."""


class Forged(Refusal):
    """A callback without a true signature, or of another training."""


class Unintelligible(Refusal):
    """A genuine callback that is no training."""


class ProviderSilent(Refusal):
    """The provider does not tell its webhook secret, so nothing can be checked now."""
