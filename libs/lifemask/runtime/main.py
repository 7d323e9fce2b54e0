"""A service's process: settings, logs, telemetry, then the service and its HTTP server until a signal comes.

Exit codes: 0 stopped on request, 1 something essential broke (the supervisor starts it again) or did not stop in time,
3 a setting is wrong.
"""

import asyncio
import gc
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, Protocol, TypeVar

import structlog
import uvicorn
from pydantic import ValidationError
from pydantic_settings import SettingsError

from lifemask.runtime import logs, telemetry
from lifemask.runtime.health import health_app
from lifemask.runtime.serving import bounded
from lifemask.runtime.settings import ServiceSettings
from lifemask.runtime.watch import die_with_parent, end_within

log = structlog.get_logger()

_CLOSING: Final = 6.0
"""Seconds for connections to be closed, after the grace of handlers at work."""

S = TypeVar("S", bound=ServiceSettings)


class Runnable(Protocol):
    """A service as its wiring yields it."""

    app: Any
    broke: asyncio.Event
    """Set as soon as something essential breaks; `run` raises it once everything else has ended."""

    async def run(self) -> None:
        """Works until cancelled; raises what broke."""

    async def readiness(self) -> Any:
        """A report with a method `ready`."""


def run(name: str, wiring: Callable[[S], AbstractAsyncContextManager[Runnable]], settings_type: type[S]) -> None:
    """Runs a service until SIGTERM or SIGINT and ends the process."""
    gc.freeze()  # modules and models live to the end: walking them again costs 0.2 s of every stop, and pauses before
    gc.enable()  # it rested while they were loaded
    try:
        settings = settings_type()
    except (ValidationError, SettingsError) as problem:
        for line in complaints(settings_type, problem):
            print(f"{name}: {line}", file=sys.stderr)  # noqa: T201  logging is not set up yet
        sys.exit(3)
    logs.configure(name, settings.log_level)
    provider = telemetry.configure(name)
    die_with_parent(settings.watch_fd)
    try:
        code = asyncio.run(_serve(name, wiring, settings))
    finally:
        provider.shutdown()
    sys.exit(code)


def complaints(settings_type: type[ServiceSettings], problem: ValidationError | SettingsError) -> Iterator[str]:
    """One line for each wrong setting: the variable's name and what is wrong with it, never its value."""
    if isinstance(problem, SettingsError):
        yield f"a setting cannot be read: {problem}"
        return
    for error in problem.errors():
        if not error["loc"]:  # several settings that do not go together; the message names them
            yield error["msg"].removeprefix("Value error, ")
            continue
        name = str(error["loc"][0])
        if name in settings_type.model_fields:
            name = f"{settings_type.model_config.get('env_prefix', '')}{name}"
        yield f"setting {name.upper()}: {error['msg']}"


async def _serve(name: str, wiring: Callable[[S], AbstractAsyncContextManager[Runnable]], settings: S) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        with _listening(settings) as listener:
            async with wiring(settings) as service:
                log.info("starting", port=listener.getsockname()[1])
                ending = asyncio.create_task(_end_soon(service.broke, settings.stop_grace + _CLOSING))
                await _until(stop, service.broke, service.run(), _http(name, service, settings, listener))
                await ending
    except Exception as problem:
        log.exception("broken", problem=type(problem).__name__)
        return 1
    log.info("stopped")
    return 0


async def _end_soon(over: asyncio.Event, seconds: float) -> None:
    """Whatever keeps the process from its end, it has so many seconds left once it breaks or is asked to stop."""
    await over.wait()
    end_within(seconds)


async def _until(stop: asyncio.Event, over: asyncio.Event, *works: Any) -> None:
    """Runs `works` until `stop`, then sets `over`; raises when one of them ends before."""
    tasks = [asyncio.create_task(work) for work in works]
    stopped = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([stopped, *tasks], return_when=asyncio.FIRST_COMPLETED)
    over.set()
    for task in (stopped, *tasks):
        task.cancel()
    await asyncio.gather(stopped, *tasks, return_exceptions=True)
    if stopped in done:
        return
    for task in done:
        task.result()
    raise RuntimeError("a part of the service ended by itself")


def _listening(settings: ServiceSettings) -> socket.socket:
    """The bound socket. Raises OSError when the port is taken; uvicorn alone would end the process without a word."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    listener = socket.create_server((settings.host, settings.port), family=family)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # inherited; else a kept connection waits 40 ms
    return listener


async def _http(name: str, service: Runnable, settings: ServiceSettings, listener: socket.socket) -> None:
    app = health_app(name, service.readiness, settings.watchdog, service.app)
    config = uvicorn.Config(
        app,
        http=bounded(settings.connections, settings.head_timeout),
        log_config=None,  # its own handlers would write past ours
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=2,
    )
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([listener]))  # noqa: SLF001  serve() would take our signal handlers away
    try:
        await asyncio.shield(serving)
    except asyncio.CancelledError:
        server.should_exit = True
        with suppress(Exception):
            await serving
        raise
