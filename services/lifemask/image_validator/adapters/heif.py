"""What a HEIC file declares, and whether all of it is there, before a decoder sees it.

libheif fills a tile that is missing with grey, and allocates what a grid's own header says. So the file is read here
first: how large each picture is at most, that each tile is one whole coded picture, and that decoding costs no more
than the declared pixels are worth.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from lifemask.image_validator.adapters.boxes import Box, Malformed, Reader, top, within

_CODED, _GRID = b"hvc1", b"grid"
_MOVING = {b"hevc", b"hevx", b"hevm", b"hevs", b"msf1"}
_NOT_A_PICTURE_ABOVE = 31
"""Types of a NAL unit up to here carry parts of the picture, the others parameters."""
_MOST_OVER = 4
"""Pixels of all tiles by pixels of the grid: a tile that is hardly used in both directions makes almost 4."""
_CHEAP = 2**20
"""Pixels of tiles that are never too many: a small picture in one tile of the usual size."""


@dataclass(slots=True)
class _Item:
    kind: bytes = b""
    properties: list[int] = field(default_factory=list)
    data: bytes = b""
    tiles: list[int] = field(default_factory=list)
    beside: list[int] = field(default_factory=list)
    """Items to which this one is an auxiliary picture: transparency, depth, brightness."""


@dataclass(frozen=True, slots=True)
class Declared:
    """`width` and `height` in pixels of the largest picture in the file, `frames` of a moving picture."""

    width: int
    height: int
    frames: int


def declared(data: bytes) -> Declared:
    """What the file says it holds. Raises Malformed when it is cut off, contradicts itself or uses parts of the format
    that no camera writes.
    """
    outer = list(top(data))
    if data[8:12] in _MOVING and any(box.kind == b"moov" for box in outer):
        return Declared(0, 0, _frames(outer))
    metas = [box.body for box in outer if box.kind == b"meta"]
    if len(metas) != 1:
        raise Malformed("not one directory")
    meta = metas[0]
    meta.version()
    return _stills(data, meta)


def _frames(outer: Iterable[Box]) -> int:
    counts = [1]
    for box in outer:
        if box.kind == b"moov":
            for body in within(box.body, b"trak", b"mdia", b"minf", b"stbl", b"stsz"):
                body.take(8)
                counts.append(body.number(4))
    return max(counts)


def _stills(data: bytes, meta: Reader) -> Declared:
    parts = {box.kind: box.body for box in meta.boxes()}
    if missing := {b"pitm", b"iinf", b"iloc", b"iprp"} - parts.keys():
        raise Malformed(f"{len(missing)} parts of the directory are missing")
    items = _items(parts[b"iinf"])
    _read_places(parts[b"iloc"], items, data, parts.get(b"idat"))
    sizes = _read_properties(parts[b"iprp"], items)
    if b"iref" in parts:
        _read_references(parts[b"iref"], items)
    pitm = parts[b"pitm"]
    primary = _one(items, pitm.number(4 if pitm.version() else 2))
    if primary.kind not in {_CODED, _GRID}:
        raise Malformed("the primary picture is of another kind")
    canvases = [_checked(item, items, sizes) for item in items.values()]
    width, height = max([*sizes.values(), *filter(None, canvases)], key=lambda size: size[0] * size[1], default=(0, 0))
    return Declared(width, height, 1)


def _one(items: dict[int, _Item], number: int) -> _Item:
    if number not in items:
        raise Malformed("a reference to nothing")
    return items[number]


def _items(iinf: Reader) -> dict[int, _Item]:
    iinf.take(4 if iinf.version() else 2)
    items = dict[int, _Item]()
    for infe in within(iinf, b"infe"):
        version = infe.version()
        number = infe.number(4 if version > 2 else 2)
        infe.take(2)
        items[number] = _Item(infe.take(4) if version >= 2 else b"")
    return items


def _read_places(iloc: Reader, items: dict[int, _Item], data: bytes, idat: Reader | None) -> None:
    version, sizes = iloc.version(), iloc.number(2)
    of_offset, of_length, of_base, of_index = (sizes >> shift & 15 for shift in (12, 8, 4, 0))
    wide = 4 if version == 2 else 2
    for _ in range(iloc.number(wide)):
        item = _one(items, iloc.number(wide))
        method = iloc.number(2) & 15 if version else 0
        if iloc.number(2) or method > 1 or (method == 1 and idat is None):
            raise Malformed("a part lies in another file or item")
        source = idat if method == 1 and idat else Reader(data, 0, len(data))
        base = iloc.number(of_base)
        for _ in range(iloc.number(2)):
            iloc.take(of_index if version else 0)
            offset, length = source.at + base + iloc.number(of_offset), iloc.number(of_length)
            item.data += Reader(data, offset, source.end).take(length or max(0, source.end - offset))
            if len(item.data) > len(data):
                raise Malformed("a part is longer than the file")


def _read_properties(iprp: Reader, items: dict[int, _Item]) -> dict[int, tuple[int, int]]:
    """Sizes by the place of the property; fills in which item has which."""
    sizes = dict[int, tuple[int, int]]()
    for box in iprp.boxes():
        if box.kind == b"ipco":
            for place, one in enumerate(box.body.boxes(), start=1):
                if one.kind == b"ispe":
                    one.body.version()
                    sizes[place] = (one.body.number(4), one.body.number(4))
        elif box.kind == b"ipma":
            _read_owners(box.body, items)
    return sizes


def _read_owners(ipma: Reader, items: dict[int, _Item]) -> None:
    header = ipma.number(4)
    for _ in range(ipma.number(4)):
        item = _one(items, ipma.number(4 if header >> 24 else 2))
        for _ in range(ipma.number(1)):
            item.properties.append(ipma.number(2) & 0x7FFF if header & 1 else ipma.number(1) & 0x7F)


def _read_references(iref: Reader, items: dict[int, _Item]) -> None:
    wide = 4 if iref.version() else 2
    for box in iref.boxes():
        item = _one(items, box.body.number(wide))
        targets = [box.body.number(wide) for _ in range(box.body.number(2))]
        if box.kind == b"dimg":
            item.tiles += targets
        elif box.kind == b"auxl":
            item.beside += targets


def _checked(item: _Item, items: dict[int, _Item], sizes: dict[int, tuple[int, int]]) -> tuple[int, int] | None:
    """The canvas of a grid, None for others. Raises Malformed for what must not reach the decoder."""
    if item.beside and item.kind not in {_CODED, _GRID}:
        raise Malformed("an auxiliary picture of another kind")
    if item.kind == _CODED:
        _check_coded(item.data)
    return _check_grid(item, items, sizes) if item.kind == _GRID else None


def _check_coded(data: bytes) -> None:
    """One whole picture of whole NAL units: none is empty or ends in zeros, as the rest of a broken download does."""
    pictures, reader = 0, Reader(data, 0, len(data))
    while reader.at < reader.end:
        unit = reader.take(reader.number(4))
        if len(unit) < 3 or unit[0] & 0x80 or unit[-1] == 0:
            raise Malformed("a coded picture is damaged")
        pictures += unit[0] >> 1 <= _NOT_A_PICTURE_ABOVE and unit[2] >> 7
    if pictures != 1:
        raise Malformed("not one picture in one item")


def _check_grid(grid: _Item, items: dict[int, _Item], sizes: dict[int, tuple[int, int]]) -> tuple[int, int]:
    header = Reader(grid.data, 0, len(grid.data))
    flags, rows, columns = header.number(2), header.number(1) + 1, header.number(1) + 1
    wide = 4 if flags & 1 else 2
    width, height = header.number(wide), header.number(wide)
    tiles = [_one(items, number) for number in grid.tiles]
    if len(tiles) != rows * columns or any(tile.kind != _CODED for tile in tiles):
        raise Malformed("not the tiles of a grid")
    if any(target in grid.tiles for item in items.values() for target in item.beside):
        raise Malformed("auxiliary pictures of tiles")
    if sum(_pixels(tile, sizes) for tile in tiles) > max(_CHEAP, _MOST_OVER * width * height):
        raise Malformed("more tiles than the grid has room for")
    return width, height


def _pixels(item: _Item, sizes: dict[int, tuple[int, int]]) -> int:
    own = [sizes[place] for place in item.properties if place in sizes]
    if len(own) != 1:
        raise Malformed("a picture of no size")
    return own[0][0] * own[0][1]
