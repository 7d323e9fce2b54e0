"""The audit of the shared run's model, from inside: what it found, and what it says of anything else."""

from collections.abc import Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from tests.system.stack import Stack

from lifemask.audit.case import Case, Hashed
from lifemask.audit.collecting import Outside, collect
from lifemask.audit.findings import Report
from lifemask.audit.hub import open_hub
from lifemask.audit.judging import judge
from lifemask.cli.installation import Installation
from lifemask.contracts.keyring import Keyring
from lifemask.objects import open_objects
from lifemask.objects.keys import Key


@dataclass(frozen=True)
class Audited:
    """The shared run's model, as it was found while nothing was changed."""

    model: str
    stack: Stack
    case: Case
    keyring: Keyring

    @property
    def objects(self) -> str:
        return (self.stack.data / "objects").resolve().as_uri()

    @property
    def objects_found(self) -> Mapping[Key, Hashed]:
        assert self.case.objects is not None
        return self.case.objects

    async def again(self) -> Report:
        """Everything read anew."""
        return judge(await collected(self.stack, self.model, self.keyring), self.keyring)

    def judged(self, **changes: Any) -> Report:
        """The same case but for `changes`."""
        return judge(replace(self.case, **changes), self.keyring)


async def collected(stack: Stack, model: str, keyring: Keyring) -> Case:
    where = Installation.find(stack.data, {})
    assert where.hub is not None
    async with AsyncExitStack() as stack_:
        objects = await stack_.enter_async_context(open_objects(where.store()))
        hub = await stack_.enter_async_context(open_hub(where.hub.url, where.hub.token))
        return await collect(model, objects, Outside(where.database(), hub=hub), keyring)


def flipped(data: bytes) -> bytes:
    """One bit of the middle byte is another."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


def names(report: Report) -> set[str]:
    return {finding.name for finding in report.broken}
