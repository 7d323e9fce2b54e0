"""Kafka: the topics and their settings, producing, consuming, committing."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError, for_code

from lifemask.bus.inbound import Table
from lifemask.bus.topic_settings import TRAIL, settings_of
from lifemask.contracts import Topic, new_id
from lifemask.contracts.topics import PROBES
from lifemask.runtime.checkup import Finding, Probe
from lifemask.runtime.settings import ServiceSettings

_PART: Final = "kafka"
_MIGRATE: Final = "Run `lifemask migrate`."
_REQUEST_MS: Final = 3000
_READ_MS: Final = 1500
_GROUP_SECONDS: Final = 2.5
"""Of the 3.5 that a probe has."""
_SETTING: Final = "Look whether Kafka runs, and at LIFEMASK_KAFKA (host:port, …)."


def kafka_probe(service: str, table: Table, settings: ServiceSettings) -> Probe:
    """What is produced goes to the topic of probes alone, which keeps nothing: the others are the audit trail."""
    prefix = settings.topic_prefix
    mine = sorted({topic.named(prefix) for topic in (*table.topics, Topic.DEAD_LETTERS)})

    async def act() -> Sequence[Finding]:
        try:
            async with _admin(settings.brokers) as admin:
                found, there = await _described(admin, mine, prefix + PROBES)
        except (KafkaError, OSError) as problem:
            return [Finding(_PART, "answers", f"nobody answers at {settings.kafka}: {_said(problem)}", _SETTING)]
        readable = [name for name in mine if name in there]
        if prefix + PROBES in there:
            produced = await _produced(settings.brokers, prefix + PROBES)
            found.append(produced)
            group = f"{prefix}{service}.probe"
            found += await _grouped(settings.brokers, group, readable, prefix + PROBES)
        return found

    return Probe(_PART, act, _SETTING)


@asynccontextmanager
async def _admin(brokers: Sequence[str]) -> AsyncIterator[AIOKafkaAdminClient]:
    admin = AIOKafkaAdminClient(bootstrap_servers=list(brokers), request_timeout_ms=_REQUEST_MS)
    try:
        await admin.start()
        yield admin
    finally:
        await admin.close()


async def _described(admin: AIOKafkaAdminClient, mine: Sequence[str], probes: str) -> tuple[list[Finding], set[str]]:
    """What is said of the topics, and which of them are there."""
    there = set(await admin.list_topics())
    found = [
        Finding(
            _PART, f"topic {name}", f"the topic {name} does not exist", f"{_MIGRATE} Is LIFEMASK_TOPIC_PREFIX right?"
        )
        for name in (*mine, probes)
        if name not in there
    ]
    names = [name for name in mine if name in there]
    if not names:
        return found, there
    found += [_shape(topic) for topic in await admin.describe_topics(names)]
    shapes = {finding.what.removeprefix("topic ") for finding in found if finding.ok}
    settings = await settings_of(admin, sorted(shapes)) if shapes else {}
    found += [_settings(name, values) for name, values in settings.items()]
    return found, there


def _shape(topic: Mapping[str, Any]) -> Finding:
    what = f"topic {topic['topic']}"
    if code := topic["error_code"]:
        problem = f"{topic['topic']} cannot be described: {for_code(code).__name__}"
        return Finding(_PART, what, problem, f"Allow Describe on topic {topic['topic']}.")
    leaderless = [part["partition"] for part in topic["partitions"] if part["leader"] < 0]
    if leaderless:
        problem = f"{topic['topic']} has no leader for {len(leaderless)} of {len(topic['partitions'])} partitions"
        return Finding(_PART, what, problem, "Bring the missing brokers back.")
    return Finding(_PART, what)


def _settings(name: str, values: Mapping[str, str] | None) -> Finding:
    """`values` None: the broker has no such question, or does not let us ask."""
    what = f"settings of {name}"
    if values is None:
        return Finding(_PART, what)
    is_other = {setting: wanted for setting, wanted in TRAIL.items() if values.get(setting) != wanted}
    wrong = [f"{setting}={wanted} (is {values.get(setting)})" for setting, wanted in is_other.items()]
    if not wrong:
        return Finding(_PART, what)
    fix = f"kafka-configs --alter --entity-type topics --entity-name {name} --add-config "
    fix += ",".join(f"{setting}={wanted}" for setting, wanted in is_other.items())
    return Finding(_PART, what, f"{name} is no lasting record: it should have {', '.join(wrong)}", fix)


async def _produced(brokers: Sequence[str], topic: str) -> Finding:
    producer = AIOKafkaProducer(
        bootstrap_servers=list(brokers), enable_idempotence=True, acks="all", request_timeout_ms=_REQUEST_MS
    )
    try:
        await producer.start()
        await producer.send_and_wait(topic, new_id().encode(), key=b"probe")
    except (KafkaError, OSError) as problem:
        fix = f"Allow Write (and IdempotentWrite) on topics, {topic} as well; look whether enough replicas are in sync."
        return Finding(_PART, "produce", f"a record cannot be produced: {_said(problem)}", fix)
    finally:
        await producer.stop()
    return Finding(_PART, "produce")


async def _grouped(brokers: Sequence[str], group: str, readable: Sequence[str], probes: str) -> list[Finding]:
    """A group's coordinator is another broker than those that were asked, and may be missing alone."""
    found: list[Finding] = []
    try:
        async with asyncio.timeout(_GROUP_SECONDS):
            async for finding in _consumed(brokers, group, readable, probes):
                found.append(finding)  # noqa: PERF401  what was found before the time is over is kept
    except TimeoutError:
        problem = f"no broker answers for the group {group}"
        fix = "Look whether all brokers run and __consumer_offsets has leaders; a new cluster makes it now: ask again."
        found.append(Finding(_PART, "commit", problem, fix))
    return found


