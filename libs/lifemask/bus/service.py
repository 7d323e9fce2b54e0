"""A running service: intake, workers, timer, ender, relay and cleaner around one table of handlers."""

import asyncio
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import asyncpg
import structlog

from lifemask.bus.calls import Calls
from lifemask.bus.checking import Check, Outsiders, check_version, nobody
from lifemask.bus.circuit import Circuits
from lifemask.bus.consumer import Consumer
from lifemask.bus.dead import DeadLetters
from lifemask.bus.ender import Ender
from lifemask.bus.finisher import Finisher
from lifemask.bus.guarding import Guard, Refusals, let_in
from lifemask.bus.inbound import Table
from lifemask.bus.intake import Intake
from lifemask.bus.orders import Orders
from lifemask.bus.outbound import Cause, Outbound, nothing_on_end, refuse_to_save
from lifemask.bus.outcomes import OnEnd, Outcome, Route
from lifemask.bus.relay import Relay
from lifemask.bus.reporting import Reporter
from lifemask.bus.retry import Limits, Pause
from lifemask.bus.roles import schema_of
from lifemask.bus.rows import Connection, Pool, Rows, Writer, session, transaction
from lifemask.bus.signals import Signals
from lifemask.bus.stalling import Stalling
from lifemask.bus.stored import Stored
from lifemask.bus.timer import Cleaner, Timer
from lifemask.bus.topics import require_topics
from lifemask.bus.worker import Worker
from lifemask.contracts import Stage, Topic
from lifemask.keys.files import open_keys
from lifemask.runtime.checkup import Checkup
from lifemask.runtime.settings import ServiceSettings

log = structlog.get_logger()


@asynccontextmanager
async def open_bus(service: str, stage: Stage, settings: ServiceSettings) -> AsyncIterator["Bus"]:
    """Connects `service` (its name with hyphens) to its own schema, with its keys.

    Raises OSError or PostgresError when it cannot, and Misconfigured for keys that cannot be used.
    """
    schema = schema_of(service)
    async with asyncpg.create_pool(
        settings.postgres,
        min_size=1,
        max_size=settings.pool,
        server_settings=session(schema),
        timeout=settings.watchdog,
        command_timeout=settings.watchdog,
        reset=_keep_session,
    ) as pool:
        bus = Bus(service, stage, settings, pool)
        async with transaction(pool) as connection:
            await check_version(connection, bus.trust)
        yield bus


async def _keep_session(_connection: Connection) -> None:
    """A connection that goes back to the pool is not reset, which would cost a round trip each time.

    Nothing is left behind in it: every setting is made with `set_config(…, true)`, for its transaction.
    """


class Bus:
    """What a service's wiring holds: rows to read, acts from outside, and `serve`."""

    def __init__(self, service: str, stage: Stage, settings: ServiceSettings, pool: Pool) -> None:
        self.service = service
        self.stage = stage
        self.settings = settings
        self.pool = pool
        self.rows = Rows(pool)
        self.signals = Signals()
        self.keys = open_keys(settings.keys, service, settings.keyring_root)
        self.signer = self.keys.signer
        self.trust = self.keys.trust
        self.outbound = Outbound(service, self.signer, settings.topic_prefix, refuse_to_save, nothing_on_end)

    def serve(
        self,
        routes: Sequence[Route],
        *,
        writer: Writer = refuse_to_save,
        on_end: OnEnd = nothing_on_end,
        guard: Guard = let_in,
        outsiders: Outsiders = nobody,
        checkup: Checkup | None = None,
        app: Any = None,
        **ports: object,
    ) -> "Service":
        """The service of these routes. Handlers get `ports` by name; `app` is an ASGI app to serve as well.

        `guard` is asked for each record that the routes want, before its signature is checked; `outsiders` knows the
        keys of sources that are no services of ours; `checkup` tries the service's outside calls beside its work.
        """
        self.outbound = Outbound(self.service, self.signer, self.settings.topic_prefix, writer, on_end)
        check = Check(self.trust, outsiders)
        return Service(self, Table.of(routes), ports, app=app, guard=guard, check=check, checkup=checkup)

    async def commit(
        self, user_id: str, outcomes: Sequence[Outcome], *, cause: str, run_id: str | None = None, takes: bool = False
    ) -> bool:
        """Stores the outcomes of an act from outside (an HTTP request) in one transaction.

        `cause` names the act: the same cause mints the same event ids, so that a repeated act stores no second event
        (its rows are written again: the writer must bear that). Commit what you read first: inside `rows.reading` it
        is refused.
        `takes`: this service takes the run's baton, without a deadline. Returns False, with nothing stored, when events
        of the outcomes need the baton and the run is not here.
        """
        try:
            async with transaction(self.pool) as connection:
                if takes:
                    await connection.execute(
                        "insert into baton (user_id, run_id, taken_at) values ($1, $2, now()) on conflict do nothing",
                        user_id,
                        run_id,
                    )
                if not await self.outbound.apply(connection, Cause(user_id, run_id, cause), outcomes):
                    raise _NotHere  # noqa: TRY301  leaves the transaction
        except _NotHere:
            return False
        self.signals.stored()
        return True


