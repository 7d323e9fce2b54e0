"""The provider's workshop: creates trainings, fetches their archives in time, tells about them by webhooks."""

import asyncio
import logging
import secrets
import time
from collections.abc import Callable, Iterator
from typing import Any

from lifemask.sandbox.archive import RefusedError, fetch_archive
from lifemask.sandbox.faults import Faults
from lifemask.sandbox.progress import log_of
from lifemask.sandbox.settings import SandboxSettings
from lifemask.sandbox.store import Store
from lifemask.sandbox.training import (
    TERMINAL,
    Callback,
    Training,
    Trouble,
    completed_at,
    status_of,
)
from lifemask.sandbox.webhooks import Message, Webhooks

_log = logging.getLogger(__name__)

_ID_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_ID_LENGTH = 26
_LOG_PAUSE = 0.5  # seconds between two webhooks about logs, Replicate's own throttle

Render = Callable[[Training, float], dict[str, Any]]
"""A training as the API shows it at a moment, which is also the body of its webhooks."""


class Trainer:
    """All trainings, in memory and on disk, each followed by a task of its own until nothing more can happen to it."""

    def __init__(self, store: Store, settings: SandboxSettings, faults: Faults, webhooks: Webhooks) -> None:
        self._store = store
        self._settings = settings
        self._faults = faults
        self._webhooks = webhooks
        self._archives = store.folder("archives")
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self._changed: dict[str, asyncio.Event] = {}
        self.render: Render = lambda training, _: {"id": training.id}
        kept = sorted(map(Training.model_validate, store.load_all("trainings")), key=lambda each: each.number)
        self.trainings: dict[str, Training] = {training.id: training for training in kept}

    def start(self) -> None:
        """Follows what is unfinished; what the task had done before a crash is done again or recognised as done."""
        for training in self.trainings.values():
            if not training.callback.settled:
                self._follow(training)

    async def stop(self) -> None:
        under_way = [*self._tasks.values(), *self._telling]
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)

    def create(self, *, model: str, version: str, destination: str, body: dict[str, Any]) -> Training:
        """Records a training; from here on it is billed."""
        taken = self._faults.take("training")
        timing = taken.get("timing")
        queue = timing.queue_seconds if timing and timing.queue_seconds is not None else self._settings.queue_seconds
        seconds = timing.seconds if timing and timing.seconds is not None else self._settings.training_seconds
        training = Training(
            id="".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_LENGTH)),
            number=next((each.number for each in self.newest_first()), 0) + 1,
            model=model,
            version=version,
            destination=destination,
            input=body.get("input", {}),
            webhook=body.get("webhook"),
            events=body.get("webhook_events_filter") or ["start", "output", "logs", "completed"],
            created_at=time.time(),
            queue_seconds=queue,
            seconds=seconds,
            trouble=Trouble(
                error=taken["fail"].error if "fail" in taken else None, foreign_weights="foreign_weights" in taken
            ),
            callback=Callback(id=f"msg_{secrets.token_urlsafe(18)}"),
        )
        self.trainings[training.id] = training
        self._save(training)
        self._follow(training)
        return training

    def cancel(self, training: Training) -> None:
        """Ends it now; a training that has ended stays as it is."""
        now = time.time()
        if status_of(training, now) not in TERMINAL:
            training.canceled_at = now
            self._save(training)
            self._changed[training.id].set()

    def newest_first(self) -> Iterator[Training]:
        yield from reversed(self.trainings.values())

    def _follow(self, training: Training) -> None:
        self._changed[training.id] = asyncio.Event()
        task = asyncio.create_task(self._run(training), name=f"training {training.id}")
        self._tasks[training.id] = task
        task.add_done_callback(lambda _: self._forget(training.id))

    def _forget(self, training: str) -> None:
        task = self._tasks.pop(training)
        self._changed.pop(training)
        if not task.cancelled() and (error := task.exception()):
            _log.error("training %s is no longer followed", training, exc_info=error)

    async def _run(self, training: Training) -> None:
        if not self._is_over(training):
            await self._pause_until(training, training.starts_at)
        if training.archive is None and not self._is_over(training):
            await self._start(training)
        await self._train(training)
        await self._finish(training)

    async def _start(self, training: Training) -> None:
        self._mention(training, "start")
        fetching = asyncio.create_task(
            fetch_archive(training.input["input_images"], self._settings, self._archives), name="fetch"
        )
        canceling = asyncio.create_task(self._changed[training.id].wait(), name="cancel")
        try:
            await asyncio.wait({fetching, canceling}, return_when=asyncio.FIRST_COMPLETED)
            if fetching.done() and training.canceled_at is None:  # both may come at once, and what is over is billed
                training.archive = fetching.result()
        except RefusedError as error:
            training.refused, training.refused_at = str(error), time.time()
        finally:
            fetching.cancel()
            canceling.cancel()
            await asyncio.gather(fetching, canceling, return_exceptions=True)
        self._save(training)

    async def _train(self, training: Training) -> None:
        told = ""
        while not self._is_over(training):
            now = time.time()
            if "logs" in training.events and (logs := log_of(training, now)) != told:
                told = logs
                self._mention(training, "logs")
            ends = training.ends_at or now
            await self._pause_until(training, min(ends, now + _LOG_PAUSE) if "logs" in training.events else ends)

    async def _finish(self, training: Training) -> None:
        callback = training.callback
        if callback.first_try_at is None:
            if status_of(training, time.time()) == "succeeded":
                self._mention(training, "output")
            callback.first_try_at = time.time()
            self._save(training)
        await self._tell(training, "completed", callback.first_try_at + self._settings.webhook_retry_seconds)
        callback.settled = True
        self._save(training)

    def _mention(self, training: Training, event: str) -> None:
        """Sends a webhook once and does not wait: a slow receiver must not hold up the training."""
        telling = asyncio.create_task(self._tell(training, event), name=f"webhook {event} {training.id}")
        self._telling.add(telling)
        telling.add_done_callback(self._telling.discard)

    async def _tell(self, training: Training, event: str, retry_until: float = 0.0) -> None:
        if training.webhook is None or event not in training.events:
            return
        now = time.time()
        other = next((each for each in self.newest_first() if each.id != training.id), None)
        payload = self.render(training, now)
        made_up = "".join(reversed(training.id))
        message = Message(
            id=training.callback.id if event == "completed" else f"msg_{secrets.token_urlsafe(18)}",
            training=training.id,
            event=event,
            url=training.webhook,
            payload=payload,
            foreign=self.render(other, now) if other else payload | {"id": made_up},
            retry_until=retry_until,
        )
        await self._webhooks.send(message)

    async def _pause_until(self, training: Training, moment: float) -> None:
        """Until `moment`, or until the training is canceled."""
        left = moment - time.time()
        if left > 0 and training.canceled_at is None:
            try:
                async with asyncio.timeout(left):
                    await self._changed[training.id].wait()
            except TimeoutError:
                return

    @staticmethod
    def _is_over(training: Training) -> bool:
        return completed_at(training, time.time()) is not None

    def _save(self, training: Training) -> None:
        self._store.save(f"trainings/{training.id}.json", training.model_dump(mode="json"))
