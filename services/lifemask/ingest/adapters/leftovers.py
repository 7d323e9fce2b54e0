"""Temporary objects go, each time under a signed statement that says what, how many, when and why."""

from collections.abc import Mapping, Sequence
from typing import Final

import structlog

from lifemask.bus.outcomes import Misconfigured
from lifemask.custody import Chain, CustodyBroken
from lifemask.custody.steps import DISPOSAL, DisposalFields, Gone
from lifemask.ingest.ports import Cleared, Disposal
from lifemask.objects import keys
from lifemask.objects.port import ObjectInfo, ObjectStore

_LOG: Final = structlog.get_logger(__name__)
_WORK: Final = ("clean", "archive", "weights")


class StoredLeftovers:
    """The port `Leftovers`."""

    def __init__(self, objects: ObjectStore, chain: Chain) -> None:
        self._objects = objects
        self._chain = chain

    async def clear_work(self, why: Disposal) -> Sequence[Cleared]:
        return await self._clear(why, "work", _work(why))

    async def clear_originals(self, why: Disposal) -> Sequence[Cleared]:
        place = keys.run_prefix(why.user_id, why.run_id)
        groups = {"original": f"{place}original/", "names": f"{place}names.json", **_work(why)}
        return await self._clear(why, "original", groups)

    async def clear_incoming(self, why: Disposal, upload: str) -> Sequence[Cleared]:
        app, _, user = why.user_id.partition(".")
        return await self._clear(why, "incoming", {"incoming": keys.incoming_prefix(app, user, upload)})

    async def _clear(self, why: Disposal, name: str, groups: Mapping[str, str]) -> Sequence[Cleared]:
        found = {what: await self._list(what, prefix, why) for what, prefix in groups.items()}
        await self._tell(why, name, {what: infos for what, infos in found.items() if infos})
        return [await self._delete(what, infos, why) for what, infos in found.items()]

    async def _list(self, what: str, prefix: str, why: Disposal) -> list[ObjectInfo] | None:
        """At most a few hundred objects of a run; None when the store does not let us look."""
        try:
            return [info async for info in self._objects.list(prefix)]
        except Misconfigured as refused:
            _refused(what, why, refused)
            return None

    async def _tell(self, why: Disposal, name: str, found: Mapping[str, list[ObjectInfo] | None]) -> None:
        gone = tuple(Gone(what=what, objects=len(infos), bytes=_bytes(infos)) for what, infos in found.items() if infos)
        if not gone:
            return
        fields = DisposalFields(actor=self._chain.actor, reason=why.reason, gone=gone)
        try:
            await self._chain.record(
                DISPOSAL, why.user_id, why.run_id, name, fields=fields, at=why.at, previous=why.statement
            )
        except CustodyBroken as broken:  # whatever lies in its place must not keep anybody's photos here
            _LOG.error("disposal_not_signed", run=why.run_id, link=broken.link)  # expected: no traceback

    async def _delete(self, what: str, infos: list[ObjectInfo] | None, why: Disposal) -> Cleared:
        if infos is None:
            return Cleared(what, 0, 0, denied=True)
        done: list[ObjectInfo] = []
        try:
            for info in infos:
                await self._objects.delete(info.key)
                done.append(info)
        except Misconfigured as refused:
            _refused(what, why, refused)
            return Cleared(what, len(done), _bytes(done), denied=True)
        return Cleared(what, len(done), _bytes(done))


def _work(why: Disposal) -> dict[str, str]:
    place = keys.run_prefix(why.user_id, why.run_id)
    return {what: f"{place}{what}/" for what in _WORK}


def _bytes(infos: Sequence[ObjectInfo]) -> int:
    return sum(info.bytes for info in infos)


def _refused(what: str, why: Disposal, refused: Misconfigured) -> None:
    _LOG.warning("temporary objects cannot be deleted", run=why.run_id, what=what, problem=refused.detail)
