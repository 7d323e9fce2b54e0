"""The small pure pieces: multipart, ranges, signatures, file names."""

import base64
import contextlib
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from lifemask.ingest.domain.photos import plain_name, sniff
from lifemask.ingest.domain.signature import Signed, is_genuine, secret_bytes
from lifemask.ingest.http.multipart import BadMultipart, boundary_of, parts
from lifemask.ingest.http.ranges import NotSatisfiable, Span, span_of
from lifemask.ingest.http.sse import position_of

BOUNDARY = b"ab"
KEY = b"twenty-four bytes of key"


def body(files: Sequence[tuple[str | None, bytes]]) -> bytes:
    pieces = []
    for name, content in files:
        named = b'; filename="%s"' % name.encode() if name is not None else b""
        pieces.append(b'--ab\r\nContent-Disposition: form-data; name="p"' + named + b"\r\n\r\n" + content + b"\r\n")
    return b"".join(pieces) + b"--ab--\r\n"


async def read(chunks: Sequence[bytes], *, skipping: frozenset[int] = frozenset()) -> list[tuple[str | None, bytes]]:
    async def source() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    found = []
    number = 0
    async for part in parts(source(), BOUNDARY):
        content = b"" if number in skipping else b"".join([chunk async for chunk in part.chunks()])
        found.append((part.filename, content))
        number += 1
    return found


NAMES = st.none() | st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, exclude_characters='"\\\x7f:'))
CONTENTS = st.binary(max_size=60) | st.sampled_from([b"\r\n--a", b"\r\n--ab", b"--ab--", b"\r", b"\r\n\r\n--"]).map(
    lambda tricky: b"x" + tricky[:-1]
)
FILES = st.lists(st.tuples(NAMES, CONTENTS), min_size=1, max_size=4)


@given(FILES, st.data())
async def test_any_chunking_gives_the_same_parts(files: list[tuple[str | None, bytes]], data: st.DataObject) -> None:
    whole = body(files)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(whole)), max_size=12)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert await read(chunks) == await read([whole]) == files
    assert await read([bytes([each]) for each in whole]) == files


@given(FILES)
async def test_a_part_nobody_reads_is_skipped(files: list[tuple[str | None, bytes]]) -> None:
    found = await read([body(files)], skipping=frozenset({0}))
    assert found[1:] == files[1:]


@given(FILES, st.data())
async def test_a_body_that_stops_is_told_from_a_whole_one(
    files: list[tuple[str | None, bytes]], data: st.DataObject
) -> None:
    whole = body(files)
    end = data.draw(st.integers(0, len(whole) - len(b"--\r\n") - 1))
    with pytest.raises(BadMultipart):
        await read([whole[:end]])


@given(st.lists(st.binary(max_size=40), max_size=5))
async def test_noise_is_refused_or_read_but_never_breaks(chunks: list[bytes]) -> None:
    with contextlib.suppress(BadMultipart):
        await read(chunks)


@pytest.mark.parametrize("given_", [None, "", "text/plain", "multipart/form-data", "multipart/mixed; boundary=ab"])
def test_another_content_type_is_refused(given_: str | None) -> None:
    with pytest.raises(BadMultipart):
        boundary_of(given_)


def test_a_boundary_may_be_quoted() -> None:
    assert boundary_of('multipart/form-data; charset=utf-8; boundary="a b"') == b"a b"


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None),
        ("bytes=0-0", Span(0, 1)),
        ("bytes=5-", Span(5, 100)),
        ("bytes=-10", Span(90, 100)),
        ("bytes=-1000", Span(0, 100)),
        ("bytes=90-1000", Span(90, 100)),
        ("bytes=9-3", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=" + "9" * 30 + "-", None),
    ],
)
def test_ranges(header: str | None, expected: Span | None) -> None:
    assert span_of(header, 100) == expected


@pytest.mark.parametrize(("header", "size"), [("bytes=100-", 100), ("bytes=-0", 100), ("bytes=0-", 0)])
def test_ranges_behind_the_end(header: str, size: int) -> None:
    with pytest.raises(NotSatisfiable):
        span_of(header, size)


@given(st.binary(max_size=200), st.integers(0, 600))
def test_signatures_are_those_of_standard_webhooks(content: bytes, age: int) -> None:
    at = datetime(2026, 1, 1, tzinfo=UTC)
    text = content.decode("latin-1")
    signature = Webhook(base64.b64encode(KEY).decode()).sign("msg", at, text)
    message = Signed("msg", str(int(at.timestamp())), f"v1a,xx v1,yy {signature}", text.encode())
    assert is_genuine(message, KEY, at.timestamp() + age) is (age <= 300)
    assert not is_genuine(Signed(message.id, message.timestamp, message.signatures, b"!" + message.body), KEY, 0)


@given(st.text(max_size=20), st.text(max_size=20), st.text(max_size=60))
def test_malformed_headers_are_not_genuine(id_: str, timestamp: str, signatures: str) -> None:
    assert not is_genuine(Signed(id_, timestamp, signatures, b"{}"), KEY, 1_767_225_600)


def test_secrets() -> None:
    assert secret_bytes("whsec_" + base64.b64encode(KEY).decode()) == KEY
    for wrong in ("whsec_", "whsec_%%%", ""):
        with pytest.raises(ValueError, match="secret"):
            secret_bytes(wrong)


@pytest.mark.parametrize(
    ("head", "kind"),
    [
        (b"\xff\xd8\xff\xe1", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"RIFF\0\0\0\0WEBP", "image/webp"),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"hello", "application/octet-stream"),
        (b"", "application/octet-stream"),
    ],
)
def test_sniffing(head: bytes, kind: str) -> None:
    assert sniff(head) == kind


@pytest.mark.parametrize(
    ("given_", "kept"),
    [
        ("a.jpg", "a.jpg"),
        ("../../etc/passwd", "passwd"),
        ("C:\\photos\\me.jpg", "me.jpg"),
        ("a\0\nb.jpg", "ab.jpg"),
        ("", "photo"),
        ("dir/", "photo"),
        ("x" * 300, "x" * 255),
    ],
)
def test_file_names(given_: str, kept: str) -> None:
    assert plain_name(given_) == kept


@pytest.mark.parametrize(("given_", "position"), [(None, 0), ("", 0), ("7", 7), ("-1", 0), ("x", 0), ("9" * 20, 0)])
def test_positions(given_: str | None, position: int) -> None:
    assert position_of(given_) == position
