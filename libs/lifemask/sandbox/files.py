"""The file server, on another host name than the APIs: trainings' outputs and the hub's large files."""

import time

from starlette.concurrency import iterate_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from lifemask.sandbox.faults import Fault
from lifemask.sandbox.rendering import Rendering
from lifemask.sandbox.settings import SandboxSettings
from lifemask.sandbox.trainer import Trainer
from lifemask.sandbox.training import Training
from lifemask.sandbox.weights import OutputTar, Weights, make_weights
from lifemask.sandbox.wire import Wire


def refuse(status: int, fault: Fault) -> Response:
    headers = {"retry-after": str(fault.retry_after)} if status == 429 else None
    return PlainTextResponse("The sandbox was told to refuse this call.", status, headers)


class Outputs:
    """Serves what trainings leave, to whoever knows the URL, until it vanishes."""

    def __init__(self, trainer: Trainer, rendering: Rendering, settings: SandboxSettings) -> None:
        self._trainer = trainer
        self._rendering = rendering
        self._settings = settings

    def routes(self, wire: Wire) -> list[Route]:
        path = "/outputs/{id}/{key}/trained_model.tar"
        return [wire.route("GET", path, "output", self.download, is_file=True)]

    async def download(self, request: Request) -> Response:
        training = self._trainer.trainings.get(request.path_params["id"])
        if (
            training is None
            or request.path_params["key"] != self._rendering.key(training)
            or not self._rendering.is_downloadable(training, time.time())
        ):
            return PlainTextResponse("Not found", 404)
        output = self._output(training)
        headers = {"content-length": str(output.size)}
        if request.method == "HEAD":
            return Response(headers=headers, media_type="application/x-tar")
        return StreamingResponse(
            iterate_in_threadpool(output.chunks()), headers=headers, media_type="application/x-tar"
        )

    def _output(self, training: Training) -> OutputTar:
        if not training.trouble.foreign_weights:
            return self._tar_of(training)
        others = (each for each in self._trainer.newest_first() if each.id != training.id and each.archive)
        other = next(others, None)
        return self._tar_of(other) if other else OutputTar(training, self._weights(f"not {training.id}", training))

    def _tar_of(self, training: Training) -> OutputTar:
        return OutputTar(training, self._weights(training.id, training))

    def _weights(self, seed: str, training: Training) -> Weights:
        return make_weights(seed, training.rank, self._settings.weight_bytes)
