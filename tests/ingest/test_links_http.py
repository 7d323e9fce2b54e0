"""Models, links and ranges; contacts; the provider's callbacks."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from standardwebhooks import Webhook
from tests.ingest.world import OTHER_AUTH, SECRET, World, a_world, about, counted

from lifemask.contracts import ModelReady, ModelRevoked, TrainingCallbackReceived, TrainingStarted, new_id

CONTENT = bytes(range(256)) * 10
SOON = timedelta(minutes=5)


async def published(world: World, model: str | None = None) -> str:
    run = await world.accepted()
    model = model or new_id()
    key = f"users/acme.u1/models/{model}/1-3/lora.safetensors"
    (world.folder / key).parent.mkdir(parents=True)
    (world.folder / key).write_bytes(CONTENT)
    await world.receive(about(run, ModelReady, model_id=model, store_key=key, bytes=len(CONTENT)))
    return model


async def link(world: World, model: str) -> str:
    answer = await world.http.get(f"/v1/users/u1/models/{model}")
    url: str = answer.json()["weights_url"]
    return url


async def test_a_user_without_a_model_reads_not_started(world: World) -> None:
    assert (await world.http.get("/v1/users/u1")).json()["model_status"] == "not_started"
    await world.draft()
    assert (await world.http.get("/v1/users/u1")).json()["model_status"] == "not_started"
    await world.accepted()
    assert (await world.http.get("/v1/users/u1")).json()["model_status"] == "in_progress"


async def test_a_model_has_a_link_to_its_weights(world: World) -> None:
    model = await published(world)
    (listed,) = (await world.http.get("/v1/users/u1/models")).json()["models"]
    assert listed["id"] == model
    answer = await world.http.get(await link(world, model), headers={"Authorization": ""})
    assert (answer.status_code, answer.content) == (200, CONTENT)
    assert answer.headers["accept-ranges"] == "bytes"
    foreign = await world.http.get(f"/v1/users/u1/models/{model}", headers=OTHER_AUTH)
    assert foreign.status_code == 404


async def test_a_row_that_names_another_users_weights_leads_nowhere(world: World) -> None:
    model, theirs = await published(world), f"users/acme.u2/models/{new_id()}/1-3/lora.safetensors"
    (world.folder / theirs).parent.mkdir(parents=True)
    (world.folder / theirs).write_bytes(CONTENT)
    async with world.service.bus.rows.reading("acme.u1", locks=True) as connection:
        await connection.execute("update model set store_key = $1", theirs)
    answer = await world.http.get(f"/v1/users/u1/models/{model}")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


async def test_a_withdrawn_model_has_none(world: World) -> None:
    model = await published(world)
    shown = (await world.http.get(f"/v1/users/u1/models/{model}")).json()
    old = shown["weights_url"]
    assert (await world.http.get(old)).content == CONTENT
    await world.receive(about(shown["run_id"], ModelRevoked, model_id=model))
    shown = (await world.http.get(f"/v1/users/u1/models/{model}")).json()
    assert (shown["revoked"], shown["weights_url"]) == ("The owner asked for it.", None)
    (listed,) = (await world.http.get("/v1/users/u1/models")).json()["models"]
    assert listed["revoked"] == "The owner asked for it."
    user = (await world.http.get("/v1/users/u1")).json()
    assert (user["model_status"], user["model"]["revoked"]) == ("revoked", "The owner asked for it.")
    for method in ("GET", "HEAD"):
        answer = await world.http.request(method, old, headers={"Authorization": ""})
        assert answer.status_code == 410
    problem = (await world.http.get(old)).json()
    assert (problem["code"], problem["run_id"]) == ("model_revoked", shown["run_id"])
    assert problem["detail"] == "The model was withdrawn: The owner asked for it."
    assert "delete your copies" in problem["next_step"]
    assert (await world.view(shown["run_id"]))["next_step"] == "Stop using this model."


async def test_a_withdrawn_model_does_not_hide_another_one_or_a_new_run(world: World) -> None:
    first, second = await published(world), await published(world)
    for model, status in ((first, "ready"), (second, "revoked")):
        shown = (await world.http.get(f"/v1/users/u1/models/{model}")).json()
        await world.receive(about(shown["run_id"], ModelRevoked, model_id=model))
        assert (await world.http.get("/v1/users/u1")).json()["model_status"] == status
    await world.accepted()
    user = (await world.http.get("/v1/users/u1")).json()
    assert (user["model_status"], user["model"]) == ("in_progress", None)


@pytest.mark.parametrize(
    ("asked", "first", "end"),
    [("bytes=0-9", 0, 10), ("bytes=10-", 10, 2560), ("bytes=-5", 2555, 2560), ("bytes=2550-9999", 2550, 2560)],
)
async def test_a_range_is_answered_as_such(world: World, asked: str, first: int, end: int) -> None:
    url = await link(world, await published(world))
    answer = await world.http.get(url, headers={"Range": asked})
    assert (answer.status_code, answer.content) == (206, CONTENT[first:end])
    assert answer.headers["content-range"] == f"bytes {first}-{end - 1}/2560"
    assert answer.headers["content-length"] == str(end - first)


async def test_other_ranges(world: World) -> None:
    url = await link(world, await published(world))
    beyond = await world.http.get(url, headers={"Range": "bytes=2560-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, "bytes */2560")
    assert beyond.json()["code"] == "range_not_satisfiable"
    several = await world.http.get(url, headers={"Range": "bytes=0-1,4-5"})
    assert (several.status_code, several.content) == (200, CONTENT)
    head = await world.http.head(url)
    assert (head.status_code, head.headers["content-length"], head.content) == (200, "2560", b"")
    same = await world.http.get(url, headers={"Range": "bytes=0-1", "If-Range": head.headers["etag"]})
    other = await world.http.get(url, headers={"Range": "bytes=0-1", "If-Range": '"another"'})
    assert (same.status_code, other.status_code) == (206, 200)


async def test_a_link_is_for_one_thing_and_a_time(world: World) -> None:
    model = await published(world)
    url = await link(world, model)
    now = datetime.now(UTC)
    key = f"users/acme.u1/models/{model}/1-3/lora.safetensors"
    expired = world.tokens.mint(key, "weights", now - timedelta(seconds=1))
    gone = world.tokens.mint(f"users/acme.u1/models/{new_id()}/1-3/lora.safetensors", "weights", now + SOON)
    callback = world.tokens.mint(key, "callback", now + SOON)
    expected = {expired: 410, gone: 410, callback: 404, "nonsense": 404, url[-40:]: 404, "": 404}
    for token, status in expected.items():
        answer = await world.http.get(f"/v1/objects/{token}")
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json"), token


async def test_a_contact_is_kept_under_the_users_prefix(world: World) -> None:
    answer = await world.http.put("/v1/users/u1/contact", json={"email": "ada@example.org"})
    assert answer.status_code == 204
    assert json.loads((world.folder / "users/acme.u1/contact.json").read_text()) == {"email": "ada@example.org"}
    for wrong in ("ada", "a@b", "Ada <ada@example.org>", "a@example.org, b@example.org", "a\nb@example.org"):
        answer = await world.http.put("/v1/users/u1/contact", json={"email": wrong})
        assert answer.status_code == 422, wrong
        assert wrong not in answer.json()["detail"]


class Callback:
    """A callback of the provider about a run."""

    def __init__(self, world: World, run: str, training: str = "abc123", secret: bytes = SECRET) -> None:
        key = f"acme.u1/{run}/1"
        self.path = f"/v1/callbacks/replicate/{world.tokens.mint(key, 'callback', datetime.now(UTC) + SOON)}"
        self.body = json.dumps({"id": training, "status": "succeeded", "logs": "x" * 1000})
        self.secret = secret
        self.at = datetime.now(UTC)
        self.id = "msg_1"
        self._world = world

    async def send(self, **headers: str) -> int:
        signer = Webhook(base64.b64encode(self.secret).decode())
        signed = {
            "webhook-id": self.id,
            "webhook-timestamp": str(int(self.at.timestamp())),
            "webhook-signature": signer.sign(self.id, self.at, self.body),
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        answer = await self._world.http.post(self.path, content=self.body, headers={**signed, "Authorization": ""})
        return answer.status_code


async def hints(world: World) -> list[TrainingCallbackReceived]:
    return [fact for fact in await world.facts() if isinstance(fact, TrainingCallbackReceived)]


async def test_a_true_callback_is_passed_on_once(world: World) -> None:
    run = await world.accepted()
    callback = Callback(world, run)
    assert [await callback.send(), await callback.send()] == [200, 200]
    (hint,) = await hints(world)
    assert (hint.run_id, hint.attempt, hint.training) == (run, 1, "abc123")
    assert world.provider.asked == 1


async def test_forged_callbacks_are_refused(world: World) -> None:
    run = await world.accepted()
    await world.receive(about(run, TrainingStarted, training="abc123", attempt=1))
    assert await Callback(world, run, secret=b"another secret of 24 byt").send() == 401
    assert await Callback(world, run, training="another").send() == 401
    late = Callback(world, run)
    late.at -= timedelta(seconds=301)
    assert await late.send() == 401
    for headers in (
        {"webhook_id": "other"},
        {"webhook_timestamp": "soon"},
        {"webhook_timestamp": "-1"},
        {"webhook_signature": ""},
        {"webhook_signature": "v1,AAAA v2,BBBB"},
    ):
        assert await Callback(world, run).send(**headers) == 401, headers
    assert await hints(world) == []
    assert await Callback(world, run).send() == 200


async def test_a_changed_secret_is_learned(world: World) -> None:
    run = await world.accepted()
    assert await Callback(world, run).send() == 200
    world.provider.secret = b"another secret of 24 byt"
    forged = Callback(world, run, secret=world.provider.secret)
    forged.id = "msg_2"
    assert await forged.send() == 401  # asked a moment ago
    assert world.provider.asked == 1
    world.service.app.state.office.secrets._asked_at -= 61
    assert await forged.send() == 200
    assert world.provider.asked == 2


async def test_a_provider_that_is_silent_lets_the_callback_come_again(world: World) -> None:
    run = await world.accepted()
    world.provider.away = True
    assert await Callback(world, run).send() == 503
    assert (await Callback(world, run).send(), world.provider.asked) == (503, 1)
    world.provider.away = False
    world.service.app.state.office.secrets._asked_at -= 6
    assert await Callback(world, run).send() == 200


@pytest.mark.slow
async def test_a_thousand_callbacks_are_one_hint_and_one_question(world: World) -> None:
    run = await world.accepted()
    true, forged = Callback(world, run), Callback(world, run, secret=b"another secret of 24 byt")
    sent = []
    for number in range(20):
        true.id = forged.id = f"msg_{number}"
        sent += await asyncio.gather(*(callback.send() for callback in (true, forged) for _ in range(25)))
    assert (sent.count(200), sent.count(401)) == (500, 500)
    assert len(await hints(world)) == 1
    assert world.provider.asked <= 2
    other = Callback(world, run, training="another")
    assert await other.send() == 200, "before our own record, the trainer tells whose it is"
    assert len(await hints(world)) == 2


async def test_what_says_nothing_new_waits_and_holds_nothing(world: World) -> None:
    run = await world.accepted()
    _, unknown = counted(world)
    true, forged = Callback(world, run), Callback(world, run, secret=b"another secret of 24 byt")
    assert (await true.send(), unknown.waits) == (200, 0)
    assert (await true.send(), unknown.waits) == (200, 1)
    assert (await forged.send(), unknown.waits) == (401, 2)
    assert unknown.largest == 0, "a body would be held as long as its answer"


async def test_the_same_training_may_be_hinted_at_again_later(
    database: Callable[[str], Awaitable[str]], tmp_path: Path
) -> None:
    async with a_world(await database("ingest"), tmp_path, callback_gap=0) as world:
        run = await world.accepted()
        for name in ("msg_1", "msg_2", "msg_2"):
            callback = Callback(world, run)
            callback.id = name
            assert await callback.send() == 200
        assert len(await hints(world)) == 2


async def test_the_body_of_an_address_that_is_not_ours_is_not_read(world: World) -> None:
    read = []

    async def body() -> AsyncIterator[bytes]:
        read.append(True)
        yield b"x"

    answer = await world.http.post("/v1/callbacks/replicate/nonsense", content=body())
    assert (answer.status_code, read) == (404, [])


async def test_callbacks_that_mean_nothing(world: World) -> None:
    run = await world.accepted()
    unknown = Callback(world, new_id())
    assert [await unknown.send(), await unknown.send()] == [404, 404], "what was not passed on is not taken as known"
    broken = Callback(world, run)
    broken.body = "[]"
    assert await broken.send() == 400
    strange = Callback(world, run, training="no training id!")
    assert await strange.send() == 400
    huge = Callback(world, run)
    huge.body = "x" * 10_000_001
    assert await huge.send() == 413
    wrong = Callback(world, run)
    wrong.path = "/v1/callbacks/replicate/nonsense"
    assert await wrong.send() == 404
    assert await hints(world) == []
