"""Gathers what the sweep compares. The outside is read before the database: what is outside was stored here before."""

import asyncio
import gc
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from lifemask.audit.case import Case, Row
from lifemask.audit.hub import Hub
from lifemask.audit.inventory import Inventory, Rows, read_all_rows, read_names
from lifemask.audit.judging import Trusted
from lifemask.audit.links import judge_links
from lifemask.audit.provider import Provider
from lifemask.audit.records import open_database
from lifemask.audit.stored import read_file
from lifemask.custody.steps import PUBLICATION
from lifemask.custody.verify import Place
from lifemask.objects.port import ObjectStore

_AT_ONCE: Final = 16
"""Chains read at once."""


@dataclass(frozen=True, slots=True)
class Everywhere:
    """Where the sweep looks. `destination` is the model `owner/name` that all trainings go to."""

    database: str
    objects: ObjectStore
    hub: Hub | None
    namespace: str
    provider: Provider | None
    destination: str


async def take_inventory(where: Everywhere, trusted: Trusted) -> Inventory:
    """Reads everything once. Raises Unreachable."""
    async with open_database(where.database) as connection:
        began: datetime = await connection.fetchval("select now()")
    store = await read_names(where.objects)
    trainings = await where.provider.trainings() if where.provider else None
    versions = await where.provider.versions(where.destination) if where.provider and where.destination else None
    repos = await where.hub.repositories(where.namespace) if where.hub and where.namespace else None
    async with open_database(where.database) as connection:
        rows = await read_all_rows(connection)
    unseen = [what for what, found in (("the provider", trainings), ("the hub", repos)) if found is None]
    gc.freeze()  # what was read stays until the end: walking it again and again would make many models cost more each
    try:
        broken = await _broken_chains(where.objects, rows, trusted)
    finally:
        gc.unfreeze()
    return Inventory(began, rows, store, trainings, versions, repos, broken, unseen)


async def _broken_chains(objects: ObjectStore, rows: Rows, trusted: Trusted) -> dict[str, str]:
    """The models whose statements do not hold together; the bytes of photos and weights are left to single audits."""
    succeeded = {(r["user_id"], r["run_id"]): r["number"] for r in rows.attempts if r["state"] == "succeeded"}
    broken: dict[str, str] = {}
    models = iter([row for row in rows.models if row["revoked_at"] is None])

    async def work() -> None:
        for row in models:
            attempt = succeeded.get((row["user_id"], row["run_id"]), 1)
            if why := await _problem(objects, row, attempt, trusted):
                broken[row["model_id"]] = why

    await asyncio.gather(*(work() for _ in range(_AT_ONCE)))
    return broken


async def _problem(objects: ObjectStore, row: Row, attempt: int, trusted: Trusted) -> str | None:
    place = Place(row["user_id"], row["run_id"], attempt)
    files = {key: await read_file(objects, key) for key in dict.fromkeys(place.files(PUBLICATION))}
    case = Case(row["model_id"], place.user, place.run, attempt, files)
    chained = judge_links(case, trusted, row["ready_at"])
    last = chained.link(PUBLICATION)
    if last is None:
        return next(one.finding.why for one in chained.judged if one.link is None)
    if last.fields.model != row["model_id"] or last.fields.version != row["version"]:
        return "its publication is of another model"
    return "its weights are others than the row says" if last.subject != row["weights"] else None
