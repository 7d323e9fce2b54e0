"""The numbers a trainer works by; the settings make them."""

from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

_MOST_GROWTH = 64  # beyond this a power says nothing new, and floats overflow


@dataclass(frozen=True, slots=True)
class Pace:
    """Growing delays."""

    first: timedelta
    growth: float
    longest: timedelta

    def delay(self, tries: int) -> timedelta:
        """How long to wait after `tries` waits."""
        return min(self.first * self.growth ** min(tries, _MOST_GROWTH), self.longest)


@dataclass(frozen=True, slots=True)
class Policy:
    """`trainer` is `owner/name:version`; `price` US dollars a second; `skew` how far the provider's clock may be off.

    `fetches`: how often the weights are fetched before the run fails.
    """

    trainer: str
    price: Decimal
    seconds_per_step: Decimal
    url_life: timedelta
    skew: timedelta
    looks: Pace
    reconciles: Pace
    watches: Pace
    fetches: int
