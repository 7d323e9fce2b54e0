"""What a service needs of the outside, declared by the service in its `needs.py`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from lifemask.bus.inbound import Table
from lifemask.bus.outcomes import Route
from lifemask.doctor.files import keys_probe
from lifemask.doctor.kafka import kafka_probe
from lifemask.doctor.objects import Grant, objects_probe
from lifemask.doctor.postgres import postgres_probe
from lifemask.runtime.checkup import Checkup, Probe
from lifemask.runtime.settings import ServiceSettings

S = TypeVar("S", bound=ServiceSettings)


@dataclass(frozen=True)
class Needs(Generic[S]):
    """`service`: its name with hyphens. `grants`: what it may do at the store. `more`: probes of its own."""

    service: str
    settings: type[S]
    routes: Sequence[Route]
    grants: Sequence[Grant]
    more: Callable[[S], Sequence[Probe]]

    def probes(self, settings: S, account: tuple[str, str] | None = None) -> list[Probe]:
        """All probes. `account`: at an S3 store, when it is not the one that the environment names."""
        return [
            keys_probe(self.service, settings),
            postgres_probe(self.service, settings),
            kafka_probe(self.service, Table.of(self.routes), settings),
            objects_probe(self.service, self.grants, settings.objects, account),
            *self.more(settings),
        ]

    def checkup(self, settings: S) -> Checkup:
        """The same beside a running service."""
        return Checkup(
            self.probes(settings), after=settings.checkup_after, again=settings.pause, longest=settings.pause_max
        )


def nothing_more(_settings: ServiceSettings) -> Sequence[Probe]:
    """Of a service that needs nothing but what all need."""
    return ()
