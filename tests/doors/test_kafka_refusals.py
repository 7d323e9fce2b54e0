"""Announced uploads that cannot be accepted: each ends its run with the precise reason, or touches nothing at all."""

import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.bus.lab import raw, resigned
from tests.doors.upstream import Upstream, packed, uploaded
from tests.ingest.world import KEY, World, about, photo, write_apps

from lifemask.contracts import Move, RunAccepted, RunFailed, RunRejected, RunRequest, new_id, pack
from lifemask.contracts.signing import sign
from lifemask.objects import keys
from lifemask.testkit.keys import app_signer


def refusal(facts: list[Any]) -> tuple[str, str]:
    (rejected,) = facts
    assert isinstance(rejected, RunRejected)
    return rejected.failure.code, rejected.failure.what


@pytest.mark.parametrize(
    ("others", "what"),
    [
        ({"gone.jpg": None}, "not in the incoming prefix: gone.jpg"),
        ({"big.jpg": b"x" * 10_000_001}, "larger than 10000000 bytes: big.jpg"),
        ({"tiny.jpg": b"x"}, "smaller than 10000 bytes: tiny.jpg"),
        (
            {"gone.jpg": None, "tiny.jpg": b"x", "a.jpg": b"", "b.jpg": b"", "c.jpg": b""},
            "not in the incoming prefix: gone.jpg; smaller than 10000 bytes: tiny.jpg, a.jpg, b.jpg and 1 more",
        ),
    ],
    ids=["missing", "large", "small", "several"],
)
async def test_an_upload_with_unfit_objects_is_refused_by_name(
    world: World, upstream: Upstream, others: dict[str, bytes | None], what: str
) -> None:
    event = uploaded("up-1", await upstream.put("up-1", others=others))
    await upstream.publish(event)
    assert refusal(await upstream.said()) == ("upload_refused", f"The upload cannot be accepted: {what}.")
    await world.echo()
    assert (upstream.incoming, [key for key in world.objects if "/original/" in key]) == ([], [])
    shown = await world.view(event.run_id)
    assert (shown["status"], shown["stage"], shown["whose_move"]) == ("rejected", "request", "you")


async def test_too_few_objects_are_too_few_photos(world: World, upstream: Upstream) -> None:
    await upstream.publish(uploaded("up-1", await upstream.put("up-1", photos=11)))
    (rejected,) = await upstream.said()
    assert isinstance(rejected, RunRejected)
    assert (rejected.failure.code, rejected.received, rejected.needed) == ("too_few_usable", 11, 1)
    assert upstream.incoming == []


