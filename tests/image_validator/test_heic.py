"""HEIC photos: as any other where the extra is installed, refused with a helpful sentence where it is not."""

import io
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from PIL import Image
from tests.image_validator.heics import declaring, grid_declaring, heic, sequence, ten_bits
from tests.image_validator.looks import cleaned, difference, seen
from tests.image_validator.pictures import blurred, portrait
from tests.image_validator.policies import POLICY

from lifemask.contracts import Verdict, sentence
from lifemask.image_validator.adapters import heif
from lifemask.image_validator.adapters.boxes import Malformed
from lifemask.image_validator.adapters.cleaning import cleaned as in_srgb
from lifemask.image_validator.adapters.imaging import open_imaging
from lifemask.image_validator.adapters.nclx import profile_of
from lifemask.image_validator.domain.photo import Examined, Kind

SIZE = (600, 800)
TILED = {"tile_size": 256}


@cache
def drawn(pose: int) -> Image.Image:
    return portrait(pose, size=SIZE)


def person(pose: int = 0) -> Image.Image:
    """A picture of the caller's own: encoders and tests leave notes in it."""
    return drawn(pose).copy()


@cache
def plain() -> bytes:
    return heic(person())


@cache
def tiled() -> bytes:
    """Of several pictures put together, as phones do it."""
    return heic(person(), **TILED)


@pytest.mark.parametrize("data", [plain, tiled])
def test_a_heic_is_a_photo_as_any_other(data: Callable[[], bytes]) -> None:
    found = seen(data())
    assert (found.measured.kind, found.measured.width, found.measured.height) == (Kind.HEIC, *SIZE)
    clean = cleaned(data())
    assert (clean.format, clean.mode, clean.size) == ("JPEG", "RGB", SIZE)
    assert difference(clean, person()) < 5
    assert seen(data()) == found


async def test_without_the_extra_it_is_refused_with_a_sentence_that_helps() -> None:
    """The policy that wiring makes when pillow-heif is not there."""
    with open_imaging(replace(POLICY, heic=False), 1) as imaging:
        found = await imaging.examine(plain())
    assert found.verdicts == (Verdict.HEIC_NOT_SUPPORTED,)
    assert found.original is not None
    assert "Save the photo as JPEG" in sentence(found.verdicts[0])


WITHOUT = """
import sys
sys.modules |= {"pillow_heif": None, "_pillow_heif": None}
from lifemask.image_validator import wiring
print(wiring.heic.is_installed())
"""


def test_the_service_starts_without_the_extra() -> None:
    run = subprocess.run([sys.executable, "-c", WITHOUT], capture_output=True, text=True, check=False)
    assert (run.stdout, run.returncode) == ("False\n", 0), run.stderr


def test_nothing_is_registered_with_pillow() -> None:
    seen(plain())
    Image.init()
    assert "HEIF" not in Image.OPEN
    with pytest.raises(OSError, match="cannot identify"):
        Image.open(io.BytesIO(plain()))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_photo_is_turned_upright_once(orientation: int) -> None:
    """The file turns itself (irot, imir); the camera's note says the same and does not turn it again."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
    stored = person() if back is None else person().transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.info["exif"] = exif.tobytes()
    clean = cleaned(heic(stored))
    assert clean.size == SIZE
    assert difference(clean, person()) < 6


def test_the_cameras_note_alone_does_not_turn_it() -> None:
    """In HEIC the file's own turn counts, and there is none."""
    exif = Image.Exif()
    exif[0x0112] = 1
    picture = person().copy()
    picture.info["exif"] = exif.tobytes()
    data = heic(picture)
    assert data.count(exif.tobytes()[6:]) == 1
    exif[0x0112] = 6
    one = Image.Exif()
    one[0x0112] = 1
    noted = data.replace(one.tobytes()[6:], exif.tobytes()[6:])
    assert noted != data
    assert difference(cleaned(noted), person()) < 6


def test_nothing_of_the_cameras_notes_is_left() -> None:
    exif = Image.Exif()
    exif[0x010F] = exif.get_ifd(0x8825)[1] = "canary-55.7558N"
    picture = person().copy()
    picture.info |= {"exif": exif.tobytes(), "xmp": b"<x>canary-55.7558N</x>"}
    data = heic(picture)
    assert b"canary" in data
    found = seen(data).clean
    assert found is not None
    assert b"canary" not in found
    assert set(Image.open(io.BytesIO(found)).info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}


def test_only_the_primary_picture_of_a_burst_counts() -> None:
    data = heic(person(1), person(), person(2), primary_index=1)
    assert difference(cleaned(data), person()) < 5


def test_thumbnails_are_left_alone() -> None:
    assert difference(cleaned(heic(person(), thumbnails=[128, 256])), person()) < 5


def test_ten_bits_become_eight() -> None:
    assert difference(cleaned(ten_bits(person())), person()) < 5


def test_grey_becomes_rgb_and_what_is_transparent_white() -> None:
    grey = person().convert("L")
    assert difference(cleaned(heic(grey)), grey.convert("RGB")) < 5
    picture = person().convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 200, 200))
    corner = cleaned(heic(picture)).getpixel((100, 100))
    assert isinstance(corner, tuple)
    assert min(corner) > 250


