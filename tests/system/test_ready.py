"""A run from photos to a published model, through six processes, seen from outside."""

import json
from collections.abc import Awaitable, Callable

from standardwebhooks.webhooks import Webhook
from tests.system.app import Person
from tests.system.conftest import Apps
from tests.system.history import History, trace_of
from tests.system.listener import Listener
from tests.system.outside import Outside
from tests.system.photos import good

Sound = Callable[[], Awaitable[History]]


async def test_photos_become_a_model(
    person: Person, outside: Outside, sound: Sound, apps: Apps, listener: Listener
) -> None:
    run = await person.accepted(good(13), name="Anna")
    view = await person.ended(run)
    assert (view["status"], view["progress"], view["whose_move"]) == ("ready", 100, "nobody"), view
    history = await sound()

    training = await outside.training(view["training"]["id"])
    assert training["status"] == "succeeded"
    assert training["images"] == view["photos"]["usable"] == 13
    assert view["cost"]["billed"] == "1.0401"
    assert training["cost_usd"] == "1.0400500"

    facts = [fact for fact in history.facts if fact.run == run]
    kinds = [fact.kind for fact in facts]
    assert kinds.count("photo.received") == kinds.count("photo.judged") == 13
    for kind in ("run.accepted", "photos.validated", "dataset.sealed", "training.started", "training.succeeded"):
        assert kinds.count(kind) == 1, kind
    assert kinds.count("model.ready") == 1
    assert kinds.count("notification.delivered") == 2

    (mail,) = await outside.mails(person.email)
    assert "Anna" in mail["subject"]
    assert view["model"]["id"] in mail["text"]
    (headers, body) = next((headers, body) for headers, body in listener.hooks if run in body.decode())
    told = Webhook(apps.webhook_secret).verify(body, headers)
    assert told["type"] == "lifemask.model.ready.v1", json.dumps(told)

    spans = listener.spans_of(trace_of(run))
    assert [span.name for span in spans if not span.parent_span_id] == ["run"]
