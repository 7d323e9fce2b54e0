"""The provider, its webhooks and the hub misbehave; money and models stay right."""

import httpx
import pytest
from tests.system.app import Person, View
from tests.system.outside import Outside
from tests.system.photos import good
from tests.system.reading import Sound
from tests.system.waiting import eventually


async def test_a_failed_training_fails_the_run_with_its_cost_and_a_mail(
    person: Person, outside: Outside, sound: Sound
) -> None:
    await outside.fault("training", "fail", error="CUDA error: out of memory")
    run = await person.accepted(good(12))
    view = await person.ended(run)
    assert (view["status"], view["stage"], view["model"]) == ("failed", "train", None), view
    assert view["whose_move"] in {"us", "provider", "you"}
    assert view["next_step"]
    await sound()
    training = await outside.training(view["training"]["id"])
    assert training["status"] == "failed"
    assert view["cost"]["billed"] == f"{float(training['cost_usd']):.4f}"
    (mail,) = await outside.mails(person.email)
    assert view["next_step"] in mail["text"]
    assert "CUDA" not in mail["text"]


async def test_a_cancelled_training_is_stopped_and_booked_and_nothing_is_published(
    person: Person, outside: Outside, sound: Sound
) -> None:
    await outside.fault("training", "timing", queue_seconds=0, seconds=60)
    run = await person.accepted(good(12))
    training_id = (await person.training(run))["training"]["id"]
    assert (await person.cancel(run)).status_code == 202
    view = await person.ended(run)
    assert (view["status"], view["stage"], view["model"]) == ("canceled", "train", None)
    assert (await person.cancel(run)).status_code == 200

    history = await sound()
    training = await outside.training(training_id)
    assert training["status"] == "canceled"
    (attempt,) = [attempt for attempt in history.attempts if attempt.run == run]
    assert list(attempt.booked) == [training_id]
    assert not [model for model, key in history.models.items() if key[1] == run]
    (mail,) = await outside.mails(person.email)
    assert "cancel" in mail["subject"].lower()


@pytest.mark.parametrize(
    ("effect", "statuses", "hints"),
    [("lose", {None}, 0), ("forge", {401}, 0), ("foreign", {401}, 0), ("double", {200}, 1)],
)
async def test_whatever_becomes_of_the_webhook_the_run_is_ready(
    person: Person, outside: Outside, sound: Sound, *, effect: str, statuses: set[int | None], hints: int
) -> None:
    await outside.fault("webhook", effect, events=["completed"])
    run = await person.accepted(good(12))
    view = await person.ended(run)
    assert view["status"] == "ready"
    history = await sound()
    sent = [hook for hook in (await outside.ledger())["webhooks"] if hook["training"] == view["training"]["id"]]
    assert {hook["status"] for hook in sent} == statuses
    assert len(sent) == 2 if effect == "double" else sent
    assert len([f for f in history.facts if f.run == run and f.kind == "training.callback-received"]) == hints


async def test_a_callback_by_somebody_else_is_refused_and_nothing_happens(
    person: Person, outside: Outside, sound: Sound
) -> None:
    await outside.fault("training", "timing", queue_seconds=0, seconds=2.5)
    run = await person.accepted(good(12))
    training_id = (await person.training(run))["training"]["id"]
    url = (await outside.training(training_id))["webhook"]
    body = {"id": training_id, "status": "succeeded", "output": {"weights": "http://127.0.0.1:1/mine.tar"}}
    signed = {"webhook-id": "msg_1", "webhook-timestamp": "1", "webhook-signature": "v1,bm90aGluZw=="}
    async with httpx.AsyncClient(trust_env=False) as stranger:
        for headers in ({}, signed):
            answer = await stranger.post(url, json=body, headers=headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "bad_signature")
        elsewhere = await stranger.post(f"{url[:-3]}AAA", json=body, headers=signed)
        assert elsewhere.status_code == 404
    assert (await person.view(run))["status"] == "training"
    assert (await person.ended(run))["status"] == "ready"
    await sound()


async def test_a_lost_answer_to_the_paid_call_is_found_again_and_paid_once(
    person: Person, outside: Outside, sound: Sound
) -> None:
    await outside.fault("create_training", "drop_after")
    run = await person.accepted(good(12))
    view = await person.ended(run)
    assert view["status"] == "ready"
    history = await sound()
    (attempt,) = [attempt for attempt in history.attempts if attempt.run == run]
    assert list(attempt.booked) == [view["training"]["id"]]
    assert len([training for training in history.billed if training.path == attempt.path]) == 1


async def test_a_paid_call_of_which_nobody_knows_is_delayed_and_not_repeated(
    person: Person, outside: Outside, sound: Sound
) -> None:
    await outside.fault("create_training", "drop_before")
    run = await person.accepted(good(12))

    async def delayed() -> View | None:
        view = await person.view(run)
        return view if view["delayed"] else None

    view = await eventually(delayed)
    assert view
    assert (view["status"], view["whose_move"]) == ("training", "us")
    assert (await person.cancel(run)).status_code == 202
    assert (await person.ended(run))["status"] == "canceled"
    history = await sound()
    (attempt,) = [attempt for attempt in history.attempts if attempt.run == run]
    assert not attempt.booked
    assert attempt.path not in {training.path for training in history.billed}


async def test_a_busy_provider_is_asked_again_and_costs_no_attempt(
    person: Person, outside: Outside, sound: Sound
) -> None:
    await outside.fault("create_training", "answer", status=429, retry_after=1)
    run = await person.accepted(good(12))
    assert (await person.ended(run))["status"] == "ready"
    history = await sound()
    assert [attempt.number for attempt in history.attempts if attempt.run == run] == [1]


async def test_a_busy_hub_is_asked_again_and_gets_one_commit(person: Person, outside: Outside, sound: Sound) -> None:
    await outside.fault("commit", "answer", status=429, retry_after=1)
    run = await person.accepted(good(12))
    view = await person.ended(run)
    assert view["status"] == "ready"
    await sound()
    ledger = await outside.ledger()
    commits = [each for each in ledger["commits"] if each["repo"] == view["model"]["hub_repo"] and not each["by_hub"]]
    assert [each["title"].split()[0] for each in commits] == ["Publish", "Add"]
