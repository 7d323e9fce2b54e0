"""A small S3 on a socket, so that the real client is tested without a real server; with faults a real one hides."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from urllib.parse import parse_qsl, unquote, urlsplit
from xml.sax.saxutils import escape

import pytest

BUCKET = "photos"


@dataclass
class Asked:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def key(self) -> str:
        return self.path.partition("/")[2]


@dataclass
class Answer:
    """A response; `drop` closes the connection instead: before anything is sent, or after half of the body."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    drop: str = ""


Fault = Callable[[Asked], Answer | None]


def error(status: int, code: str) -> Answer:
    text = f"<Error><Code>{code}</Code><Message>users/acme.ann is private</Message></Error>"
    return Answer(status, f'<?xml version="1.0" encoding="UTF-8"?>{text}'.encode(), {"Content-Type": "application/xml"})


class WireS3:
    """One bucket. `asked` records every request; `before` and `after` may answer instead of the store."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.asked: list[Asked] = []
        self.before: Fault = lambda asked: None
        self.after: Fault = lambda asked: None

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        if refused := self.before(asked):
            return refused
        kept = self._answer(asked)
        return self.after(asked) or kept

    def _answer(self, asked: Asked) -> Answer:
        if asked.path.split("/")[0] != BUCKET:
            return error(404, "NoSuchBucket")
        act = {
            "GET": self._get if asked.key else self._list,
            "HEAD": self._get,
            "PUT": self._part if "uploadId" in asked.query else self._put,
            "POST": self._complete if "uploadId" in asked.query else self._begin,
            "DELETE": self._delete,
        }
        return act[asked.method](asked)

    def _get(self, asked: Asked) -> Answer:
        if asked.key not in self.objects:
            return error(404, "NoSuchKey")
        data, modified = self.objects[asked.key]
        headers = {"Last-Modified": format_datetime(modified, usegmt=True), "ETag": _etag(data)}
        if span := asked.headers.get("range"):
            first, _, last = span.removeprefix("bytes=").partition("-")
            if int(first) >= len(data):
                return error(416, "InvalidRange")
            return Answer(206, data[int(first) : int(last) + 1 if last else None], headers)
        return Answer(200, data, headers)

    def _put(self, asked: Asked) -> Answer:
        return self._store(asked, asked.body) or Answer(headers={"ETag": _etag(asked.body)})

    def _begin(self, asked: Asked) -> Answer:
        number = str(len(self.asked))
        self.uploads[number] = {}
        return _xml("InitiateMultipartUploadResult", f"<UploadId>{number}</UploadId>")

    def _part(self, asked: Asked) -> Answer:
        self.uploads[asked.query["uploadId"]][int(asked.query["partNumber"])] = asked.body
        return Answer(headers={"ETag": _etag(asked.body)})

    def _complete(self, asked: Asked) -> Answer:
        parts = self.uploads.get(asked.query["uploadId"])
        if parts is None:
            return error(404, "NoSuchUpload")
        refused = self._store(asked, b"".join(parts[number] for number in sorted(parts)))
        if refused is None:
            del self.uploads[asked.query["uploadId"]]
        return refused or _xml("CompleteMultipartUploadResult", "")

    def _delete(self, asked: Asked) -> Answer:
        if "uploadId" in asked.query:
            self.uploads.pop(asked.query["uploadId"])
        else:
            self.objects.pop(asked.key, None)
        return Answer(204)

    def _list(self, asked: Asked) -> Answer:
        after = asked.query.get("continuation-token", "")
        found = [k for k in sorted(self.objects) if k.startswith(asked.query["prefix"]) and k > after]
        page = "".join(self._listed(key) for key in found[:3])  # short pages, to see that all are asked for
        if len(found) > 3:
            page += f"<IsTruncated>true</IsTruncated><NextContinuationToken>{found[2]}</NextContinuationToken>"
        return _xml("ListBucketResult", page)

    def _listed(self, key: str) -> str:
        data, modified = self.objects[key]
        time = f"<LastModified>{modified.isoformat()}</LastModified>"
        return f"<Contents><Key>{escape(key)}</Key><Size>{len(data)}</Size>{time}</Contents>"

    def _store(self, asked: Asked, data: bytes) -> Answer | None:
        if asked.headers.get("if-none-match") == "*" and asked.key in self.objects:
            return error(412, "PreconditionFailed")
        self.objects[asked.key] = (data, datetime.now(UTC).replace(microsecond=0))
        return None


def _etag(data: bytes) -> str:
    return f'"{hashlib.sha256(data).hexdigest()[:32]}"'


def _xml(root: str, inner: str) -> Answer:
    return Answer(body=f"<{root}>{inner}</{root}>".encode(), headers={"Content-Type": "application/xml"})


@asynccontextmanager
async def serving(store: WireS3) -> AsyncIterator[str]:
    """The endpoint URL under which `store` answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while asked := await _asked(reader, writer):
                if not await _answered(writer, asked, store.answer(asked)):
                    return
        except (ConnectionError, asyncio.IncompleteReadError):
            return
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await server.wait_closed()


async def _asked(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked | None:
    line = (await reader.readline()).decode()
    if not line:
        return None
    method, target, _ = line.split(" ")
    headers: dict[str, str] = {}
    while (text := (await reader.readline()).decode().strip()) != "":
        name, _, value = text.partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("expect") == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    url = urlsplit(target)
    query = dict(parse_qsl(url.query, keep_blank_values=True))
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Asked(method, unquote(url.path).removeprefix("/"), query, headers, body)


async def _answered(writer: asyncio.StreamWriter, asked: Asked, answer: Answer) -> bool:
    """Sends the answer; False when the connection is to be dropped."""
    if answer.drop == "before":
        return False
    head = {"Content-Length": str(len(answer.body)), **answer.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    body = b"" if asked.method == "HEAD" else answer.body
    writer.write(f"HTTP/1.1 {answer.status} x\r\n{lines}\r\n".encode())
    writer.write(body[: len(body) // 2] if answer.drop else body)
    await writer.drain()
    return not answer.drop


@asynccontextmanager
async def wired(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WireS3]:
    """A small S3 that the AWS_* variables lead to."""
    s3 = WireS3()
    async with serving(s3) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield s3
