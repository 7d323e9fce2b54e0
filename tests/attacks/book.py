"""All attacks."""

from typing import Final

from tests.attacks.attack import Attack
from tests.attacks.plays import objects

BOOK: Final[tuple[Attack, ...]] = (*objects.BOOK,)
