"""What becomes of files: good ones, odd ones and hostile ones."""

import io
import struct
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageCms, PngImagePlugin
from tests.image_validator.looks import cleaned, difference, seen
from tests.image_validator.pictures import blurred, encoded, portrait

from lifemask.contracts import Verdict
from lifemask.image_validator.domain.photo import Examined, Kind

CANARY = "canary-55.7558N"


@cache
def person() -> Image.Image:
    return portrait()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_good_photo_is_usable(kind: str) -> None:
    found = seen(encoded(person(), kind))
    assert (found.verdicts, found.measured.kind.value) == ((), kind.lower())
    clean = cleaned(encoded(person(), kind))
    assert (clean.format, clean.mode, clean.size) == ("JPEG", "RGB", (1200, 1600))
    assert difference(clean, person()) < 5


def test_the_same_file_gives_the_same_bytes() -> None:
    data = encoded(person())
    assert seen(data) == seen(data)


@pytest.mark.parametrize(
    ("size", "clean"), [((2520, 3360), (1260, 1680)), ((2600, 1950), (2048, 1536)), ((2048, 1536), (2048, 1536))]
)
def test_the_long_side_is_bounded(size: tuple[int, int], clean: tuple[int, int]) -> None:
    assert cleaned(encoded(person().resize(size))).size == clean


@pytest.mark.slow
def test_decoding_at_half_size_does_not_change_the_judgement() -> None:
    """The same pixels as JPEG (decoded at half size) and as PNG (decoded whole)."""
    sharp = portrait(size=(2100, 2800))
    for blur in (1, 1.5, 3):
        jpeg = encoded(blurred(sharp, blur), quality=95)
        half, whole = seen(jpeg), seen(encoded(Image.open(io.BytesIO(jpeg)), "PNG", compress_level=1))
        assert half.verdicts == whole.verdicts
        assert half.measured.sharpness == pytest.approx(whole.measured.sharpness, rel=0.15)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_photo_is_turned_upright(orientation: int) -> None:
    """Stored as each camera position stores it; all come out like the first."""
    back = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}.get(orientation)
    stored = person() if back is None else person().transpose(Image.Transpose(back))
    exif = Image.Exif()
    exif[0x0112] = orientation
    clean = cleaned(encoded(stored, exif=exif))
    assert clean.size == (1200, 1600)
    assert difference(clean, person()) < 6


def test_nothing_of_the_cameras_notes_is_left() -> None:
    exif = Image.Exif()
    exif[0x010F] = CANARY
    exif.get_ifd(0x8825)[1] = CANARY
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", CANARY)
    info.add_itxt("XML:com.adobe.xmp", CANARY)
    files = (
        encoded(person(), exif=exif, comment=CANARY, xmp=CANARY.encode(), icc_profile=_srgb()),
        encoded(person(), "WEBP", exif=exif, xmp=CANARY.encode(), icc_profile=_srgb()),
        encoded(person(), "PNG", pnginfo=info, exif=exif, icc_profile=_srgb()),
    )
    for data in files:
        assert CANARY.encode() in data or zlib.compress(CANARY.encode())[2:10] in data
        clean = cleaned(data)
        assert set(clean.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density"}
        found = seen(data).clean
        assert found is not None
        assert CANARY.encode() not in found


def _srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def test_colours_are_converted_by_their_profile() -> None:
    """A profile with the channels swapped: without the conversion red would stay blue."""
    profile = bytearray(_srgb())
    tags = {bytes(profile[at : at + 4]): at for at in range(132, 132 + 12 * profile[131], 12)}
    red, blue = tags[b"rXYZ"], tags[b"bXYZ"]
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    profile = profile.replace(b"sRGB", b"BGRs").replace("sRGB".encode("utf-16-be"), "BGRs".encode("utf-16-be"))
    swapped = Image.merge("RGB", person().split()[::-1])
    clean = cleaned(encoded(swapped, quality=95, icc_profile=bytes(profile)))
    assert difference(clean, person()) < 6
    assert difference(clean, swapped) > 10


def test_a_broken_profile_does_not_matter() -> None:
    assert difference(cleaned(encoded(person(), icc_profile=b"no profile at all")), person()) < 6
    grey = person().convert("L")
    assert difference(cleaned(encoded(grey, icc_profile=_srgb())), grey.convert("RGB")) < 6


@pytest.mark.parametrize("mode", ["L", "CMYK", "P", "RGBA", "LA", "1"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    kind = "JPEG" if mode in {"L", "CMYK"} else "PNG"
    picture = person().convert("L").convert(mode) if mode in {"LA", "1"} else person().convert(mode)
    clean = cleaned(encoded(picture, kind))
    assert clean.mode == "RGB"
    assert difference(clean, picture.convert("RGB")) < 12


def test_sixteen_bits_become_eight() -> None:
    grey = np.asarray(person().convert("L"), dtype=np.uint16)
    picture = Image.fromarray(grey * 257)
    assert picture.mode == "I;16"
    clean = cleaned(encoded(picture, "PNG"))
    assert difference(clean.convert("L"), Image.fromarray(grey.astype(np.uint8))) < 3


def test_what_is_transparent_becomes_white() -> None:
    picture = person().convert("RGBA")
    picture.putalpha(Image.new("L", picture.size, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 200, 200))
    clean = cleaned(encoded(picture, "PNG"))
    assert clean.getpixel((100, 100)) == (255, 255, 255)
    palette = person().quantize(64)
    palette.info["transparency"] = palette.getpixel((0, 0))
    assert cleaned(encoded(palette, "PNG")).getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        (lambda it: it.resize((300, 400)), Verdict.TOO_FEW_PIXELS),
        (lambda it: it.crop((0, 0, 1200, 380)), Verdict.ODD_SHAPE),
        (lambda it: blurred(it, 4), Verdict.BLURRY),
        (lambda it: it.point(lambda value: value * 0.1), Verdict.TOO_DARK),
        (lambda it: it.point(lambda value: 230 + value * 0.1), Verdict.TOO_BRIGHT),
        (lambda it: it.point(lambda value: 120 + value * 0.05), Verdict.FLAT),
    ],
)
def test_unfit_photos(change: Callable[[Image.Image], Image.Image], verdict: Verdict) -> None:
    found = seen(encoded(change(person()), quality=98))
    assert verdict in found.verdicts
    assert (found.clean, found.likeness) == (None, None)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_a_cut_file_is_unreadable(kind: str, share: float) -> None:
    data = encoded(person(), kind)
    found = seen(data[: int(len(data) * share)])
    assert found.verdicts == (Verdict.UNREADABLE,)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_moving_pictures_are_refused(kind: str) -> None:
    data = encoded(person(), kind, save_all=True, append_images=[portrait(1)], duration=100)
    assert seen(data).verdicts == (Verdict.ANIMATED,)


def test_a_phones_double_picture_is_one_photo() -> None:
    """MPO: a preview or depth image behind the photo."""
    data = encoded(person(), "MPO", save_all=True, append_images=[person().resize((300, 400))])
    assert difference(cleaned(data), person()) < 8


def ftyp(main: bytes, *others: bytes) -> bytes:
    brands = main + b"\0\0\0\0" + b"".join(others)
    return struct.pack(">I", 8 + len(brands)) + b"ftyp" + brands + b"\0" * 20_000


@pytest.mark.parametrize(
    ("data", "verdict"),
    [
        (b"", "file_too_small"),
        (b"I am a text called holiday.jpg\n" * 1000, "not_a_photo"),
        (b"GIF89a" + b"\0" * 20_000, "not_a_photo"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>" * 500, "not_a_photo"),
        (b"%PDF-1.7" + b"\0" * 20_000, "not_a_photo"),
        (b"PK\3\4" + b"\0" * 20_000, "not_a_photo"),
        (ftyp(b"heic"), "unreadable"),
        (ftyp(b"mif1", b"mif1", b"heic"), "unreadable"),
        (ftyp(b"mif1", b"avif"), "not_a_photo"),
        (ftyp(b"avif", b"mif1"), "not_a_photo"),
        (ftyp(b"isom", b"mp42"), "not_a_photo"),
        (b"\xff\xd8\xff\xe0" + b"\0" * 20_000, "unreadable"),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 20_000, "unreadable"),
        (b"RIFF\x20\x4e\0\0WEBPVP8 " + b"\0" * 20_000, "unreadable"),
        (b"\xff\xd8\xff" + b"\0" * 10_000_000, "file_too_large"),
    ],
)
def test_what_is_no_photo(data: bytes, verdict: str) -> None:
    assert list(seen(data).verdicts) == [verdict]


def test_an_animated_gif_is_no_photo() -> None:
    frames = [portrait(pose, size=(600, 800)) for pose in (0, 1)]
    assert seen(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])).verdicts == (Verdict.NOT_A_PHOTO,)


