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
        grown = self.first.total_seconds() * self.growth ** min(tries, _MOST_GROWTH)
        return timedelta(seconds=min(grown, self.longest.total_seconds()))


@dataclass(frozen=True, slots=True)
class Policy:
    """`trainer` is `owner/name:version`; `price` US dollars a second; `skew` how far the provider's clock may be off.

    `reconciles` spaces listings for a lost answer, repeated copies of the weights, and waits for a fetch's record.
    After a lost answer it is paid again only after two clean listings `apart` from each other, and for `creates`
    attempts in all; after `patience`, or when that may not be, an operator is asked. `copies`: how often the weights
    are copied before the run fails. `records`: how often a training that succeeded is looked at again while no fetch of
    its archive is on record; `failure_records`: one that failed. The longest of `watches` stays below the hour after
    which the provider forgets a training's input, so that each training is seen while it can be recognised.
    """

    trainer: str
    price: Decimal
    seconds_per_step: Decimal
    url_life: timedelta
    skew: timedelta
    looks: Pace
    reconciles: Pace
    watches: Pace
    apart: timedelta
    patience: timedelta
    creates: int
    copies: int
    records: int
    failure_records: int
