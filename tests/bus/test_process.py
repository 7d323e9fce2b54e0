"""How a service's process starts, tells how it is, and ends."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager

import asyncpg
import httpx
import pytest
from tests.bus.a_service import STUCK
from tests.bus.lab import Lab, Script, record
from tests.bus.running import a_broker, as_owner, running, send, settings_for, until
from tools.proxy import Fault, before_brokers, proxies

from lifemask.bus.outcomes import Outcome, on
from lifemask.bus.rows import Pool
from lifemask.bus.service import open_bus
from lifemask.cli.embedded.broker import MockBroker
from lifemask.contracts import DatasetSealed, PhotoJudged, PhotosValidated, Stage
from lifemask.testkit.events import a_run, an_event

pytestmark = pytest.mark.slow

Make = Callable[[str], Awaitable[str]]


async def look(event: PhotoJudged) -> Sequence[Outcome]:
    return []


@contextmanager
def a_process(**settings: str) -> Iterator["subprocess.Popen[bytes]"]:
    variables = {f"LIFEMASK_{name.upper()}": value for name, value in settings.items()}
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.bus.a_service"], env={**os.environ, **variables}, stderr=subprocess.PIPE
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def a_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def of(broker: MockBroker, dsn: str) -> dict[str, str]:
    quick = {"kafka_session_timeout_ms": "2000", "kafka_heartbeat_ms": "400", "kafka_fetch_wait_ms": "20"}
    return {"kafka": broker.bootstrap, "postgres": dsn, "port": str(a_port()), **quick}


async def ended(process: "subprocess.Popen[bytes]") -> tuple[int, str]:
    _, errors = await asyncio.to_thread(process.communicate, timeout=20)
    return process.returncode, errors.decode()


async def test_a_service_tells_how_it_is_and_stops_when_asked(database: Make) -> None:
    with a_broker() as broker:
        settings = of(broker, await database("packager"))
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{settings['port']}") as client:
            with a_process(**settings) as process:
                await until(lambda: answers(client, "/readyz"))
                assert (await client.get("/healthz")).json() == {"service": "packager", "status": "alive"}
                report = (await client.get("/readyz")).json()
                assert report["ready"] is True
                assert report["dead"] == 0
                assert (await client.get("/elsewhere")).status_code == 404
                asked = time.monotonic()
                process.send_signal(signal.SIGTERM)
                code, errors = await ended(process)
                assert time.monotonic() - asked < 2
    assert code == 0, errors
    assert json.loads(errors.strip().splitlines()[-1])["event"] == "stopped"


async def answers(client: httpx.AsyncClient, path: str) -> bool:
    try:
        return (await client.get(path)).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(("name", "value"), [("port", "many"), ("max_attempts", "0"), ("topic_prefix", "a b")])
async def test_a_wrong_setting_is_named_and_its_value_is_not(name: str, value: str) -> None:
    with a_process(**{name: value}) as process:
        code, errors = await ended(process)
    assert code == 3
    (line,) = errors.strip().splitlines()
    assert line.startswith(f"packager: setting LIFEMASK_{name.upper()}: ")


async def test_a_process_without_its_database_or_port_ends_with_a_reason(database: Make) -> None:
    with a_process(postgres="postgresql://127.0.0.1:1/none", port="0") as process:
        code, errors = await ended(process)
    assert code == 1
    assert "ConnectionRefusedError" in errors
    with socket.create_server(("127.0.0.1", 0)) as taken, a_process(port=str(taken.getsockname()[1])) as process:
        code, errors = await ended(process)
    assert code == 1
    assert json.loads(errors.strip().splitlines()[-1])["exception"].startswith("OSError")


async def test_brokers_that_fall_silent_cannot_keep_a_process_from_its_end(database: Make, postgres: str) -> None:
    with a_broker() as broker, proxies(kafka=broker.bootstrap) as made:
        settings = of(broker, dsn := await database("packager")) | {"kafka": before_brokers(made)}
        admin = await asyncpg.connect(as_owner(postgres, dsn))
        with a_process(**settings, watchdog="2", stop_grace="0") as process:
            await send(broker, [record(an_event(PhotosValidated, **a_run()))])
            await until(lambda: admin.fetchval("select count(*) from packager.outbox where sent_at is not null"))
            made["kafka"].both(Fault(silent=True))
            code, errors = await ended(process)
        await admin.close()
    assert code == 1
    assert "no successful poll of Kafka" in errors


async def test_what_never_ends_cannot_keep_a_broken_process_alive(database: Make, postgres: str) -> None:
    """A handler that cannot be cancelled works; then the relay loses its connection."""
    with a_broker() as broker:
        settings = of(broker, dsn := await database("packager"))
        admin = await asyncpg.connect(as_owner(postgres, dsn))
        with a_process(**settings, stop_grace="0") as process:
            await send(broker, [record(an_event(PhotosValidated, **a_run(), received=STUCK))])
            await until(lambda: admin.fetchval("select count(*) from packager.inbox where claims > 0"))
            await admin.execute("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
            code, errors = await ended(process)
        await admin.close()
    said = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert (code, said[-1]["event"]) == (1, "end_forced")
    (breaking,) = [each for each in said if each["event"] == "breaking"]
    assert breaking["part"] == "relay"
    assert "relay.py" in breaking["exception"]


async def test_a_consumer_that_hears_nothing_ends_the_service(database: Make) -> None:
    with a_broker() as broker:
        settings = settings_for(broker, await database("packager"), watchdog=1.0)
        async with open_bus("packager", Stage.PACKAGE, settings) as bus:
            async with running(bus.serve([on(PhotoJudged, look)])) as task:
                await send(broker, [record(an_event(PhotoJudged, **a_run()))])
                await until(lambda: bus.pool.fetchval("select count(*) from inbox where done_at is not null"))
                broker.set_down()
                await asyncio.wait([task], timeout=10)
            problem = task.exception()
    assert isinstance(problem, ExceptionGroup)
    assert problem.subgroup(TimeoutError) is not None


@pytest.mark.parametrize("table", ["reminder", "baton", "lane", "outbox"])
async def test_a_part_that_breaks_ends_the_service(database: Make, postgres: str, table: str) -> None:
    dsn = await database("packager")
    admin = await asyncpg.connect(as_owner(postgres, dsn))
    with a_broker() as broker:
        async with open_bus("packager", Stage.PACKAGE, settings_for(broker, dsn)) as bus:
            async with running(bus.serve([on(PhotoJudged, look)])) as task:
                await send(broker, [record(an_event(PhotoJudged, **a_run()))])
                await until(lambda: bus.pool.fetchval("select count(*) from inbox where done_at is not null"))
                await admin.execute(f"alter table packager.{table} rename to away")
                await asyncio.wait([task], timeout=10)
            assert isinstance(task.exception(), ExceptionGroup)
    await admin.close()


async def test_a_stop_lets_handlers_finish(pool: Pool) -> None:
    lab = Lab.of(pool, Script(gate=asyncio.Event()))
    await lab.receive(an_event(PhotosValidated, **a_run()))
    working = asyncio.create_task(lab.service.worker.run())
    await lab.script.entered.wait()
    working.cancel()
    await asyncio.sleep(0)
    assert lab.script.gate is not None
    lab.script.gate.set()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert await lab.kinds() == ["DatasetSealed"]


async def test_a_handler_that_takes_too_long_for_a_stop_gives_its_lane_back(pool: Pool) -> None:
    lab = Lab.of(pool, Script(gate=asyncio.Event()), stop_grace=0.01)
    await lab.receive(an_event(PhotosValidated, **a_run()))
    working = asyncio.create_task(lab.service.worker.run())
    await lab.script.entered.wait()
    working.cancel()
    with pytest.raises(asyncio.CancelledError):
        await working
    assert await lab.count("claims = 0 and attempts = 0") == 1
    following = Lab.of(pool)
    await following.settle()  # no lease to wait for
    assert await following.kinds() == ["DatasetSealed"]


async def test_stops_under_load_lose_nothing_and_do_nothing_twice(pool: Pool) -> None:
    script, runs = Script(), [a_run() for _ in range(40)]
    first = Lab.of(pool, script)
    await first.receive(*(an_event(PhotosValidated, **run) for run in runs))
    for grace in (0.0, 4.0, 0.0):
        script.entered.clear()
        working = asyncio.create_task(Lab.of(pool, script, lanes=4, burst=2, stop_grace=grace).service.worker.run())
        await script.entered.wait()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working
        assert await first.count("done_at is not null") < len(runs), "it was stopped in the middle"
        assert await first.count("done_at is null and (claims > 0 or attempts > 0)") == 0
        assert await pool.fetchval("select count(*) from lane where todo > 0 and ready_at > now()") == 0
    await first.settle()
    facts = [fact for fact in await first.facts() if isinstance(fact, DatasetSealed)]
    assert sorted(fact.run_id for fact in facts) == sorted(run["run_id"] for run in runs)
    assert len(await first.facts()) == len(runs)
