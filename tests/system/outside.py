"""The world outside as the sandbox shows it: what was billed, published and mailed, and the fault switches."""

from dataclasses import dataclass
from typing import Any

import httpx


@dataclass(frozen=True, slots=True)
class Outside:
    http: httpx.AsyncClient
    urls: dict[str, str]

    async def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = (await self.http.get(self.urls["ledger"])).raise_for_status().json()
        return found

    async def mails(self, to: str | None = None) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.http.get(self.urls["mails"])).raise_for_status().json()
        return [mail for mail in found if to is None or to in mail["to"]]

    async def training(self, id: str) -> dict[str, Any]:
        return next(each for each in (await self.ledger())["trainings"] if each["id"] == id)

    async def fault(self, operation: str, effect: str, **more: Any) -> None:
        answer = await self.http.post(self.urls["faults"], json={"operation": operation, "effect": effect, **more})
        assert answer.status_code == 200, answer.text

    async def faults_left(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.http.get(self.urls["faults"])).raise_for_status().json()
        return found

    async def mend(self) -> None:
        (await self.http.delete(self.urls["faults"])).raise_for_status()
