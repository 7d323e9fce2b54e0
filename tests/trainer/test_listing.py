"""Listings as they may come over the wire: pages, rows nobody expects, addresses that lead elsewhere."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lifemask.bus.outcomes import Retryable
from lifemask.sandbox.listening import listen, serving
from lifemask.trainer.adapters.replicate import Account, ReplicateTrainings, open_trainings

NOW = datetime(2026, 1, 2, 12, tzinfo=UTC)
SINCE = NOW - timedelta(hours=1)


def row(id: str, path: str = "/v1/objects/other", *, age: float = 0, **changes: Any) -> dict[str, Any]:
    created = (NOW - timedelta(minutes=age)).isoformat()
    shown = {"id": id, "status": "processing", "created_at": created, "metrics": {"predict_time": 1.5}}
    return {**shown, "input": {"input_images": f"https://lifemask.test{path}?s=1"}, **changes}


class Pages:
    """Serves pages, and records which were asked for."""

    def __init__(self, pages: list[list[Any]], base: str) -> None:
        self.pages = pages
        self.base = base
        self.asked: list[str] = []

    async def page(self, request: Request) -> JSONResponse:
        number = int(request.query_params.get("cursor", 0))
        self.asked.append(f"{request.headers['host']} {number}")
        more = f"{self.base}/v1/trainings?cursor={number + 1}" if number + 1 < len(self.pages) else None
        return JSONResponse({"previous": None, "next": more, "results": self.pages[number]})


@pytest.fixture
async def served() -> AsyncIterator[tuple[Pages, ReplicateTrainings]]:
    sock = listen("127.0.0.1")
    url = f"http://127.0.0.1:{sock.getsockname()[1]}"
    pages = Pages([], url)
    account = Account("lifemask/loras", "gpu-h100", call=5, create=5, pages=3)
    app = Starlette(routes=[Route("/v1/trainings", pages.page)])
    async with serving((app, sock)), open_trainings("token", url, account) as trainings:
        yield pages, trainings


async def test_pages_are_read_until_they_are_too_old(served: tuple[Pages, ReplicateTrainings]) -> None:
    pages, trainings = served
    pages.pages = [[row("a")], [row("b", "/mine"), row("c", age=61)], [row("d", "/mine", age=62)]]
    listing = await trainings.find("/mine", SINCE)
    assert ([each.id for each in listing.matches], listing.clean) == (["b"], True)
    assert len(pages.asked) == 2


async def test_pages_that_shift_while_new_ones_arrive_hide_and_repeat_nothing(
    served: tuple[Pages, ReplicateTrainings],
) -> None:
    pages, trainings = served
    first, mine, aborted = row("a"), row("b", "/mine"), row("c", status="aborted", metrics=None)
    pages.pages = [[first, mine], [mine, aborted], [row("d", "/mine", age=2), row("e", age=61)]]
    listing = await trainings.find("/mine", SINCE)
    assert ([each.id for each in listing.matches], listing.clean) == (["b", "d"], True)


async def test_a_changed_signature_changes_no_path(served: tuple[Pages, ReplicateTrainings]) -> None:
    pages, trainings = served
    pages.pages = [[row("a", input={"input_images": "https://elsewhere.test/mine?X-Signature=other&Expires=9#x"})]]
    assert [each.id for each in (await trainings.find("/mine", SINCE)).matches] == ["a"]


async def test_a_listing_that_never_ends_proves_nothing(served: tuple[Pages, ReplicateTrainings]) -> None:
    pages, trainings = served
    pages.pages = [[row(str(number))] for number in range(4)]
    with pytest.raises(Retryable):
        await trainings.find("/mine", SINCE)


async def test_the_token_never_goes_to_another_host(served: tuple[Pages, ReplicateTrainings]) -> None:
    pages, trainings = served
    pages.pages, pages.base = [[row("a")], [row("b", "/mine")]], "http://elsewhere.test"
    assert len((await trainings.find("/mine", SINCE)).matches) == 1
    assert len({asked.split()[0] for asked in pages.asked}) == 1


@pytest.mark.parametrize(
    "odd",
    [
        {"id": "no status"},
        "not an object",
        None,
        {"id": "../models", "status": "starting"},
        {"id": "x", "status": "processing", "input": "text", "created_at": NOW.isoformat()},
        {"id": "x", "status": "processing", "input": {"input_images": 7}},
    ],
)
async def test_rows_nobody_expects_hide_no_other_row(served: tuple[Pages, ReplicateTrainings], odd: Any) -> None:
    pages, trainings = served
    pages.pages = [[odd, row("b", "/mine")]]
    listing = await trainings.find("/mine", SINCE)
    assert ([each.id for each in listing.matches], listing.clean) == (["b"], False)


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "aborted", "metrics": {}},
        {"status": "never-heard-of"},
        {"created_at": "yesterday"},
        {"created_at": None, "started_at": 7},
        {"metrics": "none", "logs": 3, "output": ["x"], "error": {"a": 1}},
        {"metrics": {"predict_time": "much"}, "output": None},
    ],
)
async def test_odd_fields_count_as_absent(served: tuple[Pages, ReplicateTrainings], changes: dict[str, Any]) -> None:
    pages, trainings = served
    pages.pages = [[row("a", "/mine", **changes)]]
    listing = await trainings.find("/mine", SINCE)
    assert ([each.id for each in listing.matches], listing.clean) == (["a"], True)
