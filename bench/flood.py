"""What a flood costs everybody else: their p95 at the API with and without it.

    python -m bench.flood

Ingest as a process, with the embedded Kafka and PostgreSQL and a store in a folder. Twenty users ask for their runs and
upload photos of 20 kB, forty calls a second together; then again while somebody else, from a process of its own, sends
requests as fast as sixteen connections get answers: one user of the same app 10,000 times, somebody who calls back
about one training 10,000 times, every other time with a forged signature, and one user the photos of a huge run, 100
times 5 MB. Goal: the others' p95 at most twice that of quiet. The flood's client takes CPU of the same machine; with
more than two cores it would cost the others less.
"""

import asyncio
import base64
import json
import sys
import tempfile
import time
from asyncio.subprocess import PIPE
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path
from typing import Any, Final

import httpx
from bench.machine import embedded, keep_only
from bench.play import photo
from bench.row import Row, beside_quiet, measure, p95_ms
from standardwebhooks.webhooks import Webhook

from lifemask.cli.machine import Machine
from lifemask.contracts import new_id
from lifemask.objects.tokens import Tokens, load_secret
from lifemask.sandbox.settings import SANDBOX_REPLICATE_TOKEN

USERS: Final = 20
PER_SECOND: Final = 40
SECONDS: Final = 15
REQUESTS: Final = 10_000
CONNECTIONS: Final = 16
SIZE: Final = 20_000
HUGE: Final = 5_000_000
"""Bytes of each photo of the huge run."""
A_DRAFT: Final = 8
"""Photos in one draft, the same beside the flood as when quiet; then the next one is begun."""
GOAL: Final = 2.0
Request = Mapping[str, Any]
"""What `httpx.AsyncClient.request` takes, as JSON."""


@dataclass
class Others:
    """Everybody but the flooder."""

    http: httpx.AsyncClient
    answers: Counter[int] = field(default_factory=Counter)
    refused: int = 0
    """Photos that were not received."""
    _drafts: dict[tuple[str, int], str] = field(default_factory=dict)
    _sent: int = 0
    _number: int = 0

    async def p95(self, until: asyncio.Event | None = None) -> float:
        """95th percentile of their calls (ms) during some seconds, or for as long as the flood goes on."""
        found: list[float] = []
        began, first, calls = time.perf_counter(), self._number, []
        while (time.perf_counter() - began < SECONDS) if until is None else not until.is_set():
            due = began + (self._number - first) / PER_SECOND
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            user, turn = f"quiet{self._number % USERS}", self._number // USERS
            calls.append(asyncio.create_task(self._call(user, turn, found)))
            self._number += 1
        await asyncio.gather(*calls)
        return p95_ms(found)

    async def _call(self, user: str, turn: int, found: list[float]) -> None:
        begun = (turn + int(user.removeprefix("quiet"))) // (2 * A_DRAFT)  # not all of them at the same moment
        runs, draft = f"/v1/users/{user}/runs", (user, begun)
        if draft not in self._drafts:
            answer = await self.http.post(runs, json={"name": "Bench"}, headers={"Idempotency-Key": new_id()})
            self._drafts[draft] = answer.json()["id"]
            if before := self._drafts.get((user, draft[1] - 1)):  # a person has not so many open
                await self.http.post(f"{runs}/{before}/cancel")
        began = time.perf_counter()
        if turn % 2:
            answer = await self.http.get(runs)
        else:
            self._sent += 1
            files = [("photos", ("a.jpg", photo(f"{user} {self._sent}", SIZE)))]
            answer = await self.http.post(f"{runs}/{self._drafts[draft]}/photos", files=files)
            self.refused += any(each["status"] != "received" for each in answer.json().get("results", [{"status": ""}]))
        found.append(time.perf_counter() - began)
        self.answers[answer.status_code] += 1


async def flood(times: int, requests: list[Request]) -> Counter[int]:
    """These requests one after the other, and again; how often each status was answered."""
    answers, left = Counter[int](), iter(range(times))
    following = map(_made, cycle(requests))
    limits = httpx.Limits(max_connections=CONNECTIONS)
    async with httpx.AsyncClient(limits=limits, timeout=60, trust_env=False) as http:

        async def one() -> None:
            for _ in left:
                answers[(await http.request(**next(following))).status_code] += 1

        await asyncio.gather(*(one() for _ in range(CONNECTIONS)))
    return answers


