"""Asks a system that is at rest about its runs once more: their streams, and what strangers are told of them."""

import json
from typing import Final
from uuid import uuid4

from tests.system.app import Person
from tests.system.checker import TERMINAL
from tests.system.history import Answer, History, Stream

SAMPLE: Final = 8
"""The newest runs; an older one was asked about when it was new."""


async def ask(history: History, person: Person) -> None:
    """Puts the answers into the history. `person`: of the app whose runs these are; whose they are is not asked."""
    over = {fact.key for fact in history.facts if fact.kind in TERMINAL}
    mine = [key for key in over & history.submitted if key[0].startswith(f"{person.app}.")]
    models = {key: model for model, key in history.models.items()}
    for user, run in sorted(mine, key=lambda key: key[1])[-SAMPLE:]:
        owner = Person(person.http, person.app, user.removeprefix(f"{person.app}."))
        history.streams[user, run] = await _stream(owner, run)
        history.strangers += await _strangers(owner, run, models.get((user, run)))


async def _stream(owner: Person, run: str) -> Stream:
    whole = await owner.events(run)
    known = max(len(whole) // 2, 1)
    rest = await owner.events(run, whole[known - 1]["id"]) if whole else []
    return Stream(whole=tuple(map(json.dumps, whole)), known=known, rest=tuple(map(json.dumps, rest)))


async def _strangers(owner: Person, run: str, model: str | None) -> list[Answer]:
    stranger = Person(owner.http, owner.app, f"u{uuid4().hex[:12]}")
    asked = [
        ("GET", ("runs", run)),
        ("GET", ("runs", run, "photos")),
        ("GET", ("runs", run, "events")),
        ("POST", ("runs", run, "cancel")),
        ("POST", ("runs", run, "restart")),
        *([("GET", ("models", model))] if model else []),
    ]
    answers = [(method, parts, await stranger.http.request(method, stranger.path(*parts))) for method, parts in asked]
    return [
        Answer(asked=f"{method} {parts[0]}", status=each.status_code, body=each.text) for method, parts, each in answers
    ]
