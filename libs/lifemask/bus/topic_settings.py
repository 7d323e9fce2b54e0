"""Settings of topics in Kafka, as they must be and as they are."""

from collections.abc import Mapping, Sequence
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import IncompatibleBrokerVersion, for_code

_FOR_EVER: Final = {"retention.ms": "-1", "retention.bytes": "-1", "cleanup.policy": "delete"}
"""Nothing is ever deleted from a topic: they are the audit trail."""
_CLOCK: Final = {"message.timestamp.type": "LogAppendTime"}
"""A record's time is the broker's: whoever reads old records believes the keys of that time, and a thief of a key that
was replaced must not choose it."""
TRAIL: Final = {**_FOR_EVER, **_CLOCK}
"""What every topic of facts must have, whatever the cluster's size."""


async def settings_of(admin: AIOKafkaAdminClient, names: Sequence[str]) -> dict[str, Mapping[str, str] | None]:
    """The settings of each topic; None where the broker has no such question. Raises KafkaError when it refuses."""
    try:
        answers = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names])
    except IncompatibleBrokerVersion:  # a stand-in for Kafka; every Kafka since 0.11 answers
        return dict.fromkeys(names)
    found: dict[str, Mapping[str, str] | None] = {}
    for code, _words, _type, name, entries in (resource for answer in answers for resource in answer.resources):
        if code:
            raise for_code(code)(f"the settings of {name} cannot be read")
        found[name] = {entry[0]: entry[1] for entry in entries}
    return found