def test_colours_by_code_points_become_srgb() -> None:
    """The same numbers mean stronger colours in Display P3 than in sRGB, and the greys stay."""
    flat = Image.new("RGB", SIZE, (200, 120, 100))
    flat.paste((128, 128, 128), (0, 400, 600, 800))
    picture = Image.blend(flat, person(), 0.2)
    expected = cleaned(heic(picture, color_primaries=1, transfer_characteristics=13, quality=95))
    found = cleaned(heic(picture, color_primaries=12, transfer_characteristics=13, quality=95))
    before, after = np.asarray(expected)[:300].mean((0, 1)), np.asarray(found)[:300].mean((0, 1))
    assert after[0] > before[0] + 5
    assert after[1] < before[1] - 1
    greys = np.asarray(expected)[500:].mean() - np.asarray(found)[500:].mean()
    assert abs(greys) < 4


def test_unfit_photos_are_told_so() -> None:
    assert seen(heic(blurred(person(), 4))).verdicts == (Verdict.BLURRY,)
    assert seen(heic(person().resize((300, 400)), quality=100)).verdicts[0] is Verdict.TOO_FEW_PIXELS


@pytest.mark.parametrize("share", [0.05, 0.3, 0.9, 0.9999])
@pytest.mark.parametrize("data", [plain, tiled])
def test_a_cut_file_is_unreadable(data: Callable[[], bytes], share: float) -> None:
    """The decoder alone would take one of several tiles: it paints what is missing grey."""
    whole = data()
    kept = int(len(whole) * share)
    padded = b"\0" * (len(whole) - kept)
    assert Verdict.UNREADABLE in seen(whole[:kept] + padded).verdicts
    assert seen(whole[: max(kept, 10_000)]).verdicts == (Verdict.UNREADABLE,)


@pytest.mark.parametrize("side", [50_000, 14_000, 0x7FFFFFFF])
def test_a_bomb_is_not_decoded(side: int) -> None:
    found = seen(declaring(plain(), side, side))
    assert (found.verdicts, found.measured.decoded) == ((Verdict.TOO_MANY_PIXELS,), False)
    assert seen(declaring(tiled(), side, side)).verdicts == (Verdict.UNREADABLE,)  # the tiles contradict their grid


def test_a_grid_that_is_larger_than_it_says_is_not_decoded() -> None:
    assert seen(grid_declaring(tiled(), 30_000, 30_000, SIZE)).verdicts == (Verdict.TOO_MANY_PIXELS,)
    assert seen(grid_declaring(tiled(), 60, 40, SIZE)).verdicts == (Verdict.UNREADABLE,)


def test_a_picture_that_is_larger_than_it_says_is_unreadable() -> None:
    assert seen(declaring(plain(), 520, 520)).verdicts == (Verdict.UNREADABLE,)


def test_a_picture_that_holds_several_is_unreadable() -> None:
    """One item of a thousand pictures would be a thousand times the work."""
    data = plain()
    start = data.index(b"mdat") + 4
    body = data[start:]
    place = data.index(len(body).to_bytes(4, "big"), data.index(b"iloc"))
    twice = bytearray(data + body)
    twice[place : place + 4] = (2 * len(body)).to_bytes(4, "big")
    twice[start - 8 : start - 4] = (8 + 2 * len(body)).to_bytes(4, "big")
    with pytest.raises(Malformed, match="not one picture"):
        heif.declared(bytes(twice))
    assert seen(bytes(twice)).verdicts == (Verdict.UNREADABLE,)


@pytest.mark.parametrize("kind", [b"iovl", b"iden", b"unci", b"tili", b"av01"])
def test_kinds_of_pictures_that_no_camera_writes_do_not_reach_the_decoder(kind: bytes) -> None:
    with pytest.raises(Malformed):
        heif.declared(plain().replace(b"hvc1", kind))
    assert seen(plain().replace(b"hvc1", kind)).verdicts == (Verdict.UNREADABLE,)


@pytest.mark.parametrize("main", [b"hevc", b"msf1"])
def test_moving_pictures_are_refused(main: bytes) -> None:
    found = seen(sequence(24, main))
    assert (found.verdicts, found.measured.frames) == ((Verdict.ANIMATED,), 24)


def test_what_a_phone_writes_behind_the_last_box_does_not_matter() -> None:
    assert difference(cleaned(plain() + b"\xff\xff\xff\xffSEFT"), person()) < 5


def test_damage_is_a_verdict_and_never_an_exception() -> None:
    chance = np.random.default_rng(6)
    data = tiled()
    header = data.index(b"mdat")
    for reach in (header, len(data)):
        for _ in range(25):
            broken = bytearray(data)
            for place in chance.integers(12, reach, 6):
                broken[place] = int(chance.integers(0, 256))
            assert isinstance(seen(bytes(broken)), Examined)


@pytest.mark.parametrize(
    ("signal", "expected"), [(0.58, (240, 248)), (0.75, (253, 255)), (0.0, (0, 0)), (0.40, (90, 125))]
)
def test_light_in_nits_is_shown_as_on_paper(signal: float, expected: tuple[int, int]) -> None:
    """A PQ signal of 0.58 is paper white (203 nits), 0.75 a highlight of 1000 nits, 0.40 skin in the shade."""
    profile = profile_of(9, 16)
    assert profile is not None
    picture = Image.new("RGB", (8, 8), (round(255 * signal),) * 3)
    picture.info["icc_profile"] = profile
    low, high = expected
    pixel = in_srgb(picture, 64).getpixel((4, 4))
    assert isinstance(pixel, tuple)
    assert low <= min(pixel) <= max(pixel) <= high


def test_srgb_and_unknown_code_points_need_no_profile() -> None:
    assert {profile_of(1, 13), profile_of(2, 2), profile_of(1, 1), profile_of(1, 18)} == {None}
