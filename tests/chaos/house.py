"""A whole system in which anything may be ended, frozen or set wrong, and what is needed to do so."""

import asyncio
import base64
import contextlib
import hashlib
import json
import os
import secrets
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import httpx
import psutil  # type: ignore[import-untyped]  # brings no types
from tests.chaos.arms import WITHOUT
from tests.chaos.clock import set_clock
from tests.chaos.crashing import FOLDER, Points
from tests.one_machine.waiting import is_running, wait_until
from tests.system.asking import ask
from tests.system.checker import broken
from tests.system.history import History
from tests.system.listener import Listener, listening
from tests.system.outside import Outside
from tests.system.photos import SECRET_DEVICE, SECRET_PLACE
from tests.system.reading import Reading, read_history
from tests.system.stack import Stack

from lifemask.runtime.watch import WATCH_FD_VARIABLE
from lifemask.testkit.keys import signing_keys

APP: Final = "acme"
OTHER: Final = "other"
"""Another app, which must see nothing of the first one's."""
ROOT: Final = Path(__file__).parents[2]
ENTRY: Final = Path(__file__).parent / "entry"
LEASE: Final = 3.0
PATIENT: Final = {
    "LIFEMASK_LEASE": f"{LEASE:g}",
    # Whoever is killed at one message again and again shall not take it for poison.
    "LIFEMASK_MAX_CLAIMS": "10000",
    "LIFEMASK_MAX_ATTEMPTS": "100",
    # Only how long is waited: what is decided stays the same.
    "LIFEMASK_REPOST_AFTER": "2",
    "LIFEMASK_LOOK_MAX": "2",
    "LIFEMASK_RECONCILE_MAX": "1",
    "LIFEMASK_WATCH_MAX": "2",
    "LIFEMASK_BACKOFF_MAX": "3",
    "LIFEMASK_PAUSE": "1",
    "LIFEMASK_PAUSE_MAX": "3",
    "LIFEMASK_LATE_WORK_MINUTES": "0.3",
    "LIFEMASK_AUDIT_EVERY": "0",
}
"""So that a system that is killed a thousand times comes to rest within seconds. Late work is deleted once it is later
than the longest freeze, and what a worker does after it, can make it."""


class NotSound(AssertionError):
    """The checker found violations. The text names each."""


