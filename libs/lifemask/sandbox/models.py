"""Models and their versions at the provider: what can be a training's destination, what a training left there."""

import time
from typing import Any

from lifemask.sandbox.store import Store
from lifemask.sandbox.trainer import Trainer
from lifemask.sandbox.training import Training, completed_at, status_of, timestamp

MOST_MODELS = 1000
"""An account holds no more."""


class Models:
    """Models by (owner, name). Versions are the succeeded trainings, less those that were deleted."""

    def __init__(self, store: Store, trainer: Trainer) -> None:
        self._store = store
        self._trainer = trainer
        self._models: dict[tuple[str, str], dict[str, Any]] = {}
        for raw in store.load_all("models"):
            self._models[raw["owner"], raw["name"]] = raw

    def __len__(self) -> int:
        return len(self._models)

    def find(self, owner: str, name: str) -> dict[str, Any] | None:
        return self._models.get((owner, name))

    def create(self, owner: str, name: str, visibility: str, hardware: str, description: str | None) -> dict[str, Any]:
        model: dict[str, Any] = {"owner": owner, "name": name, "visibility": visibility, "hardware": hardware}
        model |= {"description": description, "created_at": time.time(), "deleted": []}
        self._models[owner, name] = model
        self._save(model)
        return model

    def versions(self, owner: str, name: str) -> list[Training]:
        """The trainings behind the versions that exist, newest first."""
        now = time.time()
        return [
            training
            for training in self._trainer.newest_first()
            if training.destination == f"{owner}/{name}"
            and status_of(training, now) == "succeeded"
            and not self.is_deleted(training)
        ]

    def is_deleted(self, training: Training) -> bool:
        owner, _, name = training.destination.partition("/")
        model = self.find(owner, name)
        return model is not None and training.model_version in model["deleted"]

    def delete_version(self, training: Training) -> None:
        owner, _, name = training.destination.partition("/")
        model = self._models[owner, name]
        model["deleted"].append(training.model_version)
        self._save(model)

    def _save(self, model: dict[str, Any]) -> None:
        self._store.save(f"models/{model['owner']}~{model['name']}.json", model)


def version_on_the_wire(training: Training) -> dict[str, Any]:
    created = timestamp(completed_at(training, time.time()))
    return {"id": training.model_version, "created_at": created, "cog_version": "0.9.0", "openapi_schema": {}}


def model_on_the_wire(model: dict[str, Any], latest: dict[str, Any] | None) -> dict[str, Any]:
    owner, name = model["owner"], model["name"]
    return {
        "url": f"https://replicate.com/{owner}/{name}",
        "owner": owner,
        "name": name,
        "description": model["description"],
        "visibility": model["visibility"],
        "github_url": None,
        "paper_url": None,
        "license_url": None,
        "run_count": 0,
        "cover_image_url": None,
        "default_example": None,
        "latest_version": latest,
    }
