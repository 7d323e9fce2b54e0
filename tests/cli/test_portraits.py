"""The demonstration's photos: same seed, same files; fit where they shall be; no two alike but the intended."""

import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps

from lifemask.cli.portraits import Drawn, Flaw, draw_album

pytestmark = pytest.mark.slow

SHARP = 12.0  # tile95 at 1024 below which a photo counts as blurred


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> tuple[Drawn, ...]:
    return draw_album(tmp_path_factory.mktemp("album"))


def test_an_album_of_twenty_has_sixteen_good_photos(album: tuple[Drawn, ...]) -> None:
    assert [photo.flaw for photo in album if photo.flaw] == [Flaw.BLURRED, Flaw.DARK, Flaw.DUPLICATE, Flaw.TRUNCATED]
    assert len(album) == 20
    assert len({photo.path.name for photo in album}) == 20


def test_the_same_seed_draws_the_same_files(tmp_path: Path) -> None:
    first, second = (_digests(draw_album(tmp_path / name, photos=2, unfit=1, seed=5)) for name in ("a", "b"))
    assert first == second
    assert _digests(draw_album(tmp_path / "c", photos=2, unfit=1, seed=6)) != first


def test_good_photos_are_sharp_and_within_the_limits(album: tuple[Drawn, ...]) -> None:
    for photo in _good(album):
        assert 10_000 < photo.path.stat().st_size < 10_000_000
        with Image.open(photo.path) as image:
            assert min(image.size) >= 1000
            assert _tile95(image) > 10 * SHARP, photo.path.name
            assert 40 < np.asarray(image.convert("L")).mean() < 215


def test_each_flaw_is_what_it_says(tmp_path: Path) -> None:
    drawn = {photo.flaw: photo.path for photo in draw_album(tmp_path, photos=7, unfit=5)}
    with Image.open(drawn[Flaw.BLURRED]) as image:
        assert _tile95(image) < SHARP
    with Image.open(drawn[Flaw.DARK]) as image:
        assert np.asarray(image.convert("L")).mean() < 16
    with Image.open(drawn[Flaw.SMALL]) as image:
        assert max(image.size) == 400
    with Image.open(drawn[Flaw.TRUNCATED]) as image, pytest.raises(OSError, match="truncated"):
        image.load()
    with Image.open(drawn[Flaw.DUPLICATE]) as copy, Image.open(tmp_path / "IMG_0002.jpg") as original:
        assert _distance(_phash(copy), _phash(original)) <= 4


def test_no_two_good_photos_look_alike(album: tuple[Drawn, ...]) -> None:
    hashes = {}
    for photo in _good(album):
        with Image.open(photo.path) as image:
            image.draft("RGB", (256, 256))  # a JPEG is decoded small: a likeness needs 32 pixels
            hashes[photo.path.name] = _phash(ImageOps.exif_transpose(image))
    assert min(_distance(hashes[a], hashes[b]) for a, b in combinations(hashes, 2)) >= 14


def test_the_album_holds_what_real_folders_hold(album: tuple[Drawn, ...]) -> None:
    formats, turns, makes, megapixels = set(), set(), set(), []
    for photo in _good(album):
        with Image.open(photo.path) as image:
            exif = image.getexif()
            formats.add(image.format)
            turns.add(exif.get(ExifTags.Base.Orientation))
            makes.add(exif.get(ExifTags.Base.Make))
            megapixels.append(image.width * image.height / 1e6)
            if image.format == "JPEG":
                assert exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitudeRef] == "N"
    assert formats == {"JPEG", "PNG", "WEBP"}
    assert {1, 3, 6, 8} <= turns
    assert len(makes) > 5
    assert max(megapixels) > 12


def _good(album: tuple[Drawn, ...]) -> list[Drawn]:
    return [photo for photo in album if photo.flaw is None]


def _digests(album: tuple[Drawn, ...]) -> dict[str, str]:
    return {photo.path.name: hashlib.sha256(photo.path.read_bytes()).hexdigest() for photo in album}


def _tile95(image: Image.Image) -> float:
    grey = image.convert("L")
    grey.thumbnail((1024, 1024))
    p: NDArray[np.float32] = np.asarray(grey, dtype=np.float32)
    edges = p[1:-1, :-2] + p[1:-1, 2:] + p[:-2, 1:-1] + p[2:, 1:-1] - 4 * p[1:-1, 1:-1]
    high, wide = (side // 16 for side in edges.shape)
    tiles = edges[: high * 16, : wide * 16].reshape(high, 16, wide, 16).transpose(0, 2, 1, 3).reshape(-1, 256)
    return float(np.percentile(tiles.var(axis=1), 95))


def _phash(image: Image.Image) -> NDArray[np.bool_]:
    steps = np.arange(32)
    cosines = np.cos(np.pi * (2 * steps[None, :] + 1) * steps[:, None] / 64)
    grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.LANCZOS), dtype=np.float64)
    low = (cosines @ grey @ cosines.T)[:8, :8].ravel()
    return np.asarray(low > np.median(low[1:]))


def _distance(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> int:
    return int((one != other).sum())
