"""What a file is by its first bytes, and how large a picture it declares, before any decoder sees it.

The WebP decoder reserves the whole canvas when a file is opened, so the pixel cap must be applied before.
"""

import re

from lifemask.image_validator.domain.photo import Kind

_HEIC_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"}
_STILL_BRANDS = {b"mif1", b"msf1"}

# Start of scan with one to four components: 2 bytes of marker, 2 of length, 1 of count. The length and count make a
# chance match inside other data practically impossible.
_SCAN = re.compile(rb"\xff\xda\x00(?:\x08\x01|\x0a\x02|\x0c\x03|\x0e\x04)")
MAX_SCANS = 100
"""A progressive JPEG has about 10 scans; each one is a pass over the whole picture, and a hostile file has 100,000."""


def recognise(data: bytes) -> Kind:
    """The kind by content. AVIF, GIF and everything else we do not take is OTHER."""
    if data.startswith(b"\xff\xd8\xff"):
        return Kind.JPEG
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return Kind.PNG
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return Kind.WEBP
    return Kind.HEIC if _is_heic(data) else Kind.OTHER


def _is_heic(data: bytes) -> bool:
    """An ISO file whose main brand is HEVC's, or the neutral one with HEVC's among the compatible brands."""
    if data[4:8] != b"ftyp":
        return False
    main, box = data[8:12], int.from_bytes(data[:4], "big")
    others = {data[at : at + 4] for at in range(16, min(box, 256), 4)}
    return main in _HEIC_BRANDS or (main in _STILL_BRANDS and bool(others & _HEIC_BRANDS))


def declared_size(data: bytes, kind: Kind) -> tuple[int, int] | None:
    """Width and height in pixels as a PNG or WebP header states them; None when it states none, or for a JPEG."""
    if kind is Kind.PNG and data[12:16] == b"IHDR" and len(data) >= 24:
        return int.from_bytes(data[16:20], "big"), int.from_bytes(data[20:24], "big")
    if kind is Kind.WEBP and len(data) >= 30:
        return _webp_size(data)
    return None


def _webp_size(data: bytes) -> tuple[int, int] | None:
    chunk = data[12:16]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8 ":
        return int.from_bytes(data[26:28], "little") & 0x3FFF, int.from_bytes(data[28:30], "little") & 0x3FFF
    return None


def has_too_many_scans(data: bytes) -> bool:
    """Whether decoding this JPEG would take a hostile number of passes."""
    return sum(1 for _ in _SCAN.finditer(data)) > MAX_SCANS
