"""All attacks."""

from typing import Final

from tests.attacks.attack import Attack
from tests.attacks.plays import doors, events, objects, provider, rows, statements

BOOK: Final[tuple[Attack, ...]] = (
    *objects.BOOK,
    *statements.BOOK,
    *events.BOOK,
    *doors.BOOK,
    *rows.BOOK,
    *provider.BOOK,
)
