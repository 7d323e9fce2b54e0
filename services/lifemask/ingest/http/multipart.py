"""multipart/form-data as a stream: nothing is kept but the current chunk, nothing touches a disk.

The parser's callbacks are synchronous, so the pieces of one chunk are gathered and handed out before the next chunk is
asked for: the reader of a part sets the pace of the sender.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

_HEADERS_MAX: Final = 16
_HEADER_BYTES_MAX: Final = 4096


class BadMultipart(ValueError):
    """The body is not what its content type says, or stops in the middle."""


@dataclass(frozen=True, slots=True)
class Begin:
    """A part begins. `filename` is None for a plain field."""

    name: str
    filename: str | None


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of the part's content."""

    content: bytes


@dataclass(frozen=True, slots=True)
class End:
    """The part is whole."""


Token = Begin | Data | End


def boundary_of(content_type: str | None) -> bytes:
    """The boundary of a multipart/form-data body. Raises BadMultipart for another type."""
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise BadMultipart("the content type must be multipart/form-data with a boundary")
    return boundary


@dataclass(slots=True)
class _Gatherer:
    """Turns the parser's callbacks into tokens."""

    tokens: list[Token] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    name: bytes = b""
    value: bytes = b""
    finished: bool = False

    def begin(self) -> None:
        self.headers, self.name, self.value = {}, b"", b""

    def header_field(self, data: bytes, start: int, end: int) -> None:
        self.name += data[start:end]

    def header_value(self, data: bytes, start: int, end: int) -> None:
        self.value += data[start:end]

    def header_end(self) -> None:
        self.headers[self.name.decode("latin-1").lower()] = self.value.decode("latin-1")
        self.name = self.value = b""

    def headers_finished(self) -> None:
        _, options = parse_options_header(self.headers.get("content-disposition"))
        filename = options.get(b"filename")
        self.tokens.append(
            Begin(
                options.get(b"name", b"").decode("utf-8", "replace"),
                None if filename is None else filename.decode("utf-8", "replace"),
            )
        )

    def data(self, data: bytes, start: int, end: int) -> None:
        self.tokens.append(Data(data[start:end]))

    def end(self) -> None:
        self.tokens.append(End())

    def finish(self) -> None:
        self.finished = True


async def tokens(body: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[Token]:
    """The parts of a body, as they come. Raises BadMultipart, and whatever `body` raises."""
    gathered = _Gatherer()
    try:
        parser = MultipartParser(
            boundary,
            {
                "on_part_begin": gathered.begin,
                "on_header_field": gathered.header_field,
                "on_header_value": gathered.header_value,
                "on_header_end": gathered.header_end,
                "on_headers_finished": gathered.headers_finished,
                "on_part_data": gathered.data,
                "on_part_end": gathered.end,
                "on_end": gathered.finish,
            },
            max_header_count=_HEADERS_MAX,
            max_header_size=_HEADER_BYTES_MAX,
        )
        async for chunk in body:
            if gathered.finished:
                continue  # an epilogue means nothing
            parser.write(chunk)
            for token in gathered.tokens:
                yield token
            gathered.tokens.clear()
    except FormParserError:
        raise BadMultipart("the multipart body is damaged") from None
    if not gathered.finished:
        raise BadMultipart("the multipart body stops before its end")


class Part:
    """One part. Its content can be read once; what is left of it is skipped before the next part comes."""

    def __init__(self, begin: Begin, source: AsyncIterator[Token]) -> None:
        self.name = begin.name
        self.filename = begin.filename
        self._source = source
        self._whole = False

    async def chunks(self) -> AsyncIterator[bytes]:
        """The content as it comes. Raises BadMultipart when the body stops in the middle."""
        while not self._whole:
            match await anext(self._source, None):
                case Data(content):
                    yield content
                case End():
                    self._whole = True
                case _:
                    raise BadMultipart("the multipart body stops before its end")

    async def skip(self) -> None:
        """Reads what is left and forgets it."""
        async for _ in self.chunks():
            pass


async def parts(body: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[Part]:
    """The parts of a body, one after the other."""
    source = tokens(body, boundary)
    async for token in source:
        if isinstance(token, Begin):
            part = Part(token, source)
            yield part
            await part.skip()
