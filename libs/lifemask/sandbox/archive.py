"""The trainer's look at its archive: fetched to disk, opened member by member, every image really decoded."""

import asyncio
import hashlib
import tempfile
import time
import warnings
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO

import httpx
from PIL import Image, UnidentifiedImageError

from lifemask.sandbox.settings import SandboxSettings
from lifemask.sandbox.training import Archive, Member

TRAINABLE = frozenset({".jpg", ".jpeg", ".png", ".webp"})
_FORMATS = ("JPEG", "PNG", "WEBP")
_CHUNK = 1 << 20
_CAPTION_BYTES = 64_000
_PAUSES = (0.3, 2.0)
"""Seconds before the second try and at most; each next pause is half as long again."""
_PASSING = frozenset({502, 503, 504})


class RefusedError(Exception):
    """The trainer cannot work with this archive; the text is the training's error."""


async def fetch_archive(url: str, settings: SandboxSettings, folder: Path) -> Archive:
    """Fetches and inspects the archive at `url`; nothing is left in `folder`. Raises RefusedError."""
    with tempfile.TemporaryFile(dir=folder) as file:
        sha256, size = await _download(url, file, settings)
        members, captions = await asyncio.to_thread(_inspect, file, settings)
    return Archive(fetched_at=time.time(), bytes=size, sha256=sha256, members=members, captions=captions)


async def _download(url: str, file: IO[bytes], settings: SandboxSettings) -> tuple[str, int]:
    """Tries again while whoever serves the archive is away: here a kill takes both sides, and ours is up first."""
    deadline, (pause, longest) = time.monotonic() + settings.archive_patience_seconds, _PAUSES
    while True:
        file.seek(0)
        file.truncate()
        try:
            return await _download_once(url, file, settings.max_archive_bytes)
        except httpx.HTTPError as error:
            if time.monotonic() + pause > deadline:
                raise RefusedError(f"{_what(error)} fetching input_images") from error
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, longest)


def _what(error: httpx.HTTPError) -> str:
    if isinstance(error, httpx.HTTPStatusError):
        return f"HTTP {error.response.status_code}"
    return type(error).__name__


async def _download_once(url: str, file: IO[bytes], limit: int) -> tuple[str, int]:
    digest = hashlib.sha256()
    size = 0
    async with (
        httpx.AsyncClient(follow_redirects=True, timeout=httpx.Timeout(30, connect=5), trust_env=False) as client,
        client.stream("GET", url) as response,
    ):
        if response.status_code in _PASSING:
            response.raise_for_status()
        if response.status_code != httpx.codes.OK:
            raise RefusedError(f"HTTP {response.status_code} fetching input_images")
        async for chunk in response.aiter_bytes(_CHUNK):
            size += len(chunk)
            if size > limit:
                raise RefusedError(f"input_images is larger than {limit} bytes")
            digest.update(chunk)
            file.write(chunk)
    return digest.hexdigest(), size


def _inspect(file: IO[bytes], settings: SandboxSettings) -> tuple[list[Member], dict[str, str]]:
    try:
        with zipfile.ZipFile(file) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir() and not _is_litter(info.filename)]
            if len(infos) > settings.max_members:
                raise RefusedError(f"input_images has more than {settings.max_members} files")
            members = [_read_member(archive, info, settings) for info in infos]
            images = [PurePosixPath(info.filename) for info in infos if _is_image(info.filename)]
            if not images:
                raise RefusedError("No images found in input_images")
            return members, {image.stem: _caption(archive, infos, image) for image in images}
    except (zipfile.BadZipFile, zipfile.LargeZipFile, NotImplementedError, EOFError) as error:
        raise RefusedError("input_images must be a zip file") from error


def _is_litter(name: str) -> bool:
    path = PurePosixPath(name)
    return "__MACOSX" in path.parts or path.name.startswith("._")


def _is_image(name: str) -> bool:
    return PurePosixPath(name).suffix.lower() in TRAINABLE


def _read_member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, settings: SandboxSettings) -> Member:
    """Reads one member to its end, CRC included, and decodes it when it is an image."""
    if info.file_size > settings.max_member_bytes:
        raise RefusedError(f"a file in input_images is larger than {settings.max_member_bytes} bytes")
    digest = hashlib.sha256()
    size = 0
    with archive.open(info) as source:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
    if _is_image(info.filename):
        with archive.open(info) as source:
            _decode(source, info.filename, settings.max_pixels)
    return Member(name=info.filename, bytes=size, sha256=digest.hexdigest())


def _decode(source: IO[bytes], name: str, max_pixels: int) -> None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the cap below is ours
            with Image.open(source, formats=_FORMATS) as image:
                if image.width * image.height > max_pixels:
                    raise RefusedError(f"image '{name}' has more than {max_pixels} pixels")
                image.load()
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise RefusedError(f"cannot identify image file '{name}'") from error


def _caption(archive: zipfile.ZipFile, infos: list[zipfile.ZipInfo], image: PurePosixPath) -> str:
    """The text the archive brings along for an image, else "": then the captioner would guess."""
    wanted = str(image.with_suffix(".txt"))
    for info in infos:
        if info.filename == wanted:
            with archive.open(info) as source:
                return source.read(_CAPTION_BYTES).decode("utf-8", "replace")
    return ""