async def test_too_few_different_files_are_too_few_photos(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1", photos=11, others={"again.jpg": photo(3)}))
    await upstream.publish(event)
    (rejected,) = await upstream.said()
    assert isinstance(rejected, RunRejected)
    assert (rejected.received, rejected.usable, rejected.needed) == (12, 11, 1)
    await world.echo()
    await world.time_passes()
    assert [key for key in world.objects if "/original/" in key] == []


async def test_too_many_objects_are_refused(world: World, upstream: Upstream) -> None:
    await upstream.publish(uploaded("up-1", tuple(f"{n}.jpg" for n in range(101))))
    what = "The upload cannot be accepted: 101 objects are named, and a run takes at most 100."
    assert refusal(await upstream.said()) == ("upload_refused", what)


async def test_texts_that_no_surface_can_show_are_refused(world: World, upstream: Upstream) -> None:
    names = await upstream.put("up-1")
    await upstream.publish(uploaded("up-1", names, request=RunRequest(name="a\x00b", metadata={"k": "\x1b[0m"})))
    code, what = refusal(await upstream.said())
    assert code == "upload_refused"
    assert what.endswith("control characters in request.metadata.0, request.name.")


@pytest.mark.parametrize(
    ("field", "value", "what"),
    [
        ("request", {"name": "Me", "steps": 1}, "request.steps: Input should be greater than or equal to 3"),
        ("request", {"name": "Me", "rank": 500}, "request.rank: Input should be less than or equal to 128"),
        ("upload", "../other", "upload: String should match pattern"),
        ("objects", ["../../users/x"], "objects.0: String should match pattern"),
        ("objects", [], "objects: Tuple should have at least 1 item"),
        ("user_id", "globex.u9", "body, key and subject name different users or runs"),
    ],
    ids=["steps", "rank", "folder", "path", "nothing", "other-user"],
)
async def test_a_body_that_does_not_fit_is_refused_with_the_parameter(
    world: World, upstream: Upstream, field: str, value: Any, what: str
) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    record = packed(event)
    body = json.loads(record.value or b"") | {field: value}
    await world.service.intake.store([resigned(record, value=json.dumps(body).encode())])
    await world.settle()
    code, told = refusal(await upstream.said())
    assert code == "upload_refused"
    assert told.startswith(f"The upload cannot be accepted: {what}")
    await world.echo()
    assert (await world.view(event.run_id))["status"] == "rejected"
    assert len(upstream.incoming) == (12 if field == "upload" else 0)  # where these lie it does not say


async def test_a_body_that_does_not_fit_does_not_delete_what_another_run_takes(
    world: World, upstream: Upstream
) -> None:
    names = await upstream.put("up-1")
    first, second = uploaded("up-1", names), packed(uploaded("up-1", names))
    unfit = resigned(second, value=json.dumps(json.loads(second.value or b"") | {"objects": []}).encode())
    await world.service.intake.store([packed(first), unfit])
    await world.service.worker.step()
    await world.receive(*[fact for fact in await world.facts() if isinstance(fact, RunRejected)])
    await world.settle()
    assert sorted(type(fact).__name__ for fact in await upstream.said()) == ["RunAccepted", "RunRejected"]


async def test_an_unknown_app_only_gets_a_security_entry(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    for source in ("app/nobody", "acme", "lifemask/ingest", "app/"):
        await upstream.publish(event, source=source)
    assert await world.facts() == []
    assert await upstream.security() == [("an upload by an unknown app", event.run_id)] * 4
    assert len(upstream.incoming) == 12


async def test_an_upload_is_signed_by_a_key_of_its_app(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    unsigned, changed = packed(event), packed(event)
    unsigned = replace(unsigned, headers=[pair for pair in unsigned.headers if pair[0] != "ce_signature"])
    changed = replace(changed, value=(changed.value or b"").replace(b"up-1", b"up-2"))
    plain = pack(event, id=new_id(), source="app/acme", time=datetime.now(UTC))
    await world.service.intake.store([unsigned, raw(sign(plain, app_signer("globex"))), changed])
    await world.settle()
    assert await world.facts() == []
    assert [reason for reason, _ in await upstream.security()] == ["unsigned", "bad signature", "unknown key"]
    write_apps(world.settings.apps, keyless=("acme",), acme=KEY)
    await world.service.intake.store([packed(event)])
    assert await upstream.security() == [*(await upstream.security())[:3], ("unknown key", event.run_id)]
    assert len(upstream.incoming) == 12


async def test_an_apps_key_opens_no_other_door(world: World, upstream: Upstream) -> None:
    """What services say is not an app's to say, even about its own user."""
    mine = pack(about(new_id(), RunAccepted), id=new_id(), source="app/acme", time=datetime.now(UTC))
    await world.service.intake.store([raw(sign(mine, app_signer("acme")))])
    assert [reason for reason, _ in await upstream.security()] == ["unknown key"]


async def test_an_app_cannot_speak_for_another_apps_user(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    await upstream.publish(event, source="app/globex")
    assert await world.facts() == []
    assert await upstream.security() == [("an upload for another app's user", event.run_id)]
    assert (await world.http.get(f"/v1/users/u1/runs/{event.run_id}")).status_code == 404


async def test_one_upload_makes_one_run(world: World, upstream: Upstream) -> None:
    names = await upstream.put("up-1")
    first, second = uploaded("up-1", names), uploaded("up-1", names[:12])
    await upstream.publish(first, second)
    accepted, rejected = sorted(await upstream.said(), key=lambda fact: fact.run_id != first.run_id)
    assert isinstance(accepted, RunAccepted)
    assert isinstance(rejected, RunRejected)
    assert "another run took this upload over before" in rejected.failure.what
    assert rejected.run_id == second.run_id


async def test_a_refused_second_run_does_not_delete_what_the_first_takes(world: World, upstream: Upstream) -> None:
    names = await upstream.put("up-1")
    first, second = uploaded("up-1", names), uploaded("up-1", names)
    await world.service.intake.store([packed(first), packed(second)])
    await world.service.worker.step()
    await world.receive(*[fact for fact in await world.facts() if isinstance(fact, RunRejected)])
    await world.settle()
    assert {type(fact).__name__: fact.run_id for fact in await upstream.said()} == {
        "RunRejected": second.run_id,
        "RunAccepted": first.run_id,
    }


async def test_a_run_id_used_again_with_other_content_has_no_effect(world: World, upstream: Upstream) -> None:
    names = await upstream.put("up-1")
    other = await upstream.put("up-2")
    event = uploaded("up-1", names)
    await upstream.publish(event)
    await upstream.publish(uploaded("up-2", other, run=event.run_id))
    assert [type(fact) for fact in await upstream.said()] == [RunAccepted]
    assert await upstream.security() == [("the run id was used before, with other content", event.run_id)]


async def test_an_event_id_used_again_for_another_run_ends_that_run(world: World, upstream: Upstream) -> None:
    first, second = uploaded("up-1", await upstream.put("up-1")), uploaded("up-2", await upstream.put("up-2"))
    await upstream.publish(first, name="once")
    for _ in range(2):  # the second time says nothing new
        await upstream.publish(second, name="once")
        accepted, rejected = await upstream.said()
        assert (accepted.run_id, rejected.run_id) == (first.run_id, second.run_id)
        what = "The upload cannot be accepted: the same identity came before with other bytes."
        assert refusal([rejected]) == ("upload_refused", what)


async def test_where_the_chain_was_spoiled_the_run_fails_and_is_ours(world: World, upstream: Upstream) -> None:
    event = uploaded("up-1", await upstream.put("up-1"))
    await upstream.objects.put(keys.owner(event.user_id, event.run_id), b"{}")
    await upstream.publish(event)
    (failed,) = await upstream.said()
    assert isinstance(failed, RunFailed)
    assert (failed.failure.code, failed.failure.move) == ("custody_broken", Move.US)
    await world.echo()
    assert upstream.incoming == []


async def test_a_draft_cannot_be_taken_by_an_event(world: World, upstream: Upstream) -> None:
    run = await world.draft()
    await upstream.publish(uploaded("up-1", await upstream.put("up-1"), run=run))
    assert await upstream.said() == []
    assert await upstream.security() == [("the run id was used before, with other content", run)]
    assert (await world.view(run))["status"] == "draft"
