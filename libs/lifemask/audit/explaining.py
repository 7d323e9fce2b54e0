"""The sweep both ways: what is outside and nothing here explains, and what is claimed here and is not outside. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Final
from urllib.parse import urlsplit

from lifemask.audit.case import Row
from lifemask.audit.inventory import Heap, Inventory
from lifemask.contracts import ModelReady, RunFailed
from lifemask.objects.keys import INCOMING as INCOMING_ROOT
from lifemask.objects.keys import QUARANTINE

SETTLING: Final = timedelta(hours=2)
"""After a run's end its temporary objects, a model's unused places and a withdrawn model go; an hour, and some more."""
KEPT: Final = timedelta(hours=26)
"""Originals stay for a day after a run's end."""
INCOMING: Final = timedelta(days=8)
"""What an app put in and no run took over goes after a week."""
_TEMPORARY: Final = {"clean": SETTLING, "archive": SETTLING, "weights": SETTLING, "original": KEPT}
_LASTING: Final = frozenset({"custody", "names.json", "request.json", "verdicts"})
_LIVE: Final = frozenset({"intended", "published", "withdrawing", "revoking"})
"""States of a publication of which something may lie outside."""
_CENT: Final = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Unexplained:
    """Something that no chain or live run explains, or that is claimed and is not there. `name` may be shown."""

    kind: str
    name: str
    why: str
    bytes: int | None = None
    cost_usd: Decimal | None = None

    def as_fields(self) -> dict[str, Any]:
        """For JSON."""
        fields: dict[str, Any] = {"kind": self.kind, "name": self.name, "why": self.why}
        if self.bytes is not None:
            fields["bytes"] = self.bytes
        if self.cost_usd is not None:
            fields["cost_usd"] = str(self.cost_usd)
        return fields


def explain(inventory: Inventory, price_per_second: Decimal, evidence: timedelta = timedelta(0)) -> list[Unexplained]:
    """Everything that is not explained, in a stable order. `evidence`: how long the objects of failed runs are held."""
    found = [
        *_models(inventory),
        *_runs(inventory),
        *_trainings(inventory, price_per_second),
        *_versions(inventory),
        *_repos(inventory),
        *_places(inventory),
        *_folders(inventory, evidence),
        *_other_objects(inventory),
    ]
    return sorted(found, key=lambda one: (one.kind, one.name))


def _models(all_: Inventory) -> Iterator[Unexplained]:
    """Models that are said to be there: each has a sound chain, a publication, weights, a repository, a training."""
    publications = {(row["user_id"], row["model_id"]): row for row in all_.rows.publications}
    trained = {(row["user_id"], row["run_id"]) for row in all_.rows.attempts if row["state"] == "succeeded"}
    repos = None if all_.repos is None else set(all_.repos)
    for row in all_.rows.models:
        model, who = row["model_id"], (row["user_id"], row["run_id"])
        if row["revoked_at"] is not None or row["ready_at"] >= all_.began:
            continue
        published = publications.get((row["user_id"], model))
        for wrong, why in (
            (model in all_.broken, f"its chain does not hold: {all_.broken.get(model)}"),
            (published is None or published["state"] != "published", "nothing was published under its name"),
            (who not in all_.rows.runs, "there is no such run"),
            (who not in trained, "no training of its run succeeded"),
            ((row["user_id"], model, row["version"]) not in all_.store.places, "its weights are not in the store"),
            (
                repos is not None and row["hub_repo"] and row["hub_repo"] not in repos,
                "its repository is not on the hub",
            ),
        ):
            if wrong:
                yield Unexplained("model", model, why)


def _runs(all_: Inventory) -> Iterator[Unexplained]:
    """No succeeded run without a model."""
    with_model = {(row["user_id"], row["run_id"]) for row in all_.rows.models}
    for (user, run), row in all_.rows.runs.items():
        if row["ended_as"] == ModelReady.ce_type and (user, run) not in with_model:
            yield Unexplained("run", run, "it succeeded, and there is no model")


