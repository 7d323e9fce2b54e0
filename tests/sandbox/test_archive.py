"""How the trainer looks at its archive, and how it fails on a bad one."""

import pytest
from tests.sandbox.world import Outside, Provider, picture, twelve_photos, zipped

MANY = {f"{number:02d}.jpg": picture(number) for number in range(3)}


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (403, "HTTP 403 fetching input_images"),
        (404, "HTTP 404 fetching input_images"),
        (503, "HTTP 503 fetching input_images"),
        (b"no zip at all", "input_images must be a zip file"),
        (twelve_photos()[:-200], "input_images must be a zip file"),
        (zipped({"a.txt": b"only words"}), "No images found in input_images"),
        (zipped({"__MACOSX/a.jpg": picture(), "._b.jpg": picture()}), "No images found in input_images"),
        (zipped(MANY | {"bad.jpg": picture()[:200]}), "cannot identify image file 'bad.jpg'"),
        (zipped(MANY | {"bad.png": b"not a picture"}), "cannot identify image file 'bad.png'"),
    ],
)
async def test_a_bad_archive_fails_the_training(
    provider: Provider, outside: Outside, content: bytes | int, error: str
) -> None:
    made = await provider.create(outside.archive(content))
    shown = await provider.ended(made.id)
    assert (shown["status"], shown["error"], shown["output"]) == ("failed", error, None)
    row = (await provider.ledger())["trainings"][0]
    assert (row["status"], row["images"]) == ("failed", None)
    assert row["seconds"] == shown["metrics"]["predict_time"] < 10


async def test_an_archive_with_a_damaged_member_fails(provider: Provider, outside: Outside) -> None:
    content = bytearray(zipped(MANY))
    content[content.index(b"\xff\xd8") + 60] ^= 0xFF  # inside the first stored JPEG: its CRC no longer fits
    made = await provider.create(outside.archive(bytes(content)))
    assert (await provider.ended(made.id))["error"] == "input_images must be a zip file"


async def test_an_archive_that_nobody_serves_fails(provider: Provider) -> None:
    made = await provider.create("http://127.0.0.1:9/archive.zip")
    assert (await provider.ended(made.id))["error"] == "ConnectError fetching input_images"


async def test_a_server_that_comes_back_is_waited_for(provider: Provider, outside: Outside) -> None:
    outside.outages = [503, 502]
    made = await provider.create(outside.archive(twelve_photos()))
    assert (await provider.ended(made.id))["status"] == "succeeded"
    assert outside.outages == []


async def test_only_real_images_are_counted(provider: Provider, outside: Outside) -> None:
    members = MANY | {
        "sub/04.png": picture(kind="PNG"),
        "05.webp": picture(kind="WEBP"),
        "00.txt": b"TOK smiling",
        "notes.md": b"skipped",
        "__MACOSX/x.jpg": picture(),
        "._00.jpg": b"finder's litter",
    }
    made = await provider.create(outside.archive(zipped(members)))
    assert (await provider.ended(made.id))["status"] == "succeeded"
    row = (await provider.ledger())["trainings"][0]
    assert row["images"] == 5
    assert [member["name"] for member in row["archive"]["members"]] == [
        *MANY,
        "sub/04.png",
        "05.webp",
        "00.txt",
        "notes.md",
    ]
