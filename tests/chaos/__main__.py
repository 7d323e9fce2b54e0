"""`make chaos`: seeded kills in waves, with the checker's verdict after each; exit code 1 when anything is violated.

    python -m tests.chaos [--kills 100] [--seed N] [--wave 30] [--points all|SERVICE|POINT,…] [--real] [--report]

Each four waves have a system of their own, so that reading the whole history stays a matter of seconds.
"""

import argparse
import asyncio
import os
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from tests.chaos.calls import SERVICES
from tests.chaos.house import a_house
from tests.chaos.load import Crowd
from tests.chaos.player import Outcome, Play, Player
from tests.chaos.points import played
from tests.chaos.report import DOCUMENT, Summary, written
from tests.chaos.storm import Storm, Wave
from tools.kafka import kafka_cluster
from tools.s3 import running_s3

WAVES = 4
"""In one house."""
NODES = 3


def say(line: object) -> None:
    """At once: somebody watches."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


async def main(arguments: argparse.Namespace) -> int:
    """Prints a line per wave, then what was violated; 1 when anything was."""
    seed = arguments.seed if arguments.seed is not None else secrets.randbelow(1_000_000)
    say(f"seed {seed}: {arguments.kills} kills, {'real' if arguments.real else 'embedded'} parts")
    began = time.monotonic()
    async with _home() as home, _parts(home, real=arguments.real) as settings:
        waves = await _storms(home, settings, arguments.kills, arguments.wave, seed)
        points = await _points(home, settings, arguments.points, seed) if arguments.points else None
    summary = Summary(seed, real=arguments.real, waves=waves, points=points, seconds=time.monotonic() - began)
    say(summary.line())
    if arguments.report:
        DOCUMENT.write_text(written(DOCUMENT.read_text(), summary))
    if points:
        for violation in points.violations:
            say(f"  seed {seed}: {violation}")
    return 1 if summary.violations else 0


async def _storms(home: Path, settings: dict[str, str], kills: int, size: int, seed: int) -> list[Wave]:
    waves: list[Wave] = []
    while (left := kills - sum(wave.kills for wave in waves)) > 0:
        (folder := home / f"storm{len(waves)}").mkdir()
        async with a_house(folder, _own(settings, len(waves))) as house:
            storm = Storm(house, seed + len(waves), Crowd(house, seed + len(waves)))
            for _ in range(WAVES):
                wave = await storm.wave(len(waves) + 1, min(left, size))
                waves.append(wave)
                say(wave)
                for violation in wave.violations:
                    say(f"  seed {seed}: {violation}")
                left -= wave.kills
                if left <= 0 or wave.violations:
                    break
    return waves


async def _points(home: Path, settings: dict[str, str], plays: list[list[Play]], seed: int) -> Outcome:
    (folder := home / "points").mkdir()
    async with a_house(folder, _own(settings, -1)) as house:
        outcome = await Player(house, Crowd(house, seed)).play(plays)
    say(outcome)
    if outcome.missed:
        say(f"  these did not: {', '.join(outcome.missed)}")
    return outcome


def _plays(which: str) -> list[list[Play]]:
    """Of each service: all its points, or those that are named."""
    names = set(SERVICES if which == "all" else which.split(","))
    found = [[play for play in played(service) if names & {service, play[0]}] for service in SERVICES]
    known = {*SERVICES, *(point for service in SERVICES for point, *_ in played(service))}
    if strange := names - known:
        raise SystemExit(f"there is no crash point {', '.join(sorted(strange))}; tests/chaos/points.py has them")
    return [plays for plays in found if plays]


def _own(settings: dict[str, str], number: int) -> dict[str, str]:
    """Real servers serve every house: each has topics and, by its users, objects of its own."""
    return {**settings, "LIFEMASK_TOPIC_PREFIX": f"chaos{number + 1}."} if settings else {}


@asynccontextmanager
async def _home() -> AsyncIterator[Path]:
    """Outside of any folder whose way is closed to the account that serves PostgreSQL."""
    with tempfile.TemporaryDirectory(prefix="lm-chaos-", ignore_cleanup_errors=True) as folder:
        yield _opened(folder)


def _opened(folder: str) -> Path:
    Path(folder).chmod(0o755)
    return Path(folder).resolve()


@asynccontextmanager
async def _parts(home: Path, *, real: bool) -> AsyncIterator[dict[str, str]]:
    """The settings that lead to real Kafka (three nodes) and a real S3; none for the embedded parts."""
    async with AsyncExitStack() as stack:
        settings: dict[str, str] = {}
        if real:
            kafka = await stack.enter_async_context(kafka_cluster(home / "kafka", NODES))
            s3 = await stack.enter_async_context(running_s3(home / "s3"))
            settings = {
                "LIFEMASK_KAFKA": kafka.bootstrap,
                "LIFEMASK_KAFKA_PARTITIONS": "6",
                "LIFEMASK_KAFKA_SESSION_TIMEOUT_MS": "6000",
                **s3.environment(),
            }
            os.environ |= s3.environment()  # the checker reads the store as well
        yield settings


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Kills, freezes and wrong clocks, seeded; then every invariant")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=None, help="the same seed makes the same decisions")
    parser.add_argument("--wave", type=int, default=30, help="kills before everything is looked at")
    parser.add_argument("--points", default=[], type=_plays, help="also crash points: `all`, of services, or these")
    parser.add_argument("--real", action="store_true", help="on real Kafka and versitygw")
    parser.add_argument("--report", action="store_true", help="write the outcome into docs/reliability.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(_arguments())))
