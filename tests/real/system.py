"""The whole system as `lifemask up` runs it, on servers that are not its own."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.system.stack import UP, WATCHED

from lifemask.cli.house import app_signer
from lifemask.contracts.signing import Signer

PATIENCE = 120.0
_CHOSEN = ("LIFEMASK_", "REPLICATE_", "HF_", "AWS_")
"""Beginnings of variables that would choose other parts than the test does."""


@dataclass(frozen=True, slots=True)
class System:
    """A running system: what it told, and the variables it was started with."""

    told: dict[str, Any]
    settings: dict[str, str]

    @property
    def app(self) -> str:
        return str(self.told["app"])

    @property
    def app_signer(self) -> Signer:
        return app_signer(self.data)

    @property
    def data(self) -> Path:
        return Path(self.told["data"])

    @property
    def brokers(self) -> list[str]:
        return self.settings["LIFEMASK_KAFKA"].split(",")

    @property
    def aws(self) -> dict[str, str]:
        """What a client of the store needs."""
        return {name: value for name, value in self.settings.items() if name.startswith("AWS_")}

    @property
    def bucket(self) -> str:
        return self.settings["LIFEMASK_OBJECTS"].removeprefix("s3://")


def plain_environment() -> dict[str, str]:
    """This process's environment without anything that chooses parts."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_CHOSEN)}


@asynccontextmanager
async def up(data: Path, settings: dict[str, str]) -> AsyncIterator[dict[str, Any]]:
    """`lifemask up` with these settings; yields what it tells when it is ready."""
    process = await asyncio.create_subprocess_exec(
        *UP,
        *("--data", str(data), "--watch-fd", str(WATCHED)),
        pass_fds=(WATCHED,),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=plain_environment() | settings,
    )
    try:
        assert process.stdout
        fact = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE))
        assert fact["event"] == "ready", fact
        yield fact
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
        await process.wait()
