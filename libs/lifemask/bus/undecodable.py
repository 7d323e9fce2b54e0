"""Batches of a Kafka log that nobody can decode: each becomes one record that says so, and reading goes on after it.

Brokers store what they are sent: a header's name that is no UTF-8, or a body that does not decompress, is found only
by who reads. aiokafka (0.14) raises then, forgets what it had read of other partitions, and meets the same batch again
at each fetch. Here the batch is cut off where it cannot be read; its sender alone loses by that.
A checksum that is wrong is no such case: it may be right at the next fetch, and raises as before.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiokafka.consumer import fetcher
from aiokafka.consumer.fetcher import PartitionRecords


class Undecodable(NamedTuple):
    """The one header of a record that stands for what could not be decoded. No sender can make one."""

    name: str
    value: bytes


@dataclass(frozen=True, slots=True)
class _Gap:
    """What aiokafka makes the record of. `offset` is the batch's last, so that no position lies behind it."""

    offset: int
    headers: tuple[Undecodable]
    timestamp: int = -1
    timestamp_type: int = 0
    key: bytes | None = None
    value: bytes | None = None
    checksum: int | None = None


class _Batch:
    """A record batch that can always be read to its end."""

    def __init__(self, batch: Any) -> None:
        self._batch = batch

    def __getattr__(self, name: str) -> Any:
        return getattr(self._batch, name)

    def __iter__(self) -> Iterator[Any]:
        last = self._batch.next_offset - 1
        first = getattr(self._batch, "base_offset", last)
        try:
            for record in self._batch:
                first = record.offset + 1
                yield record
        except Exception as problem:  # noqa: BLE001  decoders raise what they like
            yield _Gap(last, (Undecodable(type(problem).__name__, f"{first}-{last}".encode()),))


class _Batches:
    """The batches of one fetch."""

    def __init__(self, batches: Any) -> None:
        self._batches = batches

    def has_next(self) -> bool:
        return bool(self._batches.has_next())

    def next_batch(self) -> _Batch:
        return _Batch(self._batches.next_batch())


class _Tolerant(PartitionRecords):  # type: ignore[misc] # aiokafka has no types
    def __init__(self, tp: Any, records: Any, *rest: Any, **named: Any) -> None:
        super().__init__(tp, _Batches(records), *rest, **named)


def tolerate() -> None:
    """Lets all consumers of this process read past what cannot be decoded."""
    fetcher.PartitionRecords = _Tolerant


def gap_in(headers: Any) -> Undecodable | None:
    """What a record's headers say, if it stands for a batch that could not be decoded."""
    return next((one for one in headers if isinstance(one, Undecodable)), None)
