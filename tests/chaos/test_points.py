"""Every outside call has its row: a new one without a crash that is played, or a reason, is a failure here."""

import ast
import asyncio
from pathlib import Path
from typing import Final

import pytest
from tests.chaos.calls import IN_MEMORY, SERVICES, calls_of, sources
from tests.chaos.crashing import HOLD, Point, Points
from tests.chaos.points import SCENARIOS, Unplayed, played, table

CLIENTS: Final = frozenset(
    {"asyncpg", "aiokafka", "faststream", "httpx", "aioboto3", "aiobotocore", "aiosmtplib", "replicate"}
    | {"huggingface_hub", "aiohttp", "confluent_kafka", "smtplib", "requests"}
)
"""Libraries that talk to somebody outside."""
KNOWN: Final = {
    "lifemask.bus.checking": "is given a connection",
    "lifemask.bus.consumer": "bus.poll and bus.ack",
    "lifemask.bus.undecodable": "takes apart what was polled",
    "lifemask.bus.topics": "reads, before anything is done",
    "lifemask.bus.topic_settings": "reads, for doctor and migrate",
    "lifemask.bus.letters": "of operators' commands",
    "lifemask.bus.migrate": "of operators' commands",
    "lifemask.bus.ordering": "of operators' commands",
    "lifemask.bus.revisions": "of operators' commands",
    "lifemask.bus.passwords": "of operators' commands",
    "lifemask.objects.s3_trial": "the probe, which changes nothing but its own key",
    "lifemask.ingest.wiring": "opens a client",
}
"""Modules with a client of the outside and without a crash point of their own, and why."""


@pytest.mark.parametrize("service", SERVICES)
def test_every_outside_call_has_a_row_and_every_row_a_call(service: str) -> None:
    calls = [call.label for call in calls_of(service)]
    assert len(calls) == len(set(calls)), "two calls of one name"
    assert set(calls) == table()[service].keys()


def test_a_row_names_a_scenario_or_a_reason() -> None:
    rows = {scenario for rows in table().values() for scenario in rows.values()}
    assert all(row in SCENARIOS or isinstance(row, Unplayed) for row in rows)


def test_every_module_that_talks_to_the_outside_is_known() -> None:
    pointed = {call.module for service in SERVICES for call in calls_of(service)}
    pointed |= {"lifemask.bus.relay", "lifemask.objects.local", "lifemask.objects.s3", "lifemask.objects.s3_upload"}
    strangers = {
        module
        for package in ("lifemask.bus", "lifemask.objects", *(f"lifemask.{service}" for service in SERVICES))
        for module, path in sources(package)
        if _talks(path) and module not in pointed | KNOWN.keys() | IN_MEMORY
    }
    assert strangers == set()


def test_a_call_that_is_new_is_found(tmp_path: Path) -> None:
    fresh = tmp_path / "fresh.py"
    fresh.write_text("import httpx\n\nasync def ask(http):\n    return await http.get('/')\n")
    assert _talks(fresh)
    fresh.write_text("import httpx\n\ndef client():\n    return httpx.AsyncClient()\n")
    assert not _talks(fresh)


def test_a_point_strikes_at_its_hit_and_once(tmp_path: Path) -> None:
    points, dead = Points(tmp_path), Points(tmp_path)
    points.arm("trainer.after_create", 3, HOLD)
    assert [dead.hit("trainer.after_create") for _ in range(2)] == [None, None]
    assert not points.has_fired("trainer.after_create", 3)
    assert dead.hit("trainer.after_create") == HOLD
    assert points.has_fired("trainer.after_create", 3)
    assert dead.hit("trainer.after_create") is None
    points.arm_once("trainer.after_create", 3)
    assert not points.disarm("trainer.after_create")
    assert points.seen() == {"trainer.after_create"}


async def test_whoever_is_held_goes_on_once_released(tmp_path: Path) -> None:
    points = Points(tmp_path)
    points.arm("publisher.after_commit", 1, HOLD)
    held = asyncio.create_task(Point(Points(tmp_path), "publisher.after_commit").passed())
    assert not (await asyncio.wait([held], timeout=0.2))[0]
    points.release("publisher.after_commit")
    await held


def test_most_points_are_played() -> None:
    assert sum(1 for service in SERVICES for _ in played(service)) > 700


def _talks(path: Path) -> bool:
    """Whether a module imports a client of the outside and waits for anything."""
    tree = ast.parse(path.read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    waits = any(isinstance(node, ast.Await | ast.AsyncWith | ast.AsyncFor) for node in ast.walk(tree))
    return waits and bool({name.partition(".")[0] for name in names} & CLIENTS)
