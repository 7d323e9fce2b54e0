"""Chains for tests: each step sealed by the service that may, with the test kit's throw-away keys."""

from datetime import datetime
from typing import Any

from lifemask.contracts.signing import Signer
from lifemask.custody import Chain, Link, Reader
from lifemask.custody.envelopes import StepKeys
from lifemask.custody.steps import AnyStep, F, M, Step
from lifemask.keys.holders import HOLDERS
from lifemask.objects.port import ObjectStore
from lifemask.testkit.keys import test_keys


def signer_of(step: AnyStep) -> Signer:
    """The key of the service that seals a step."""
    return test_keys().signers[next(name for name, may in HOLDERS.items() if step.name in may.steps)]


def chain_of(objects: ObjectStore, service: str) -> Chain:
    """The chain as a service holds it."""
    return Chain(objects, test_keys().signers[service], test_keys().keyring)


class AllServices:
    """All services' chains in one: `seal` takes the key that may, `open` sees a statement at its own time."""

    def __init__(self, objects: ObjectStore, keyring: StepKeys | None = None) -> None:
        self._objects = objects
        self._keyring = keyring or test_keys().keyring
        self._reader = Reader(objects, self._keyring)

    async def begin(self, user_id: str, run_id: str) -> None:
        await chain_of(self._objects, "ingest").begin(user_id, run_id)

    async def commitment(self, user_id: str, run_id: str, sha256: str) -> str:
        return await chain_of(self._objects, "ingest").commitment(user_id, run_id, sha256)

    async def seal(self, step: Step[F, M], user_id: str, run_id: str, **members: Any) -> str:
        """As Chain.seal."""
        return await Chain(self._objects, signer_of(step), self._keyring).seal(step, user_id, run_id, **members)

    async def open(
        self,
        step: Step[F, M],
        digest: str,
        user_id: str,
        run_id: str,
        attempt: int = 1,
        *,
        seen: datetime | None = None,
    ) -> Link[F, M]:
        """As Chain.open."""
        return await self._reader.open(step, digest, user_id, run_id, attempt, seen=seen)
