"""Rights to put one object: what is signed for S3 and R2, what a server makes of it, and token URLs."""

import base64
import hashlib
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from lifemask.objects import keys, open_objects
from lifemask.objects.targets import Expected, PresignedTargets, TokenTargets, expected_of
from lifemask.objects.tokens import BadToken, Tokens
from lifemask.testkit.objects import InMemoryObjects

CONTENT = b"\xff\xd8\xff" + b"\0" * 20_000
EXPECTED = Expected(
    keys.incoming("acme", "u1", "up-1", "a"), len(CONTENT), hashlib.sha256(CONTENT).hexdigest(), "image/jpeg"
)
LIFE = timedelta(minutes=15)

Changes = dict[str, str | None]


@pytest.mark.parametrize(
    ("endpoint", "region"),
    [
        ("https://account.r2.cloudflarestorage.com", "auto"),
        ("https://s3.eu-central-1.amazonaws.com", "eu-central-1"),
        ("http://127.0.0.1:7070", "us-east-1"),  # where the client's own choice would be the old signature
    ],
    ids=["r2", "s3", "elsewhere"],
)
async def test_every_term_is_a_signed_header(monkeypatch: pytest.MonkeyPatch, endpoint: str, region: str) -> None:
    for name, value in {
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": region,
    }.items():
        monkeypatch.setenv(name, value)
    async with open_objects("s3://photos") as store:
        assert isinstance(store, PresignedTargets)
        target = await store.target(EXPECTED, LIFE)
    found = urlsplit(target.url)
    query = {name: values[0] for name, values in parse_qs(found.query).items()}
    assert target.method == "PUT"
    assert found.path.endswith("/incoming/acme/u1/up-1/a")
    assert set(query) == {
        "X-Amz-Algorithm",
        "X-Amz-Credential",
        "X-Amz-Date",
        "X-Amz-Expires",
        "X-Amz-SignedHeaders",
        "X-Amz-Signature",
    }
    assert query["X-Amz-SignedHeaders"] == "content-length;content-type;host;if-none-match;x-amz-checksum-sha256"
    assert query["X-Amz-Expires"] == "900"
    assert f"/{region}/s3/aws4_request" in query["X-Amz-Credential"]
    assert "secret" not in target.url
    assert "acl" not in target.url.lower()
    assert target.headers == {
        "Content-Length": str(len(CONTENT)),
        "Content-Type": "image/jpeg",
        "If-None-Match": "*",
        "x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(CONTENT).digest()).decode(),
    }


async def test_a_store_that_signs_nothing_is_told_apart() -> None:
    assert not isinstance(InMemoryObjects(), PresignedTargets)


async def test_a_token_url_carries_its_terms() -> None:
    tokens = Tokens(b"s" * 32)
    target = await TokenTargets(tokens, "http://ingest.test/").target(EXPECTED, LIFE)
    assert target.url.startswith("http://ingest.test/v1/objects/")
    token, now = target.url.rsplit("/", 1)[1], datetime.now(UTC)
    assert expected_of(tokens.open(token, now)) == EXPECTED
    with pytest.raises(BadToken):
        tokens.open(token, now + LIFE)
    with pytest.raises(BadToken):
        expected_of(tokens.open(tokens.mint(EXPECTED.key, "weights", now + LIFE), now))


@pytest.mark.real
async def test_a_real_server_holds_to_every_term(
    s3_environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in s3_environment.items():
        monkeypatch.setenv(name, value)
    async with open_objects(s3_environment["LIFEMASK_OBJECTS"]) as store, httpx.AsyncClient() as http:
        assert isinstance(store, PresignedTargets)
        await store.delete(EXPECTED.key)
        target = await store.target(EXPECTED, LIFE)

        async def put(content: bytes = CONTENT, *, url: str = target.url, changes: Changes | None = None) -> int:
            headers = {**target.headers, "Content-Length": str(len(content)), **(changes or {})}
            sent = {name: value for name, value in headers.items() if value is not None}
            return (await http.put(url, content=content, headers=sent)).status_code

        other = base64.b64encode(hashlib.sha256(b"other").digest()).decode()
        assert await put(url=target.url.replace("/up-1/", "/up-2/")) == 403
        assert await put(changes={"Content-Type": "image/png"}) == 403
        assert await put(changes={"x-amz-checksum-sha256": other}) == 403
        assert await put(changes={"x-amz-checksum-sha256": None}) == 403
        assert await put(changes={"If-None-Match": None}) == 403
        assert await put(CONTENT + b"x") == 403
        assert await put(CONTENT[:-1] + b"x") == 400
        assert (await http.get(target.url)).status_code == 403
        assert (await http.delete(target.url)).status_code == 403
        assert await store.head(EXPECTED.key) is None
        assert await put() == 200
        assert await put() == 412
        assert await store.get(EXPECTED.key, limit=30_000) == CONTENT
        await store.delete(EXPECTED.key)
