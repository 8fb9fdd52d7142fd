"""Reads a JPEG's header by hand: what is in the file before anybody allocates memory for it."""

from __future__ import annotations

from dataclasses import dataclass

from flowgimbal.server.errors import Undecodable, Unsupported

_SOI = b"\xff\xd8"
_EOI = b"\xff\xd9"
_SOS = 0xDA
_MAX_STEPS = 4096
"""Segments and fill bytes before the size is known: Exif, ICC and XMP together make some hundred."""
MAX_SCANS = 64
"""A scan costs a pass over the picture, however few bytes it has. libjpeg writes ten, mozjpeg less than twenty."""
_STANDALONE = frozenset({0x01, *range(0xD0, 0xD8)})  # markers without a length
_SOF_READ = frozenset({0xC0, 0xC1, 0xC2})  # baseline, extended sequential, progressive; all Huffman
_SOF_OTHER = frozenset({0xC3, *range(0xC5, 0xC8), *range(0xC9, 0xCC), *range(0xCD, 0xD0)})  # lossless, arithmetic...


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Size in pixels, and the sampling factors (horizontal, vertical) of each component."""

    width: int
    height: int
    sampling: tuple[tuple[int, int], ...]
    progressive: bool


def parse(data: bytes) -> JpegHeader:
    """The header of the JPEG file ``data``.

    Raises Undecodable if there is none or the file has no end, Unsupported for kinds that are no camera's: 12 bits,
    CMYK, arithmetic coding, lossless, hierarchical.
    """
    if data[:2] != _SOI:
        raise _broken("the data does not begin as a JPEG file does")
    place = 2
    for _ in range(_MAX_STEPS):
        if data[place : place + 2] == b"\xff\xff":  # fill bytes may stand before a marker
            place += 1
            continue
        if len(data) < place + 4 or data[place] != 0xFF:
            raise _broken("the header ends before it says how large the picture is")
        marker = data[place + 1]
        place += 2
        if marker in _STANDALONE:
            continue
        length = int.from_bytes(data[place : place + 2], "big")
        if marker == _SOS or marker == _EOI[1] or length < 2:
            raise _broken("the header does not say how large the picture is")
        if marker in _SOF_OTHER:
            raise _unsupported(f"the kind of JPEG with marker FF{marker:02X}")
        if marker in _SOF_READ:
            header = _frame_header(data[place : place + length], marker == 0xC2)
            break
        place += length
    else:
        raise _broken(f"more than {_MAX_STEPS} segments come before the size of the picture")
    if (scans := data.count(bytes((0xFF, _SOS)))) > MAX_SCANS:
        raise _broken(f"the picture has {scans} scans, and {MAX_SCANS} at most are read")
    # Some cameras pad the file after its end.
    if not data.rstrip(b"\0").endswith(_EOI) and _EOI not in data[-256:]:
        raise _broken("the file is cut off: it has no end marker")
    return header


def _frame_header(segment: bytes, progressive: bool) -> JpegHeader:
    count = segment[7] if len(segment) > 7 else 0
    if len(segment) != 8 + 3 * count:
        raise _broken("the header of the picture has the wrong length")
    if segment[2] != 8:
        raise _unsupported(f"JPEG with {segment[2]} bits a sample")
    if count not in (1, 3):
        raise _unsupported(f"JPEG with {count} components")
    height = int.from_bytes(segment[3:5], "big")
    width = int.from_bytes(segment[5:7], "big")
    if not width or not height:
        raise _broken(f"the header announces a picture of {width}x{height}")
    factors = tuple((segment[9 + 3 * i] >> 4, segment[9 + 3 * i] & 15) for i in range(count))
    if not all(1 <= factor <= 4 for pair in factors for factor in pair):
        raise _broken("the header has sampling factors that do not exist")
    return JpegHeader(width, height, factors, progressive)


def _broken(what: str) -> Undecodable:
    return Undecodable("FRAME_UNDECODABLE", f"data: {what}; send one whole JPEG file a frame", field="data")


def _unsupported(what: str) -> Unsupported:
    message = f"data: this build cannot read {what}; send baseline or progressive JPEG, 8 bits, gray or YCbCr"
    return Unsupported("JPEG_KIND_UNSUPPORTED", message, field="data")