class _NotHere(Exception):
    """Rolls an act back: it speaks for a run that this service does not hold."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """How a service is: ages in seconds; None where there is nothing to be old."""

    last_poll: float
    oldest_undone: float | None
    oldest_unsent: float | None
    backing_off: int
    dead: int
    needs_operator: Sequence[str]
    """The oldest runs that wait for an operator: what is undecided, and the command that settles it."""
    paused: str | None
    """The whole stage waits for a setting or a right of ours."""
    away: tuple[str, ...] = ()
    """What does not answer: messages that need it wait, all others go on."""
    problems: tuple[str, ...] = ()
    """What the probes found wrong. They keep nobody from working: a service may well do without for a while."""

    def ready(self, watchdog: float) -> bool:
        """Whether the service reads its topics, publishes what it has to say, and is not paused."""
        return self.last_poll < watchdog and (self.oldest_unsent or 0) < watchdog and self.paused is None


class Service:
    """One service of the chain. `run` works until it is cancelled or something essential breaks."""

    def __init__(
        self,
        bus: Bus,
        table: Table,
        ports: dict[str, object],
        *,
        app: Any,
        guard: Guard,
        check: Check,
        checkup: Checkup | None,
    ) -> None:
        settings = bus.settings
        limits = limits_of(settings)
        self.app = app
        self.checkup = checkup
        self.name = bus.service
        self.table = table
        self.bus = bus
        self.pause = Pause(limits)
        self.circuits = Circuits(limits)
        self.dead = DeadLetters(bus.pool, bus.outbound, bus.stage, bus.signals)
        window = timedelta(seconds=settings.security_window)
        self.intake = Intake(
            bus.pool,
            table,
            self.dead,
            bus.signals,
            settings.deadline(bus.stage),
            check,
            Refusals(window, settings.security_entries),
            guard,
        )
        self.reporter = Reporter(bus.pool, bus.outbound, bus.signals, window, bus.keys)
        self.worker = Worker(
            bus.pool,
            Calls(table, ports),
            bus.outbound,
            self.dead,
            limits,
            bus.signals,
            self.pause,
            self.circuits,
            Finisher(bus.pool),
            Stalling(bus.pool, bus.outbound, bus.stage, bus.signals),
            Stored(check, bus.service),
        )
        self.orders = Orders(bus.pool, bus.outbound, bus.stage, bus.signals, settings.deadline(bus.stage))
        self.ender = Ender(bus.pool, bus.outbound, bus.stage, bus.signals, settings.poll)
        self.timer = Timer(bus.pool, bus.signals, settings.poll)
        self.cleaner = Cleaner(
            bus.pool, settings.inbox_retention_days, settings.outbox_retention_days, settings.security_retention_days
        )
        self.relay = Relay(schema_of(bus.service), settings, bus.signals)
        self.consumer: Consumer | None = None
        self.broke = asyncio.Event()
        """Set when the first part breaks: the others are being ended, which may take as long as somebody is silent."""

    @property
    def topics(self) -> list[str]:
        """The topics this service reads."""
        return sorted(self._named(topic) for topic in self.table.topics)

    def _named(self, topic: Topic) -> str:
        return topic.named(self.bus.settings.topic_prefix)

    @property
    def _group(self) -> str:
        """The consumer group: of this service in this environment."""
        return f"{self.bus.settings.topic_prefix}{self.name}"

    async def run(self) -> None:
        """Works until cancelled. Raises what broke: the process must end then and be started again."""
        await require_topics(self.bus.settings.brokers, [*self.topics, self._named(Topic.DEAD_LETTERS)])
        self.consumer = Consumer(self._group, self.topics, self.bus.settings, self.intake.store)
        parts: dict[str, Coroutine[Any, Any, None]] = {
            "worker": self.worker.run(),
            "leases": self.worker.keep_leases(),
            "timer": self.timer.run(),
            "ender": self.ender.run(),
            "orders": self.orders.run(),
            "relay": self.relay.run(),
            "cleaner": self.cleaner.run(),
            "reporter": self.reporter.run(),
            "consumer": self._consume(self.consumer),
        }
        if self.checkup is not None:
            parts["checkup"] = self.checkup.run()
        async with asyncio.TaskGroup() as tasks:
            for name, work in parts.items():
                tasks.create_task(self._part(name, work), name=name)

    async def _part(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            if not self.broke.is_set():  # what breaks after it does so because of it
                log.exception("breaking", part=name)
                self.broke.set()
            raise

    async def _consume(self, consumer: Consumer) -> None:
        limit = self.bus.settings.watchdog
        async with consumer.running():
            while True:
                await asyncio.wait([consumer.failed], timeout=min(1.0, limit / 3))
                if consumer.failed.done():
                    consumer.failed.result()
                if (silence := time.monotonic() - consumer.polled_at) > limit:
                    raise TimeoutError(f"no successful poll of Kafka for {silence:.0f} s")

    async def readiness(self) -> Readiness:
        """How the service is now. Raises what the database raises."""
        async with self.bus.pool.acquire() as connection:
            record = await connection.fetchrow(_READINESS)
        polled = self.consumer.polled_at if self.consumer else 0.0
        reason = self.pause.reason
        return Readiness(
            last_poll=time.monotonic() - polled,
            paused=f"{reason.code.value}: {reason.detail}" if reason else None,
            away=self.circuits.away(),
            problems=self.checkup.problems if self.checkup else (),
            **dict(record or {}),
        )


_READINESS = """
select
  (select extract(epoch from now() - min(got_at))::float from inbox where done_at is null and dead_at is null)
      as oldest_undone,
  (select extract(epoch from now() - min(created_at))::float from outbox where sent_at is null) as oldest_unsent,
  (select count(*) from lane where todo > 0 and ready_at > now())::int as backing_off,
  (select count(*) from inbox where dead_at is not null and done_at is null)::int as dead,
  (select coalesce(array_agg(run_id || ': ' || needs), '{}') from (
      select run_id, needs from baton where needs is not null and passed_at is null order by taken_at limit 20) as asked
  ) as needs_operator
"""


def limits_of(settings: ServiceSettings) -> Limits:
    """The worker's limits in a service's settings."""
    return Limits(
        lease=timedelta(seconds=settings.lease),
        attempts=settings.max_attempts,
        claims=settings.max_claims,
        lanes=settings.lanes,
        burst=settings.burst,
        backoff=timedelta(seconds=settings.backoff),
        backoff_max=timedelta(seconds=settings.backoff_max),
        pause=timedelta(seconds=settings.pause),
        pause_max=timedelta(seconds=settings.pause_max),
        circuit=settings.circuit_after,
        poll=settings.poll,
        grace=min(settings.stop_grace, settings.lease / 2),  # leases are not renewed any more meanwhile
    )
