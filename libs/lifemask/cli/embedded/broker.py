"""The embedded Kafka broker: librdkafka's mock cluster, in a process of its own or inside a test.

It speaks Kafka's wire protocol (idempotent produce, groups, commits, seek) and keeps everything in memory only: a
partition forgets its oldest records beyond 5 MB or 100,000 batches, and the end of the process forgets all. One member
per consumer group: a second one that joins at the same moment is refused.

    python -m lifemask.cli.embedded.broker --topics runs:4,photos:4 --ready-file FILE [--watch-fd N]
"""

import ctypes
import socket
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

from lifemask.cli.embedded.librdkafka import load
from lifemask.cli.embedded.process import EmbeddedPartError, announce, arguments, stop_event

_PRODUCER = 0  # enum rd_kafka_type_t; a handle of either type can own a mock cluster
_ERROR_TEXT_SIZE = 512


class MockBroker:
    """A Kafka cluster on 127.0.0.1 with free ports, alive between `start` and `close`.

    Broker ids count from 1. Times are milliseconds. `rebalance_delay_ms` is how long the first member of a group waits
    for others; Kafka's own 3 s would be most of a start.
    """

    def __init__(self, *, brokers: int = 1, rebalance_delay_ms: int = 20) -> None:
        self._brokers = brokers
        self._rebalance_delay_ms = rebalance_delay_ms
        self._client: int | None = None
        self._cluster: int | None = None

    def start(self) -> None:
        """Raises EmbeddedPartError when the library is missing or refuses."""
        library = load()
        error = ctypes.create_string_buffer(_ERROR_TEXT_SIZE)
        conf = library.rd_kafka_conf_new()
        library.rd_kafka_conf_set(conf, b"log_level", b"3", error, len(error))
        self._client = library.rd_kafka_new(_PRODUCER, conf, error, len(error))
        if not self._client:
            raise EmbeddedPartError(f"librdkafka does not start: {error.value.decode()}")
        self._cluster = library.rd_kafka_mock_cluster_new(self._client, self._brokers)
        if not self._cluster:
            self.close()
            raise EmbeddedPartError("librdkafka cannot open its mock cluster: are free ports on 127.0.0.1 available?")
        library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, self._rebalance_delay_ms)

    @property
    def bootstrap(self) -> str:
        """`host:port`, comma-separated."""
        found: bytes = load().rd_kafka_mock_cluster_bootstraps(self._running())
        return found.decode()

    def create_topic(self, name: str, partitions: int) -> None:
        self._call("topic_create", name.encode(), partitions, self._brokers)

    def set_down(self, broker: int = 1) -> None:
        """Closes the broker's connections and refuses new ones; its records stay."""
        self._call("broker_set_down", broker)

    def set_up(self, broker: int = 1) -> None:
        self._call("broker_set_up", broker)

    def push_request_errors(self, api_key: int, codes: Sequence[int]) -> None:
        """The next requests of this kind (Kafka's api key, 0 = Produce) are answered with these error codes in turn."""
        array = (ctypes.c_int * len(codes))(*codes)
        load().rd_kafka_mock_push_request_errors_array(self._running(), api_key, len(codes), array)

    def close(self) -> None:
        library = load()
        cluster, self._cluster = self._cluster, None
        client, self._client = self._client, None
        if cluster:
            library.rd_kafka_mock_cluster_destroy(cluster)
        if client:
            library.rd_kafka_destroy(client)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _running(self) -> int:
        if self._cluster is None:
            raise EmbeddedPartError("the embedded broker is not running: call start() first")
        return self._cluster

    def _call(self, name: str, *values: Any) -> None:
        library = load()
        code = getattr(library, f"rd_kafka_mock_{name}")(self._running(), *values)
        if code:
            raise EmbeddedPartError(f"{name}: {library.rd_kafka_err2str(code).decode()}")


def parse_topics(text: str) -> tuple[tuple[str, int], ...]:
    """`name:partitions,…` as pairs; raises ValueError that says what is wrong."""
    topics = []
    for part in text.split(","):
        name, colon, count = part.rpartition(":")
        if not (colon and name and count.isdecimal() and int(count) > 0):
            raise ValueError(f"not name:partitions with at least one partition: {part!r}")
        topics.append((name, int(count)))
    return tuple(topics)


def main() -> int:
    parser = arguments("Kafka broker in memory: everything in it is gone when it ends")
    parser.add_argument("--topics", type=parse_topics, required=True, help="name:partitions,…")
    options = parser.parse_args()
    stop = stop_event(options.watch_fd)
    try:
        with MockBroker() as broker:
            for name, partitions in options.topics:
                broker.create_topic(name, partitions)
            _await_answer(broker.bootstrap)
            announce(options.ready_file, broker.bootstrap)
            print(f"embedded Kafka on {broker.bootstrap}: in memory only, nothing in it survives a stop", flush=True)
            stop.wait()
    except EmbeddedPartError as error:
        print(error, file=sys.stderr)
        return 3
    return 0


def _await_answer(bootstrap: str) -> None:
    for address in bootstrap.split(","):
        host, _, port = address.rpartition(":")
        socket.create_connection((host, int(port)), timeout=5).close()


if __name__ == "__main__":
    sys.exit(main())
