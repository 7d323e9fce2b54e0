"""`/healthz` (the process lives) and `/readyz` (it does its work), in front of a service's own app, if it has one."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route


def health_app(name: str, readiness: Callable[[], Awaitable[Any]], watchdog: float, app: Any = None) -> Starlette:
    """The ASGI app of a service: health first, then everything of `app`.

    `readiness` gives a dataclass, whose fields are shown, with a method `ready(watchdog)`: whether the service does its
    work, given the longest silence allowed (seconds).
    """

    async def healthz(_request: Request) -> JSONResponse:
        return JSONResponse({"service": name, "status": "alive"})

    async def readyz(_request: Request) -> JSONResponse:
        try:
            report = await readiness()
        except Exception as problem:  # noqa: BLE001  whatever keeps us from knowing is a reason not to be ready
            return JSONResponse({"service": name, "ready": False, "problem": type(problem).__name__}, 503)
        ready = report.ready(watchdog)
        return JSONResponse({"service": name, "ready": ready, **asdict(report)}, 200 if ready else 503)

    routes: list[Any] = [Route("/healthz", healthz), Route("/readyz", readyz)]
    if app is not None:
        routes.append(Mount("/", app))
    return Starlette(routes=routes)