async def _consumed(brokers: Sequence[str], group: str, readable: Sequence[str], probes: str) -> AsyncIterator[Finding]:
    """Reads what was produced, asks each topic of ours for its next record, commits.

    In a group beside the service's own: whoever commits in a group at work without being a member is refused.
    """
    consumer = AIOKafkaConsumer(
        bootstrap_servers=list(brokers), group_id=group, enable_auto_commit=False, request_timeout_ms=_REQUEST_MS
    )
    try:
        await consumer.start()
        yield await _read(consumer, [probes, *readable], probes)
        yield await _committed(consumer, group, TopicPartition(probes, 0))
    except (KafkaError, OSError) as problem:
        yield Finding(_PART, "consume", f"the group {group} cannot consume: {_said(problem)}", _allow(group))
    finally:
        await consumer.stop()


async def _read(consumer: AIOKafkaConsumer, topics: Iterable[str], probes: str) -> Finding:
    parts = [TopicPartition(name, 0) for name in topics]
    consumer.assign(parts)
    ends = await consumer.end_offsets(parts)
    for part in parts:
        consumer.seek(part, max(ends[part] - 1, 0) if part.topic == probes else ends[part])
    records: dict[TopicPartition, Any] = {}
    loop = asyncio.get_running_loop()
    deadline = loop.time() + _READ_MS / 1000
    while not any(part.topic == probes for part in records) and loop.time() < deadline:
        records = await consumer.getmany(timeout_ms=100)
    if not any(part.topic == probes for part in records):
        return Finding(
            _PART, "consume", f"what was produced to {probes} does not come back", "Look at the brokers' log."
        )
    return Finding(_PART, "consume")


async def _committed(consumer: AIOKafkaConsumer, group: str, part: TopicPartition) -> Finding:
    try:
        await consumer.commit({part: 0})
    except KafkaError as problem:
        return Finding(_PART, "commit", f"the group {group} cannot commit: {_said(problem)}", _allow(group))
    return Finding(_PART, "commit")


def _allow(group: str) -> str:
    return f"Allow Read on groups that begin with {group.removesuffix('.probe')}, and on the topics that are read."


def _said(problem: Exception) -> str:
    return type(problem).__name__