@dataclass
class House:
    """A running system. `spares` are further processes of services, which take over from frozen ones."""

    stack: Stack
    key: str
    other_key: str
    listener: Listener
    points: Points
    crashes: Path
    http: httpx.AsyncClient
    reading: Reading
    spares: list[subprocess.Popen[bytes]] = field(default_factory=list)
    known: set[str] = field(default_factory=set)
    """Violations that were told already."""

    @property
    def brokers(self) -> list[str]:
        return (self.reading.settings.get("LIFEMASK_KAFKA") or self.stack.kafka).split(",")

    @property
    def prefix(self) -> str:
        return self.reading.settings.get("LIFEMASK_TOPIC_PREFIX", "")

    @property
    def objects_url(self) -> str:
        return self.reading.settings.get("LIFEMASK_OBJECTS") or (self.stack.data / "objects").resolve().as_uri()

    @property
    def outside(self) -> Outside:
        return Outside(self.http, self.stack.sandbox)

    async def start(self) -> None:
        """Starts the system again, with the same data, however long that takes on a busy machine."""
        try:
            await asyncio.to_thread(self.stack.start)
        except AssertionError:
            if not self.stack.is_up:
                raise
            await asyncio.to_thread(wait_until, self.stack._is_announced, 120)

    def pid_of(self, service: str) -> int:
        """Of the service's process under the supervisor; 0 while there is none."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return self.stack.pid_of(service) if self.stack.is_up else 0
        return 0

    def signal(self, service: str, number: signal.Signals) -> int:
        """Sends it; returns the pid, or 0 when nobody was there."""
        if pid := self.pid_of(service):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
                return pid
        return 0

    async def kill_supervisor(self) -> None:
        left = self.stack.kill_supervisor()
        await asyncio.to_thread(wait_until, lambda: not any(map(is_running, left)), 20)
        await self.start()

    async def kill_all(self) -> None:
        for spare in self.spares:
            spare.kill()
        await asyncio.to_thread(self.stack.kill_all)
        await self.start()

    def set_clock(self, service: str, seconds: float) -> None:
        set_clock(self.crashes, service, seconds)

    def spare(self, service: str, pid: int) -> subprocess.Popen[bytes]:
        """One more process of a service, with the settings of that of `pid`; it ends with this one."""
        told = (item.partition("=") for item in Path(f"/proc/{pid}/environ").read_text().split("\0") if item)
        watched, self._held = os.pipe()
        env = {name: value for name, _, value in told} | {"LIFEMASK_PORT": "0", WATCH_FD_VARIABLE: str(watched)}
        with (self.stack.data / "logs" / f"{service}.spare.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", f"lifemask.{service}"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                pass_fds=(watched,),
                start_new_session=True,
            )
        os.close(watched)
        self.spares.append(process)
        return process

    def end_spares(self) -> None:
        for spare in self.spares:
            spare.kill()
            spare.wait()
        self.spares.clear()

    async def history(self, seconds: float = 90.0) -> History:
        """Everything there is once nothing moves any more; also what logs and spans say."""
        history = await read_history(self.stack, self.outside, seconds, self.reading)
        await ask(history, self.stack.url, {APP: self.key, OTHER: self.other_key})
        logs = (self.stack.data / "logs").glob("*.log*")
        history.places |= {f"log of {path.name}": path.read_bytes() for path in logs if "sandbox" not in path.name}
        history.places["spans"] = b"\n".join(self.listener.raw_spans)
        history.canaries |= {
            "app key": self.key,
            "provider's token": "r8_sandbox_lifemask",
            "hub's token": "hf_sandbox_lifemask",
            "EXIF": SECRET_DEVICE,
            "GPS": SECRET_PLACE,
        }
        return history

    async def violations(self, history: History) -> list[str]:
        """What the checker finds and has not found before."""
        found = [each for each in broken(history) if each not in self.known]
        self.known.update(found)
        return found


@asynccontextmanager
async def a_house(
    folder: Path, settings: Mapping[str, str] | None = None, *, without: Sequence[str] = ()
) -> AsyncIterator[House]:
    """A system with its data in `folder`; `without` names safeguards that are taken away."""
    key, other_key = (f"lm_{secrets.token_urlsafe(32)}" for _ in range(2))
    crashes = folder / "crashes"
    points = Points(crashes)
    with listening() as listener:
        (apps := folder / "apps.json").write_text(
            json.dumps({APP: _app(APP, key, listener), OTHER: _app(OTHER, other_key, listener)})
        )
        told = {
            **PATIENT,
            "LIFEMASK_APPS": str(apps),
            "LIFEMASK_APP": APP,
            "LIFEMASK_APP_KEY": key,
            "OTEL_EXPORTER_OTLP_ENDPOINT": listener.url,
            "PYTHONPATH": f"{ENTRY}{os.pathsep}{ROOT}",
            FOLDER: str(crashes),
            WITHOUT: ",".join(without),
            **(settings or {}),
        }
        stack = Stack(folder, told)
        async with httpx.AsyncClient(trust_env=False, timeout=20) as http:
            house = House(stack, key, other_key, listener, points, crashes, http, Reading(settings=told))
            try:
                await house.start()
                yield house
            finally:
                house.end_spares()
                await asyncio.to_thread(stack.stop)


def _app(name: str, key: str, listener: Listener) -> dict[str, object]:
    return {
        "key_sha256": hashlib.sha256(key.encode()).hexdigest(),
        "webhook_url": f"{listener.url}/hook/{name}",
        "webhook_secret": "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode(),
        "signing_keys": signing_keys(name),
    }
