"""Topics in Kafka as they should be: made where they are missing, and named where they differ.

Nothing that exists is changed: more partitions would move users, and what was deleted by a retention is gone.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from lifemask.bus.topic_settings import TRAIL, settings_of
from lifemask.contracts import PARTITIONS, Topic
from lifemask.contracts.topics import PROBES

_PATIENCE_MS: Final = 30_000
_NEWS_PATIENCE: Final = 30.0  # seconds
_POLL: Final = 0.1
_ASKED: Final = 10  # times, of nodes chosen by chance
_SAFE_COPIES: Final = 3
_MESSAGE_BYTES: Final = 1_048_588
"""Largest record batch: Kafka's own default, which is what our producers keep below (dead letters carry at most half
a megabyte of the original)."""

_OF_PROBES: Final = {"retention.ms": "3600000"}
"""An hour: nobody needs a probe that was read."""


class TopicsRefused(Exception):
    """Kafka does not make topics. The text names them with Kafka's reason."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How topics should be. `replicas` None: 3 when the cluster shows at least 3 brokers, else 1."""

    partitions: int = PARTITIONS
    replicas: int | None = None

    def copies(self, brokers: int) -> int:
        """Copies of each partition in a cluster of so many brokers."""
        return self.replicas or (_SAFE_COPIES if brokers >= _SAFE_COPIES else 1)

    @staticmethod
    def settings(copies: int) -> dict[str, str]:
        """A topic's settings. With three copies, two must have a record before it counts as written."""
        in_sync = 2 if copies >= _SAFE_COPIES else 1
        return {**TRAIL, "min.insync.replicas": str(in_sync), "max.message.bytes": str(_MESSAGE_BYTES)}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was done and found. `differing`: per topic that existed, what is not as it should be, in words."""

    made: list[str]
    there: list[str]
    differing: dict[str, list[str]]
    copies: int
    brokers: int


async def prepare_topics(brokers: Sequence[str], prefix: str, wanted: Wanted) -> Prepared:
    """Makes the topics that are missing and compares the others. Safe to repeat, and to run twice at once.

    Raises TopicsRefused, or what aiokafka raises when no broker answers.
    """
    names = [topic.named(prefix) for topic in Topic]
    async with _admin(brokers) as admin:
        size = len((await admin.describe_cluster())["brokers"])
        copies = wanted.copies(size)
        known = await admin.list_topics()
        missing = [name for name in (*names, prefix + PROBES) if name not in known]
        made = await _make(missing, prefix, wanted, copies, admin)
        there = [name for name in names if name not in made]
        await _until_known(admin, names)
        return Prepared(made, there, await _differences(admin, there, wanted.partitions, copies), copies, size)


@asynccontextmanager
async def _admin(brokers: Sequence[str]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(brokers), request_timeout_ms=_PATIENCE_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _make(
    names: Sequence[str], prefix: str, wanted: Wanted, copies: int, admin: AIOKafkaAdminClient
) -> list[str]:
    if not names:
        return []
    settings = Wanted.settings(copies)
    new = [
        NewTopic(name, 1, copies, topic_configs=settings | _OF_PROBES)
        if name == prefix + PROBES
        else NewTopic(name, wanted.partitions, copies, topic_configs=settings)
        for name in names
    ]
    answer = await admin.create_topics(new)
    made, refused = [], dict[str, str]()
    for name, code, *words in answer.topic_errors:
        if code == 0:
            made.append(name)
        elif code != TopicAlreadyExistsError.errno:  # somebody else made it at the same moment
            refused[name] = f"{for_code(code).__name__} {next(filter(None, words), '')}".strip()
    if refused:
        reasons = "; ".join(sorted(set(refused.values())))
        raise TopicsRefused(f"Kafka does not make {', '.join(refused)}: {reasons}")
    return made


async def _until_known(admin: AIOKafkaAdminClient, names: Sequence[str]) -> None:
    """A topic that was just made is not known to every node at once, and any node may be asked next."""
    async with asyncio.timeout(_NEWS_PATIENCE):
        for _ in range(_ASKED):
            while any(topic["error_code"] for topic in await admin.describe_topics(list(names))):  # noqa: ASYNC110  likewise
                await asyncio.sleep(_POLL)


async def _differences(
    admin: AIOKafkaAdminClient, names: Sequence[str], partitions: int, copies: int
) -> dict[str, list[str]]:
    if not names:
        return {}
    shapes = {topic["topic"]: topic["partitions"] for topic in await admin.describe_topics(list(names))}
    settings = await settings_of(admin, names)
    found = {name: [*_shape(shapes[name], partitions, copies), *_unlike(settings[name], copies)] for name in names}
    return {name: problems for name, problems in found.items() if problems}


def _shape(parts: Sequence[Mapping[str, Any]], partitions: int, copies: int) -> Iterable[str]:
    if len(parts) != partitions:
        yield f"partitions {len(parts)}, not {partitions}"
    if (least := min((len(part["replicas"]) for part in parts), default=0)) < copies:
        yield f"replicas {least}, not {copies}"


def _unlike(settings: Mapping[str, str] | None, copies: int) -> Iterable[str]:
    """`settings` None: the broker has no such question, or does not let us ask."""
    if settings is None:
        return
    for name, value in Wanted.settings(copies).items():
        is_value = settings.get(name)
        enough = name in {"min.insync.replicas", "max.message.bytes"} and int(is_value or 0) >= int(value)
        if is_value != value and not enough:
            yield f"{name} {is_value}, not {value}"