def _made(request: Request) -> Request:
    """The photos that a request names are drawn by whoever sends them, and a callback is signed then: it ages."""
    plain = {name: value for name, value in request.items() if name not in {"photos", "secret"}}
    if photos := request.get("photos"):
        plain["files"] = [("photos", (f"{name}.jpg", photo(name, HUGE))) for name in photos]
    if secret := request.get("secret"):
        now = datetime.now(UTC)
        plain["headers"] = {
            "webhook-id": "msg_1",
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign("msg_1", now, request["content"]),
        }
    return plain


async def by_one_run(machine: Machine, http: httpx.AsyncClient) -> list[Request]:
    """All photos of a draft, four in a request."""
    draft = await http.post("/v1/users/huge/runs", json={"name": "Bench"}, headers={"Idempotency-Key": new_id()})
    url = f"{machine.url}/v1/users/huge/runs/{draft.json()['id']}/photos"
    headers = {"Authorization": f"Bearer {machine.app_key}"}
    names = [f"huge {number}" for number in range(100)]
    return [{"method": "POST", "url": url, "headers": headers, "photos": names[at : at + 4]} for at in range(0, 100, 4)]


def by_one_user(machine: Machine) -> list[Request]:
    """With the key that the others have as well."""
    url = f"{machine.url}/v1/users/flooder/runs"
    return [{"method": "GET", "url": url, "headers": {"Authorization": f"Bearer {machine.app_key}"}}]


async def by_callbacks(machine: Machine, http: httpx.AsyncClient) -> list[Request]:
    """About one training of somebody's draft: true ones, of which the first says all there is to say, and forged."""
    draft = await http.post("/v1/users/called/runs", json={"name": "Bench"}, headers={"Idempotency-Key": new_id()})
    until = datetime.now(UTC) + timedelta(hours=1)
    token = Tokens(load_secret(machine.data / "keys")).mint(
        f"{machine.app}.called/{draft.json()['id']}/1", "callback", until
    )
    authorized = {"Authorization": f"Bearer {SANDBOX_REPLICATE_TOKEN}"}
    provider = machine.accounts["replicate"]["url"]
    secret = (await http.get(f"{provider}/v1/webhooks/default/secret", headers=authorized)).raise_for_status().json()
    url = f"{machine.url}/v1/callbacks/replicate/{token}"
    body = json.dumps({"id": "abc123", "status": "processing", "logs": "x" * 20_000})
    secrets = secret["key"], base64.b64encode(b"another secret of 24 byt").decode()
    return [{"method": "POST", "url": url, "content": body, "secret": each} for each in secrets]


async def main() -> list[Row]:
    """The others' p95 quiet and beside each flood, ms."""
    with tempfile.TemporaryDirectory(prefix="lm-bench-", ignore_cleanup_errors=True) as folder:
        async with embedded(Path(folder) / "data") as machine:
            await keep_only(machine, "postgres", "kafka", "ingest", "sandbox")
            headers = {"Authorization": f"Bearer {machine.app_key}"}
            async with httpx.AsyncClient(base_url=machine.url, headers=headers, timeout=60, trust_env=False) as http:
                others = Others(http)
                await others.p95()  # plans and caches are warm
                user, calls = by_one_user(machine), await by_callbacks(machine, http)
                huge = await by_one_run(machine, http)
                return [
                    await beside(others, f"{REQUESTS:,} requests of one user", REQUESTS, user),
                    await beside(others, f"{REQUESTS:,} callbacks about one training", REQUESTS, calls),
                    await beside(others, "100 photos of one run", len(huge), huge),
                ]


async def beside(others: Others, what: str, times: int, requests: list[Request]) -> Row:
    """Quiet, then with the flood."""
    others.answers.clear()
    quiet, over = await others.p95(), asyncio.Event()
    began = time.perf_counter()
    flooding = asyncio.create_task(_flooding(times, requests, over))
    measured = await others.p95(over)
    flooder, seconds = await flooding, time.perf_counter() - began
    facts = {
        "others": dict(others.answers),
        "photos_refused": others.refused,
        "flooder": flooder,
        "flood_seconds": round(seconds, 1),
    }
    return beside_quiet(f"others' p95 beside {what}", measured, quiet, GOAL, facts)


async def _flooding(times: int, requests: list[Request], over: asyncio.Event) -> dict[str, int]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.flood", str(times), stdin=PIPE, stdout=PIPE
    )
    out, _ = await process.communicate(json.dumps(requests).encode())
    over.set()
    found: dict[str, int] = json.loads(out)
    return found


if __name__ == "__main__":
    if sys.argv[1:]:
        print(json.dumps(asyncio.run(flood(int(sys.argv[1]), json.load(sys.stdin)))))
    else:
        measure(main)
