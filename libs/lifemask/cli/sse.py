"""Server-sent events, as the HTML standard has them: lines in, events out."""

from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ServerEvent:
    """One event; `id` is the last one that the stream has named, to resume behind it."""

    event: str
    data: str
    id: str | None


async def read_events(lines: AsyncIterable[str]) -> AsyncIterator[ServerEvent]:
    """The events in `lines` (without line ends). Comments and an unfinished last event are dropped."""
    last_id: str | None = None
    kind, data = "message", list[str]()
    async for line in lines:
        if not line:
            if data:
                yield ServerEvent(kind, "\n".join(data), last_id)
            kind, data = "message", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "data":
            data.append(value)
        elif field == "event":
            kind = value
        elif field == "id" and "\0" not in value:
            last_id = value
