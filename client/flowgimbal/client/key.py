"""Where a decoder can begin."""

from __future__ import annotations

from flowgimbal.client.settings import Encoding

_SLICES = {Encoding.H264: frozenset(range(1, 6)), Encoding.HEVC: frozenset(range(32))}


def depends(encoding: Encoding) -> bool:
    """Whether a frame of it may need those before it."""
    return encoding in _SLICES


def is_key(data: bytes, encoding: Encoding) -> bool:
    """Whether a decoder can begin with this access unit (Annex B), or picture."""
    if encoding not in _SLICES:
        return True
    hevc = encoding is Encoding.HEVC
    place = data.find(b"\0\0\1")
    while 0 <= place < len(data) - 4:
        kind = data[place + 3] >> 1 & 63 if hevc else data[place + 3] & 31
        if kind in _SLICES[encoding]:
            return 16 <= kind <= 23 if hevc else kind == 5
        place = data.find(b"\0\0\1", place + 3)
    return False
