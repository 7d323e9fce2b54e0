"""Every event, by its type; and from a record back to its event."""

from typing import Final

from lifemask.contracts.datasets import DatasetSealed, PhotosValidated
from lifemask.contracts.envelope import AnyRecord, headers_of, read_envelope, value_of
from lifemask.contracts.event import Baton, Event
from lifemask.contracts.models import ModelReady, ModelRevocationRequested, ModelRevoked
from lifemask.contracts.notifications import NotificationDelivered, SecurityReported
from lifemask.contracts.photos import PhotoJudged, PhotoReceived, PhotoRemoved
from lifemask.contracts.runs import RunAccepted, RunCanceled, RunCancelRequested, RunFailed, RunRejected, RunStalled
from lifemask.contracts.trainings import (
    ArchiveFetched,
    TrainingCallbackReceived,
    TrainingProgressed,
    TrainingStarted,
    TrainingSucceeded,
)
from lifemask.contracts.uploads import PhotosUploaded
from lifemask.contracts.users import UserErased, UserErasureRequested

EVENTS: Final[tuple[type[Event], ...]] = (
    PhotosUploaded,
    PhotoReceived,
    PhotoRemoved,
    PhotoJudged,
    RunAccepted,
    RunCancelRequested,
    RunStalled,
    RunRejected,
    RunFailed,
    RunCanceled,
    PhotosValidated,
    DatasetSealed,
    TrainingStarted,
    TrainingProgressed,
    TrainingCallbackReceived,
    ArchiveFetched,
    TrainingSucceeded,
    ModelReady,
    ModelRevocationRequested,
    ModelRevoked,
    UserErasureRequested,
    UserErased,
    NotificationDelivered,
    SecurityReported,
)

BY_TYPE: Final[dict[str, type[Event]]] = {event.ce_type: event for event in EVENTS}
TERMINAL: Final[frozenset[type[Event]]] = frozenset(event for event in EVENTS if event.baton is Baton.ENDS)


class UnknownType(ValueError):
    """The record's type is none of this package's; a newer version of the package may know it."""


def parse(record: AnyRecord) -> Event:
    """The event in a Kafka record, as aiokafka, confluent-kafka or `pack` make them; unknown fields are ignored.

    Raises BadEnvelope, UnknownType (names the type) or pydantic's ValidationError.
    """
    name = read_envelope(headers_of(record)).type
    if (event := BY_TYPE.get(name)) is None:
        raise UnknownType(f"event type {name!r} is not known to this version of lifemask-contracts")
    return event.read(value_of(record))


def split_version(ce_type: str) -> tuple[str, int]:
    """`("lifemask.dataset.sealed", 1)` of `lifemask.dataset.sealed.v1`; version 0 when there is none.

    More than four digits are no version: Python refuses to read numbers of thousands of digits.
    """
    family, _, version = ce_type.rpartition(".v")
    readable = family and len(version) <= 4 and version.isascii() and version.isdigit()
    return (family, int(version)) if readable else (ce_type, 0)
