"""Asks a system that is at rest about its runs once more: their streams, and what strangers are told of them."""

import asyncio
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

import httpx
from tests.system.app import Person
from tests.system.checker import TERMINAL
from tests.system.history import Answer, History, Stream

SAMPLE: Final = 8
"""The newest runs; an older one was asked about when it was new."""
PATIENCE: Final = 30.0
"""Seconds for one question: a service may be starting again."""
Changes = tuple[tuple[int, str], ...]


async def ask(history: History, url: str, apps: Mapping[str, str], sample: int = SAMPLE) -> None:
    """Puts the answers into the history. `apps`: keys by name; the runs are those of the first app's users."""
    mine, *others = apps
    over = {fact.key for fact in history.facts if fact.kind in TERMINAL} & history.submitted
    newest = sorted((key for key in over if key[0].startswith(f"{mine}.")), key=lambda key: key[1])[-sample:]
    models = {key: model for model, key in history.models.items()}
    async with AsyncExitStack() as clients:
        http = {
            app: await clients.enter_async_context(
                httpx.AsyncClient(base_url=url, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=20)
            )
            for app, key in apps.items()
        }
        for user, run in newest:
            name = user.removeprefix(f"{mine}.")
            history.streams[user, run] = await _stream(Person(http[mine], mine, name), run)
            strangers = [Person(http[mine], mine, f"u{uuid4().hex[:12]}")]
            for stranger in (*strangers, *(Person(http[app], app, name) for app in others)):
                history.strangers += await _told(stranger, run, models.get((user, run)))


async def _stream(owner: Person, run: str) -> Stream:
    try:
        whole = await _changes(owner, run, 0)
        known = len(whole) // 2
        return Stream(whole=whole, known=known, rest=await _changes(owner, run, known))
    except (TimeoutError, httpx.HTTPError) as problem:
        return Stream(problem=f"{type(problem).__name__}: {problem}")


async def _changes(owner: Person, run: str, after: int) -> Changes:
    """Number and text of each change after `after`, to the end of the stream."""
    async with asyncio.timeout(PATIENCE):
        answer = await _answer(owner, "GET", ("runs", run, "events"), headers={"Last-Event-ID": str(after)})
    blocks = [block.partition("\n") for block in answer.raise_for_status().text.split("\n\n") if block[:3] == "id:"]
    return tuple((int(first.removeprefix("id:")), rest) for first, _, rest in blocks)


async def _told(stranger: Person, run: str, model: str | None) -> list[Answer]:
    asked = [
        ("GET", ("runs", run)),
        ("GET", ("runs", run, "photos")),
        ("GET", ("runs", run, "events")),
        ("POST", ("runs", run, "submit")),
        ("POST", ("runs", run, "cancel")),
        ("POST", ("runs", run, "restart")),
        ("DELETE", ("runs", run, "photos", run)),
        *([("GET", ("models", model))] if model else []),
    ]
    told = []
    for method, parts in asked:
        answer = await _answer(stranger, method, parts)
        told.append(Answer(asked=f"a stranger's {method} {parts}", status=answer.status_code, body=answer.text))
    return told


async def _answer(person: Person, method: str, parts: tuple[str, ...], **more: Mapping[str, str]) -> httpx.Response:
    """Asks again while nobody answers, and when the service says that it cannot just now."""
    async with asyncio.timeout(PATIENCE):
        while True:
            try:
                answer = await person.http.request(method, person.path(*parts), **more)  # type: ignore[arg-type]
                if answer.status_code != 503:
                    return answer
            except httpx.TransportError:
                """A process may have ended, and the next one is on its way."""
            await asyncio.sleep(0.2)
