"""Apache Kafka 4.1 on this machine: one node or several, on 127.0.0.1 alone, without Docker.

    python -m tools.kafka [--nodes 3] [--data DIR] [--fetch]

Needs Java 17 and, the first time, Maven, which fetches 54 MB of jars. One node answers after 3 s and takes 300 MB of
memory, three after 6 s with 900 MB (measured on two cores).
"""

import asyncio
import contextlib
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from lifemask.cli.ports import choose_ports
from tools.servers import CannotRun, Server, answers, arguments, made_once, main, occupied, program, run_tool, until

_HERE: Final = Path(__file__).parent
_POM: Final = _HERE / "kafka_pom.xml"
_LOGGING: Final = _HERE / "kafka_log4j2.properties"
_JAVA: Final = 17
_COPY: Final = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
_JVM: Final = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", f"-Dlog4j2.configurationFile={_LOGGING}")
_START_PATIENCE: Final = 60.0
_STOP_GRACE: Final = 8.0


def jars() -> Path:
    """The folder with Kafka's jars, fetched by Maven the first time. Raises CannotRun."""
    version = hashlib.sha256(_POM.read_bytes()).hexdigest()[:12]
    return made_once(f"kafka-{version}", _fetch)


def java() -> str:
    """The Java that runs Kafka. Raises CannotRun when there is none or it is too old."""
    hint = f"Kafka 4 needs Java {_JAVA} or newer, for example Debian's openjdk-17-jre-headless."
    found = program("java", hint)
    result = subprocess.run([found, "-version"], capture_output=True, text=True, check=False)  # noqa: S603  no input
    version = re.search(r'version "(\d+)', result.stderr)
    if not version or int(version[1]) < _JAVA:
        raise CannotRun(f"'{found}' is not a Java that will do: {result.stderr.splitlines()[:1]}. {hint}")
    return found


def fetch() -> None:
    """Makes sure that nothing is missing."""
    java()
    jars()


@dataclass
class Kafka:
    """Nodes 1 to n of one cluster, each broker and controller. `bootstrap` names all of them."""

    folder: Path
    ports: dict[str, int]
    nodes: int
    _java: str = field(default_factory=java)
    _jars: Path = field(default_factory=jars)
    _running: dict[int, Server] = field(default_factory=dict)

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{self.ports[f'broker{node}']}" for node in self._all)

    @property
    def servers(self) -> Sequence[Server]:
        return tuple(self._running.values())

    async def start(self) -> None:
        """Returns when all nodes know each other. Raises CannotRun."""
        await asyncio.to_thread(self._format)
        for node in self._all:
            self._start(node)
        await self.until_whole()

    def kill(self, node: int) -> None:
        """SIGKILL, as a machine that fails."""
        self._running.pop(node).end(grace=0)

    async def bring_back(self, node: int) -> None:
        """Starts a killed node again; returns when the cluster has all its nodes."""
        self._start(node)
        await self.until_whole()

    async def until_whole(self) -> None:
        """Waits until every node is registered. Raises CannotRun."""
        await until(self._is_whole, self.servers, _START_PATIENCE)

    def stop(self) -> None:
        """All at once: controllers that stop one after the other would wait for each other."""
        for server in self.servers:
            server.ask_to_end()
        for server in self.servers:
            server.end(_STOP_GRACE)
        self._running.clear()

    @property
    def _all(self) -> range:
        return range(1, self.nodes + 1)

    def _class(self, name: str, *options: str, jvm: Sequence[str] = _JVM) -> list[str]:
        return [self._java, *jvm, "-cp", f"{self._jars}/*", name, *options]

    def _format(self) -> None:
        identity = self.folder / "cluster.id"
        if not identity.exists():
            words = run_tool(self._class("kafka.tools.StorageTool", "random-uuid"), "Naming the cluster")
            identity.write_text(words.split()[-1])
        for node in self._all:
            settings = self.folder / f"node{node}.properties"
            settings.write_text("".join(f"{name}={value}\n" for name, value in self._settings(node).items()))
            options = ("format", "--ignore-formatted", "-t", identity.read_text(), "-c", str(settings))
            run_tool(self._class("kafka.tools.StorageTool", *options), f"Formatting node {node}")

    def _start(self, node: int) -> None:
        command = self._class("kafka.Kafka", str(self.folder / f"node{node}.properties"))
        self._running[node] = Server(f"Kafka node {node}", command, self.folder / f"node{node}.log")

    def _settings(self, node: int) -> dict[str, object]:
        broker = f"BROKER://127.0.0.1:{self.ports[f'broker{node}']}"
        voters = (f"{each}@127.0.0.1:{self.ports[f'controller{each}']}" for each in self._all)
        copies = min(3, self.nodes)
        return {
            "node.id": node,
            "process.roles": "broker,controller",
            "controller.quorum.voters": ",".join(voters),
            "controller.listener.names": "CONTROLLER",
            "listeners": f"{broker},CONTROLLER://127.0.0.1:{self.ports[f'controller{node}']}",
            "advertised.listeners": broker,
            "inter.broker.listener.name": "BROKER",
            "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": self.folder / f"node{node}",
            "auto.create.topics.enable": "false",
            "group.initial.rebalance.delay.ms": 0,
            "offsets.topic.num.partitions": 4,
            "offsets.topic.replication.factor": copies,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": copies,
            "transaction.state.log.min.isr": max(1, copies - 1),
            "broker.session.timeout.ms": 6000,  # a killed node is noticed a little sooner than by default (9 s)
            "broker.heartbeat.interval.ms": 1000,
        }

    async def _is_whole(self) -> bool:
        for address in self.bootstrap.split(","):
            if not await answers(address):  # asked first: the client complains of every refusal
                return False
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap.split(","), request_timeout_ms=2000)
        try:
            await admin.start()
            return len((await admin.describe_cluster())["brokers"]) == self.nodes
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()


