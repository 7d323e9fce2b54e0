"""Gathers what the sweep compares. The outside is read before the database: what is outside was stored here before."""

import gc
from collections.abc import Mapping
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
from lifemask.audit.stored import read_custody
from lifemask.custody.steps import PUBLICATION
from lifemask.custody.verify import Place
from lifemask.objects.keys import Key
from lifemask.objects.port import File, ObjectStore

_AT_ONCE: Final = 16
"""Chains read at once. Threads that read while others are judged would take turns with it, file by file."""


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
    models = [row for row in rows.models if row["revoked_at"] is None]
    broken: dict[str, str] = {}
    for start in range(0, len(models), _AT_ONCE):
        some = [(row, _place(row, succeeded)) for row in models[start : start + _AT_ONCE]]
        files = await read_custody(objects, [key for _, place in some for key in place.files(PUBLICATION)])
        for row, place in some:
            if why := _problem(row, place, files, trusted):
                broken[row["model_id"]] = why
    return broken


def _place(row: Row, succeeded: Mapping[tuple[str, str], int]) -> Place:
    user, run = row["user_id"], row["run_id"]
    return Place(user, run, succeeded.get((user, run), 1))


def _problem(row: Row, place: Place, files: Mapping[Key, File], trusted: Trusted) -> str | None:
    case = Case(row["model_id"], place.user, place.run, place.attempt, files)
    chained = judge_links(case, trusted, row["ready_at"])
    last = chained.link(PUBLICATION)
    if last is None:
        return next(one.finding.why for one in chained.judged if one.link is None)
    if last.fields.model != row["model_id"] or last.fields.version != row["version"]:
        return "its publication is of another model"
    return "its weights are others than the row says" if last.subject != row["weights"] else None
