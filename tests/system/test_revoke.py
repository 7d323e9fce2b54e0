"""A model that went out is taken back by an operator, in the running system."""

import json
from collections.abc import Callable

import httpx
import pytest
from standardwebhooks.webhooks import Webhook
from tests.system.app import Person
from tests.system.commands import REASON, command, revoke
from tests.system.conftest import Apps, a_person
from tests.system.listener import Listener
from tests.system.outside import Outside
from tests.system.photos import good
from tests.system.reading import Sound
from tests.system.stack import Stack

from lifemask.contracts import new_id

pytestmark = pytest.mark.slow

Told = Callable[[str], list[str]]


@pytest.fixture
def told(listener: Listener, apps: Apps) -> Told:
    """What the app was told about a run by webhooks: the types, in order."""

    def find(run: str) -> list[str]:
        hooks = [(body, head) for head, body in listener.hooks if run in body.decode()]
        return [Webhook(apps.webhook_secret).verify(body, head)["type"] for body, head in hooks]

    return find


async def test_a_revoked_model_is_gone_everywhere_and_everybody_knows(
    person: Person, stack: Stack, outside: Outside, told: Told, sound: Sound
) -> None:
    http = person.http
    run = await person.accepted(good(12), name="Anna")
    view = await person.ended(run)
    model = view["model"]["id"]
    link = (await http.get(person.path("models", model))).json()["weights_url"]
    seen = (await person.events(run))[-1]["id"]
    place = stack.data / "objects" / "users" / person.bus_id
    evidence = sorted(place.glob(f"runs/{run}/custody/*"))
    assert list((place / "models" / model).rglob("lora.safetensors"))

    await outside.fault("delete_version", "drop_before")
    code, _ = await revoke(stack, model, "--actor", "kim", "--yes", "--wait", "0")
    assert code == 3  # asked, not done yet
    code, lines = await revoke(stack, model, "--actor", "lee", "--yes", reason="Something else.")
    assert (code, lines[-1]["event"], lines[-1]["actor"], lines[-1]["reason"]) == (0, "revoked", "kim", REASON)
    assert (await revoke(stack, model))[0] == 0
    await sound()

    ledger = await outside.ledger()
    (repo,) = [repo for repo in ledger["repos"] if repo["id"].endswith(model)]
    assert repo["deleted_at"] is not None
    assert (await outside.training(view["training"]["id"]))["version_deleted"]
    assert not list((place / "models" / model).rglob("*.*"))
    assert set(evidence) < set(place.glob(f"runs/{run}/custody/*"))

    shown = (await http.get(person.path("models", model))).json()
    assert (shown["revoked"], shown["weights_url"]) == (REASON, None)
    assert (await http.get(person.path())).json()["model_status"] == "revoked"
    gone = await http.get(link)
    assert (gone.status_code, gone.json()["code"]) == (410, "model_revoked")
    last = json.loads((await person.events(run, after=seen))[-1]["data"])["run"]
    assert last["model"]["revoked"] == REASON
    subjects = sorted(mail["subject"] for mail in await outside.mails(person.email))
    assert subjects == ["“Anna” is ready", "“Anna” was withdrawn"]
    assert told(run) == ["lifemask.model.ready.v1", "lifemask.model.revoked.v1"]
    code, lines = await command(stack, "audit", model)
    assert code == 0, lines
    assert f"by kim: {REASON}" in json.dumps(lines)


async def test_what_cannot_be_revoked_is_refused_clearly(stack: Stack, http: httpx.AsyncClient, sound: Sound) -> None:
    unknown = new_id()
    code, (problem,) = await revoke(stack, unknown, "--yes")
    assert (code, problem["what"]) == (1, f"No model {unknown} is known here.")
    for arguments, what in (
        (("not-an-id", "--reason", REASON), "MODEL"),
        ((unknown, "--reason", "ask ann@example.org"), "--reason"),
        ((unknown, "--reason", REASON, "--actor", "Ann Lee"), "--actor"),
    ):
        code, (problem,) = await command(stack, "revoke", *arguments, "--yes")
        assert code == 2
        assert problem["what"].startswith(what)
    person = a_person(http)
    model = (await person.ended(await person.accepted(good(12))))["model"]["id"]
    code, (problem,) = await revoke(stack, model)
    assert (code, problem["next_step"]) == (2, "Add --yes if it is meant.")
    assert (await http.get(person.path())).json()["model_status"] == "ready"
    await sound()