@contextlib.asynccontextmanager
async def kafka_cluster(folder: Path, nodes: int = 1) -> AsyncIterator[Kafka]:
    """A cluster for as long as the block lasts, with its data in `folder`. Raises CannotRun."""
    with occupied(folder) as home:
        _same_size(home, nodes)
        names = [f"{role}{node}" for role in ("broker", "controller") for node in range(1, nodes + 1)]
        kafka = Kafka(home, choose_ports(names, home), nodes)
        try:
            await kafka.start()
            yield kafka
        finally:
            kafka.stop()


@contextlib.asynccontextmanager
async def running_kafka(folder: Path, nodes: int = 1) -> AsyncIterator[str]:
    """Likewise; yields the bootstrap string, `host:port,…`."""
    async with kafka_cluster(folder, nodes) as kafka:
        yield kafka.bootstrap


def _fetch(place: Path) -> None:
    maven = program("mvn", "Maven fetches Kafka's jars: install it, for example Debian's maven.")
    pom = place / "pom.xml"
    shutil.copy(_POM, pom)
    print("Fetching Apache Kafka 4.1 (54 MB, once)", file=sys.stderr, flush=True)
    options = ("-q", "-B", "-f", str(pom), _COPY, f"-DoutputDirectory={place}", "-DincludeScope=runtime")
    run_tool((maven, *options), "Fetching Kafka by Maven")


def _same_size(home: Path, nodes: int) -> None:
    """A cluster's voters are part of its data: it cannot grow by being started with more."""
    size = home / "nodes"
    if size.exists() and size.read_text() != str(nodes):
        raise CannotRun(f"The cluster in {home} has {size.read_text()} nodes, not {nodes}: choose another --data.")
    size.write_text(str(nodes))


@contextlib.asynccontextmanager
async def _told(folder: Path, nodes: int) -> AsyncIterator[tuple[str, Sequence[Server]]]:
    async with kafka_cluster(folder, nodes) as kafka:
        yield (
            f"Kafka runs; Ctrl-C stops it. Data and logs: {kafka.folder}\nLIFEMASK_KAFKA={kafka.bootstrap}",
            kafka.servers,
        )


if __name__ == "__main__":
    parser = arguments("Apache Kafka on this machine", None)
    parser.add_argument("--nodes", type=int, choices=range(1, 6), default=1, help="how many nodes (default: 1)")
    chosen = parser.parse_args()
    default = Path(".lifemask") / ("kafka" if chosen.nodes == 1 else f"kafka-{chosen.nodes}")
    sys.exit(main(chosen, fetch, partial(_told, chosen.data or default, chosen.nodes)))
