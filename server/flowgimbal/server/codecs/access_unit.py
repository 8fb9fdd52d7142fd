"""Reads by hand what an Annex B access unit of H.264 or H.265 says before its first slice.

That is enough to know the size before anybody allocates memory for it, and to keep the user's data (SEI) that travels
with the picture. ITU-T H.264 7.3.2.1.1 and H.265 7.3.2.2 give the order of the fields.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flowgimbal.server.codecs.bits import Bits, OutOfBits

_START = b"\0\0\1"
_MAX_PARAMETER_SET = 1024  # longer ones exist in no camera; reading them bit by bit would cost too much
_MAX_UNITS = 256  # before the first slice
_MAX_BEFORE = 1 << 20  # bytes before it, user data above all: every stream waits while they are searched
_USER_DATA = frozenset({4, 5})  # SEI: registered (ITU-T T.35) and unregistered user data


class NotAnAccessUnit(ValueError):  # noqa: N818 - read at the except clause
    """The data is no access unit; says why."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """``size`` is (width, height) [pixels] where the unit brings it along, as key frames do.

    ``user_data`` are the messages of SEI units, without the header, which the two standards have apart; ``slice_at`` is
    where the first slice's start code stands.
    """

    size: tuple[int, int] | None
    user_data: tuple[bytes, ...]
    slice_at: int


@dataclass(frozen=True, slots=True)
class Syntax:
    """How NAL units look: their header's length [bytes], the kind in its first byte, and the kinds that matter here.

    ``base`` tells by a unit's beginning whether it belongs to the base layer, the only one that is decoded.
    """

    header: int
    kind: Callable[[int], int]
    slices: frozenset[int]
    sps: int
    sei: int
    size: Callable[[Bits], tuple[int, int]]
    sei_header: bytes
    base: Callable[[bytes], bool]

    def sei_unit(self, message: bytes) -> bytes:
        """A whole NAL unit of user data, with its start code."""
        return b"\0" + _START + self.sei_header + message


def read(data: bytes, syntax: Syntax) -> AccessUnit:
    """What the access unit says of itself; raises NotAnAccessUnit."""
    size: tuple[int, int] | None = None
    user_data: list[bytes] = []
    start = data.find(_START, 0, _MAX_BEFORE)
    if start < 0 or data[:start].strip(b"\0"):
        raise NotAnAccessUnit("it does not begin with a start code (00 00 01)")
    for _ in range(_MAX_UNITS):
        begin = start + len(_START)
        if len(data) < begin + syntax.header + 1:
            raise NotAnAccessUnit("it ends before its first slice")
        kind = syntax.kind(data[begin])
        if kind in syntax.slices:
            return AccessUnit(size, tuple(user_data), start - (1 if start and not data[start - 1] else 0))
        end = data.find(_START, begin, _MAX_BEFORE)
        if end < 0:
            raise NotAnAccessUnit(f"there is no slice in its first {min(len(data), _MAX_BEFORE)} bytes")
        if not syntax.base(data[begin : begin + syntax.header]):
            start = end
            continue
        if kind == syntax.sps:
            size = _size(data[begin + syntax.header : end], syntax)
        elif kind == syntax.sei and data[begin + syntax.header] in _USER_DATA:
            user_data.append(data[begin + syntax.header : end].rstrip(b"\0"))
        start = end
    raise NotAnAccessUnit(f"more than {_MAX_UNITS} units come before its first slice")


def _size(payload: bytes, syntax: Syntax) -> tuple[int, int]:
    if len(payload) > _MAX_PARAMETER_SET:
        raise NotAnAccessUnit("its sequence parameter set is too long")
    try:
        width, height = syntax.size(Bits(payload))
    except OutOfBits:
        raise NotAnAccessUnit("its sequence parameter set is damaged") from None
    if width <= 0 or height <= 0:
        raise NotAnAccessUnit("its sequence parameter set crops the whole picture away")
    return width, height


_H264_WITH_CHROMA = frozenset({100, 110, 122, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_SUBSAMPLING = {0: (1, 1), 1: (2, 2), 2: (2, 1), 3: (1, 1)}  # by chroma_format_idc


def _h264_size(bits: Bits) -> tuple[int, int]:
    profile = bits.fixed(8)
    bits.fixed(16)  # constraints, level
    bits.unsigned()  # id
    chroma, separate = 1, False
    if profile in _H264_WITH_CHROMA:
        chroma = bits.unsigned()
        separate = chroma == 3 and bits.flag()
        bits.unsigned(), bits.unsigned(), bits.flag()  # depths, lossless
        if bits.flag():
            for index in range(12 if chroma == 3 else 8):
                if bits.flag():
                    _skip_scaling_list(bits, 16 if index < 6 else 64)
    bits.unsigned()  # frame numbers
    order = bits.unsigned()
    if order == 0:
        bits.unsigned()
    elif order == 1:
        bits.flag(), bits.signed(), bits.signed()
        for _ in range(min(bits.unsigned(), 256)):
            bits.signed()
    bits.unsigned(), bits.flag()  # references, gaps
    width, height = 16 * (bits.unsigned() + 1), 16 * (bits.unsigned() + 1)
    progressive = bits.flag()
    if not progressive:
        bits.flag()
        height *= 2
    bits.flag()
    return _cropped(bits, width, height, 0 if separate else chroma, 1 if progressive else 2)


def _skip_scaling_list(bits: Bits, count: int) -> None:
    last = following = 8
    for _ in range(count):
        if following:
            following = (last + bits.signed() + 256) % 256
        last = following or last


def _hevc_size(bits: Bits) -> tuple[int, int]:
    bits.fixed(4)
    layers = bits.fixed(3)
    bits.flag()
    bits.fixed(96)  # the general profile, tier and level
    present = [(bits.flag(), bits.flag()) for _ in range(layers)]
    if layers:
        bits.fixed(2 * (8 - layers))
    for profile, level in present:
        bits.fixed(88 * profile + 8 * level)
    bits.unsigned()  # id
    chroma = bits.unsigned()
    separate = chroma == 3 and bits.flag()
    width, height = bits.unsigned(), bits.unsigned()
    return _cropped(bits, width, height, 0 if separate else chroma, 1)


def _cropped(bits: Bits, width: int, height: int, chroma: int, rows: int) -> tuple[int, int]:
    """The size less the cropping rectangle, which counts in chroma samples and, interlaced, in pairs of rows."""
    if not bits.flag():
        return width, height
    if chroma not in _SUBSAMPLING:
        raise OutOfBits
    across, down = _SUBSAMPLING[chroma]
    left, right, top, bottom = (bits.unsigned() for _ in range(4))
    return width - across * (left + right), height - down * rows * (top + bottom)


H264 = Syntax(
    header=1,
    kind=lambda byte: byte & 31,
    slices=frozenset(range(1, 6)),
    sps=7,
    sei=6,
    size=_h264_size,
    sei_header=b"\x06",
    base=lambda _: True,
)
HEVC = Syntax(
    header=2,
    kind=lambda byte: byte >> 1 & 63,
    slices=frozenset(range(32)),
    sps=33,
    sei=39,
    size=_hevc_size,
    sei_header=b"\x4e\x01",
    base=lambda header: not (header[0] & 1 or header[1] >> 3),
)
