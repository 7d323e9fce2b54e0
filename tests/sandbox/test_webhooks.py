"""Callbacks as the provider sends them, and as the switches spoil them."""

import json
from typing import Any

import pytest
from replicate.webhook import InvalidSignatureError, Webhooks, WebhookSigningSecret
from tests.sandbox.world import Outside, Provider, twelve_photos, until


@pytest.fixture
async def secret(provider: Provider) -> WebhookSigningSecret:
    return await provider.client.webhooks.default.async_secret()


def validate(hook: tuple[dict[str, str], bytes], secret: WebhookSigningSecret) -> dict[str, Any]:
    headers, body = hook
    Webhooks.validate(headers=headers, body=body.decode(), secret=secret, tolerance=300)
    return dict(json.loads(body))


async def start(provider: Provider, outside: Outside, *events: str) -> str:
    made = await provider.create(
        outside.archive(twelve_photos()), webhook=outside.hook, webhook_events_filter=list(events) or ["completed"]
    )
    return str(made.id)


async def test_the_end_is_told_once_and_signed(
    provider: Provider, outside: Outside, secret: WebhookSigningSecret
) -> None:
    training = await start(provider, outside)
    await until(outside.completed)
    await provider.settled(training)
    assert [validate(hook, secret)["status"] for hook in outside.hooks] == ["succeeded"]
    shown = await provider.raw(training)
    assert json.loads(outside.hooks[0][1]) == shown


async def test_every_event_that_was_asked_for_comes(
    provider: Provider, outside: Outside, secret: WebhookSigningSecret
) -> None:
    await start(provider, outside, "start", "output", "logs", "completed")
    await until(outside.completed)
    seen = [validate(hook, secret)["status"] for hook in outside.hooks]
    assert seen[0] == "processing"
    assert seen.count("succeeded") >= 1
    events = {line["event"] for line in (await provider.ledger())["webhooks"]}
    assert {"start", "logs", "completed"} <= events


async def test_the_terminal_one_is_retried_under_its_id(provider: Provider, outside: Outside) -> None:
    outside.answers = [500, 503]
    training = await start(provider, outside)
    await provider.settled(training)
    assert len({headers["webhook-id"] for headers, _ in outside.hooks}) == 1
    tries = [line["status"] for line in (await provider.ledger())["webhooks"]]
    assert tries == [500, 503, 200]


async def test_a_lost_one_never_comes(provider: Provider, outside: Outside) -> None:
    await provider.fault("webhook", "lose")
    training = await start(provider, outside)
    await provider.settled(training)
    assert outside.hooks == []
    assert [line["kind"] for line in (await provider.ledger())["webhooks"]] == ["lost"]


async def test_a_doubled_one_keeps_its_id(provider: Provider, outside: Outside) -> None:
    await provider.fault("webhook", "double")
    await provider.settled(await start(provider, outside))
    assert len(outside.hooks) == 2
    assert len({headers["webhook-id"] for headers, _ in outside.hooks}) == 1


async def test_a_forged_one_fails_the_check(provider: Provider, outside: Outside, secret: WebhookSigningSecret) -> None:
    await provider.fault("webhook", "forge")
    await provider.settled(await start(provider, outside))
    assert len(outside.hooks) == 1
    with pytest.raises(InvalidSignatureError):
        validate(outside.hooks[0], secret)


async def test_one_about_another_training_is_rightly_signed(
    provider: Provider, outside: Outside, secret: WebhookSigningSecret
) -> None:
    first = await start(provider, outside)
    await provider.settled(first)
    await provider.fault("webhook", "foreign", events=["completed"])
    second = await start(provider, outside)
    await provider.settled(second)
    assert [validate(hook, secret)["id"] for hook in outside.hooks] == [first, first]


async def test_a_cancel_is_told(provider: Provider, outside: Outside) -> None:
    await provider.fault("training", "timing", seconds=600)
    training = await start(provider, outside)
    await provider.images()
    await provider.client.trainings.async_cancel(training)
    body = await until(outside.completed)
    assert (body["id"], body["status"]) == (training, "canceled")
