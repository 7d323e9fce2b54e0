"""What an attack is: whom it strikes and when, which gates stand in its way, and how one sees what came of it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from tests.attacks.house import BEFORE, BUSY, House
from tests.system.app import Person, View

End = Literal["refused", "ready", "rejected", "untouched"]
"""`refused`: the run fails, and it is ours to look at; `rejected`: the upload is not accepted; `untouched`: nothing."""


@dataclass
class Scene:
    """One attack under way. `run` is the victim's; `donor` the person whose things are to get into it."""

    house: House
    person: Person
    donor: Person
    donor_run: str
    run: str = ""
    view: View = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def user(self) -> str:
        return self.person.bus_id

    async def reaches(self, service: str | None) -> None:
        """Waits until the run lies before a service."""
        if service in BEFORE:
            await self.house.passed(BEFORE[service], self.user, self.run)
        if service == BUSY:
            await self.house.put_off(self.user, self.run)

    def instead(self, user: str) -> None:
        """Where gates can be taken away: another user's things are taken for the victim's own."""
        if self.house.opened:
            self.house.open(self.user, (f"as {user}",))


Step = Callable[[Scene], Awaitable[None]]


@dataclass(frozen=True)
class Attack:
    """`strike` is done while `at` is stopped and the run waits for it; `gates` are those that refuse it.

    `link` is a part of the link of the chain by which the run fails. `paid`: whether the training was paid before the
    attack could be seen. `check` and `won` look at more than the end of the run: with all gates shut, and with
    `gates` open.
    """

    name: str
    strike: Step
    gates: tuple[str, ...]
    at: str | None = None
    link: str = ""
    paid: bool = False
    end: End = "refused"
    prepare: Step | None = None
    check: Step | None = None
    won: Step | None = None
    alone: bool = False
    """Whether no other attack may run beside it, because it makes the provider or the hub misbehave."""
    no_arm: str = ""
    """Why there is no gate to open: the attack has no effect by construction."""


def attack(book: list[Attack], name: str, **how: Any) -> Callable[[Step], Step]:
    """Enters a strike into the book under the name that docs/custody.md gives it."""

    def enter(strike: Step) -> Step:
        book.append(Attack(name=name, strike=strike, **how))
        return strike

    return enter