def _trainings(all_: Inventory, price: Decimal) -> Iterator[Unexplained]:
    if all_.trainings is None:
        return
    booked = {row["training"] for row in all_.rows.trainings} | {row["training"] for row in all_.rows.attempts}
    paths = {urlsplit(row["archive_url"]).path for row in all_.rows.attempts}
    there = set[str]()
    for training in all_.trainings:
        there.add(training.id)
        if training.id not in booked and (training.path is None or training.path not in paths):
            cost = (training.seconds * price).quantize(_CENT)
            yield Unexplained("training", training.id, f"{training.status}; no attempt of ours", cost_usd=cost)
    for row in all_.rows.trainings:
        if row["training"] not in there and row["found_at"] < all_.began:
            why = "in our books, but not at the provider"
            yield Unexplained("training", row["training"], why, cost_usd=row["cost_usd"])


def _versions(all_: Inventory) -> Iterator[Unexplained]:
    if all_.versions is None:
        return
    revoked = {(row["user_id"], row["run_id"]) for row in all_.rows.publications if row["state"] == "revoked"}
    known: dict[str, Row] = {_version_id(row["version"]): row for row in all_.rows.attempts if row["version"]}
    for version in all_.versions:
        row = known.get(version)
        if row is None:
            yield Unexplained("version", version, "no attempt of ours made it")
        elif (row["user_id"], row["run_id"]) in revoked:
            yield Unexplained("version", version, "its model was revoked")


def _version_id(version: str) -> str:
    return version.rpartition(":")[2]


def _repos(all_: Inventory) -> Iterator[Unexplained]:
    by_repo = {row["repo"]: row for row in all_.rows.publications if row["repo"]}
    for repo in all_.repos or ():
        row = by_repo.get(repo)
        if row is None:
            yield Unexplained("repository", repo, "no publication of ours names it")
        elif row["state"] not in _LIVE and _is_old(row["changed_at"], all_.rows.now, SETTLING):
            yield Unexplained("repository", repo, f"its publication is {row['state']}")


def _places(all_: Inventory) -> Iterator[Unexplained]:
    """Versions in the model store."""
    publications = {(row["user_id"], row["model_id"]): row for row in all_.rows.publications}
    for (user, model, place), heap in all_.store.places.items():
        row = publications.get((user, model))
        name = f"{model}/{place}"
        if row is None:
            yield Unexplained("model in the store", name, "no publication of ours names it", heap.bytes)
            continue
        is_published = row["state"] == "published" and row["place"] == place
        is_coming = row["state"] == "intended" and _is_live(all_, (row["user_id"], row["run_id"]))
        if not (is_published or is_coming) and _is_old(row["changed_at"], all_.rows.now, SETTLING):
            why = "an unused try" if row["state"] == "published" else f"its publication is {row['state']}"
            yield Unexplained("model in the store", name, why, heap.bytes)


def _folders(all_: Inventory, evidence: timedelta) -> Iterator[Unexplained]:
    """Objects of runs."""
    for (user, run, folder), heap in all_.store.folders.items():
        row = all_.rows.runs.get((user, run))
        name = f"{user}/{run}/{folder}"
        if row is None:
            yield _heap(name, "there is no such run", heap)
        elif folder in _TEMPORARY:
            ended = row["ended_at"]
            held = evidence if row["ended_as"] == RunFailed.ce_type else timedelta(0)
            if row["over"] and ended and _is_old(ended, all_.rows.now, _TEMPORARY[folder] + held):
                yield _heap(name, f"the run is over since {ended:%Y-%m-%d %H:%M}; it should be gone", heap)
        elif folder not in _LASTING:
            yield _heap(name, "nothing of ours writes there", heap)


def _other_objects(all_: Inventory) -> Iterator[Unexplained]:
    for (user, run), heap in all_.store.quarantined.items():
        row = all_.rows.runs.get((user, run))
        if row is None or row["ended_as"] not in {RunFailed.ce_type, None}:
            yield _heap(f"{QUARANTINE}{user}/{run}", "no refused run explains it", heap)
    for upload, heap in all_.store.incoming.items():
        if heap.newest and _is_old(heap.newest, all_.rows.now, INCOMING):
            yield _heap(f"{INCOMING_ROOT}{upload}", "no run took it over, and it should be gone", heap)
    for key, heap in all_.store.others.items():
        yield _heap(key, "nothing of ours writes there", heap)


def _heap(name: str, why: str, heap: Heap) -> Unexplained:
    return Unexplained("objects", name, f"{heap.objects} objects: {why}", heap.bytes)


def _is_live(all_: Inventory, run: tuple[str, str]) -> bool:
    row = all_.rows.runs.get(run)
    return row is not None and not row["over"]


def _is_old(at: datetime, now: datetime, limit: timedelta) -> bool:
    return now - at > limit