def png(width: int, height: int, *, chunks: bytes = b"") -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = chunk(b"IHDR", struct.pack(">2I5B", width, height, 8, 2, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(b"\0" * 9_000_000))
    return b"\x89PNG\r\n\x1a\n" + header + chunks + body + body + chunk(b"IEND", b"")


@pytest.mark.parametrize("side", [50_000, 14_000, 0x7FFFFFFF])
def test_a_bomb_is_not_decoded(side: int) -> None:
    found = seen(png(side, side))
    assert found.verdicts[0] in {Verdict.TOO_MANY_PIXELS, Verdict.FILE_TOO_SMALL}
    assert Verdict.TOO_MANY_PIXELS in found.verdicts
    assert found.measured.decoded is False


def test_a_webp_canvas_is_not_reserved_before_its_size_is_known() -> None:
    data = bytearray(encoded(person(), "WEBP", icc_profile=_srgb()))
    assert data[12:16] == b"VP8X"
    data[24:30] = (16_382).to_bytes(3, "little") * 2
    assert seen(bytes(data)).verdicts == (Verdict.TOO_MANY_PIXELS,)


def test_a_jpeg_of_a_hundred_passes_is_not_decoded() -> None:
    data = encoded(portrait(size=(600, 800)), progressive=True)
    scan = data.rindex(b"\xff\xda")
    assert seen(data).verdicts == ()
    assert seen(data[:-2] + data[scan:-2] * 100 + b"\xff\xd9").verdicts == (Verdict.UNREADABLE,)


def test_what_hides_behind_a_photo_is_not_carried_on() -> None:
    payload = b"PK\3\4<script>" + CANARY.encode()
    for data in (encoded(person()) + payload, encoded(person(), "PNG") + payload):
        found = seen(data)
        assert found.clean is not None
        assert CANARY.encode() not in found.clean


def test_damage_is_a_verdict_and_never_an_exception() -> None:
    chance = np.random.default_rng(5)
    small = portrait(size=(600, 800))
    for kind in ("JPEG", "PNG", "WEBP"):
        data = encoded(small, kind)
        for _ in range(25):
            broken = bytearray(data)
            for place in chance.integers(12, len(data), 20):
                broken[place] = int(chance.integers(0, 256))
            assert isinstance(seen(bytes(broken)), Examined)


def test_only_known_kinds_reach_a_decoder() -> None:
    assert {kind.value for kind in Kind} == {"jpeg", "png", "webp", "heic", "other"}
    assert seen(encoded(person(), "TIFF")).measured.kind is Kind.OTHER
    assert seen(encoded(person(), "AVIF", quality=50)).measured.kind is Kind.OTHER
