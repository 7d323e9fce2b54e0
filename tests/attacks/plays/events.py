"""Every type of event, written to Kafka by somebody who may write there and holds no key that may."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from importlib import import_module

from tests.attacks.attack import Attack, Scene, attack
from tests.attacks.house import OPERATOR
from tests.system.photos import good
from tests.system.waiting import eventually

from lifemask.bus.inbound import identity
from lifemask.cli.plan import SERVICES
from lifemask.contracts import EVENTS, Event, PhotosUploaded, Record, new_id, pack, split_version
from lifemask.contracts.signing import Signer, sign
from lifemask.keys.holders import HOLDERS

BOOK: list[Attack] = []


def forged(scene: Scene, user: str, run: str) -> list[Record]:
    """Each type of event three times: unsigned, by a key that nobody knows, and by a service that may not."""
    stranger = Signer.generate("ingest")
    return [_record(kind, user, run, signer) for kind in EVENTS for signer in (None, stranger, wrong(scene, kind))]


def wrong(scene: Scene, kind: type[Event]) -> Signer:
    """The key of a service that may not emit events of this kind."""
    family, _ = split_version(kind.ce_type)
    return scene.house.signer(next(name for name, may in HOLDERS.items() if family not in may.events))


def _record(kind: type[Event], user: str, run: str, signer: Signer | None) -> Record:
    family, _ = split_version(kind.ce_type)
    changes = {"user_id": user} | ({"run_id": run} if "run_id" in kind.model_fields else {})
    holder = next((name for name, may in HOLDERS.items() if family in may.events), "")
    source = "app/acme" if kind is PhotosUploaded else f"lifemask/{holder}"
    event = kind.example().model_copy(update=changes)
    record = pack(event, id=new_id(), source=source, time=datetime.now(UTC), traceparent=None)
    return sign(record, signer) if signer else record


async def strike_all(scene: Scene) -> None:
    """All of them, and then waits until each service that listens has looked at each."""
    records = forged(scene, scene.user, scene.run)
    scene.notes["forged"] = [_identity(record) for record in records]
    await scene.house.send(*records)
    if scene.house.opened is None:
        await eventually(lambda: _all_refused(scene), 40)


def _identity(record: Record) -> str:
    headers = {name: value.decode() for name, value in record.headers}
    return identity(headers["ce_source"], headers["ce_id"])


async def _all_refused(scene: Scene) -> bool:
    found = dict.fromkeys(SERVICES, 0)
    for service, _, _ in await scene.house.refusals(scene.user):
        found[service] += 1
    stopped = {"trainer"} if scene.notes.get("live") else set()
    return all(found[name] >= 3 * len(_heard_by(name)) for name in SERVICES if name not in stopped)


def _heard_by(service: str) -> set[str]:
    """The types of events that a service listens to."""
    routes = import_module(f"lifemask.{service}.handlers").HANDLERS
    ours = {split_version(kind.ce_type)[0] for kind in EVENTS}
    return {split_version(route.message.ce_type)[0] for route in routes} & ours


async def none_was_let_in(scene: Scene) -> None:
    """No row of an inbox, no baton, nothing told; entries in the security tables and in the log."""
    await eventually(lambda: _all_refused(scene), 40)
    for name in SERVICES:
        query = f"select count(*) from {name}.inbox where msg_id = any($1::text[])"
        assert await scene.house.rows.fetchval(query, scene.notes["forged"]) == 0
    assert {reason for _, reason, _ in await scene.house.refusals(scene.user)} >= {
        "unsigned",
        "unknown key",
        "key not allowed",
    }
    assert any(line.get("event") == "security" for line in scene.house.log("trainer"))
    await eventually(lambda: _operator_knows(scene), 30)


async def _operator_knows(scene: Scene) -> bool:
    """One mail for all of it, with the reasons."""
    mails = await scene.house.outside.mails(OPERATOR)
    return any("key not allowed" in mail["text"] for mail in mails)


async def nothing_began(scene: Scene) -> None:
    await none_was_let_in(scene)
    assert await _batons(scene) == scene.notes["batons"]
    assert await scene.house.outside.mails(scene.person.email) == []


async def still_ready(scene: Scene) -> None:
    await none_was_let_in(scene)
    assert (await scene.person.view(scene.run))["status"] == "ready"
    assert len(await scene.house.outside.mails(scene.person.email)) == 1


async def they_were_let_in(scene: Scene) -> None:
    """Forged events lie in inboxes and have their effect."""

    async def found() -> set[str]:
        types = set()
        for name in SERVICES:
            query = f"select type from {name}.inbox where msg_id = any($1::text[])"
            types |= {row["type"] for row in await scene.house.rows.fetch(query, scene.notes["forged"])}
        return types

    heard = set().union(*map(_heard_by, SERVICES))
    await eventually(lambda: _covers(found, heard), 40)


async def _covers(found: Callable[[], Awaitable[set[str]]], heard: set[str]) -> bool:
    types = await found()
    return {split_version(kind)[0] for kind in types} >= heard


async def live(scene: Scene) -> None:
    scene.notes["live"] = True
    scene.run = await scene.person.accepted(good(12))
    await scene.reaches("trainer")


async def finished(scene: Scene) -> None:
    scene.run = await scene.person.accepted(good(12))
    assert (await scene.person.ended(scene.run, 60))["status"] == "ready"
    await eventually(lambda: scene.house.outside.mails(scene.person.email))


async def nobodys(scene: Scene) -> None:
    await scene.person.introduce()
    scene.run = new_id()
    scene.notes["batons"] = await _batons(scene)


async def a_draft(scene: Scene) -> None:
    await scene.person.introduce()
    scene.run = await scene.person.draft()
    scene.notes["batons"] = await _batons(scene)


async def _batons(scene: Scene) -> dict[str, int]:
    query = "select count(*) from {}.baton where user_id = $1"
    return {name: await scene.house.rows.fetchval(query.format(name), scene.user) for name in SERVICES}


GATES = ("event signature",)

attack(
    BOOK,
    "every event type forged for a live run",
    at="trainer",
    gates=GATES,
    prepare=live,
    end="ready",
    check=none_was_let_in,
    won=they_were_let_in,
)(strike_all)
attack(
    BOOK,
    "every event type forged for a finished run",
    gates=GATES,
    prepare=finished,
    end="untouched",
    check=still_ready,
    won=they_were_let_in,
)(strike_all)
attack(
    BOOK,
    "every event type forged for a run that does not exist",
    gates=GATES,
    prepare=nobodys,
    end="untouched",
    check=nothing_began,
    won=they_were_let_in,
)(strike_all)
attack(
    BOOK,
    "every event type forged for a user with no uploads",
    gates=GATES,
    prepare=a_draft,
    end="untouched",
    check=nothing_began,
    won=they_were_let_in,
)(strike_all)
