"""What a decoder that runs apart says of a picture: a line of JSON, then user data; the planes lie in shared memory.

Whoever reads it trusts nothing in it: a decoder that was taken over by what it decoded may write anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import astuple
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.picture import Layout, Picture, Plane
from flowgimbal.server.codecs.codec import Attached, Decoded
from flowgimbal.server.codecs.colour import Colour

CHANNELS = 3
"""Bytes that a picture of any layout takes a pixel, at most."""
_MAX_HEADER = 4096
_MAX_FACTOR = 4
_LAYOUTS = (Layout.GRAY, Layout.YUV, Layout.BGR)


class NotAnAnswer(ValueError):  # noqa: N818 - read at the except clause
    """What came is no answer of a decoder."""


def written(decoded: Decoded, memory: NDArray[np.uint8]) -> bytes:
    """The answer for a picture, whose planes are laid into ``memory``, packed and one behind the other."""
    picture, attached = decoded.picture, decoded.attached
    start = 0
    for plane in picture.planes:
        memory[start : start + plane.size].reshape(plane.shape)[:] = plane
        start += plane.size
    header = {
        "frame_id": decoded.frame_id,
        "layout": picture.layout.value,
        "size": picture.size,
        "chroma": picture.chroma,
        "colour": astuple(attached.colour),
        "user_data": [len(message) for message in attached.user_data],
    }
    return json.dumps(header).encode() + b"\n" + b"".join(attached.user_data)


def read(answer: bytes, memory: NDArray[np.uint8]) -> Decoded:
    """The picture that ``written`` wrote, its planes copied; raises NotAnAnswer."""
    header, _, rest = answer.partition(b"\n")
    try:
        if len(header) > _MAX_HEADER:
            raise NotAnAnswer("its header is too long")
        said: dict[str, Any] = json.loads(header)
        layout = Layout(said["layout"])
        width, height, *chroma = _whole((*said["size"], *said["chroma"]), 4, 1)
        fx, fy = chroma
        if layout not in _LAYOUTS or max(chroma) > _MAX_FACTOR:
            raise NotAnAnswer(f"no decoder gives {layout} with chroma factors {chroma}")
        picture = Picture(layout, tuple(_planes(layout, width, height, fx, fy, memory)), (fx, fy))
        (frame_id,) = _whole((said["frame_id"],), 1)
        colour = Colour(*_whole(said["colour"], 4))
        user_data = tuple(rest[a:b] for a, b in pairwise(accumulate(_whole(said["user_data"]), initial=0)))
    except NotAnAnswer:
        raise
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise NotAnAnswer(f"it is not of the form agreed on: {error!r}") from None
    return Decoded(frame_id, picture, Attached(colour, user_data))


def _planes(layout: Layout, width: int, height: int, fx: int, fy: int, memory: NDArray[np.uint8]) -> Iterable[Plane]:
    small = (-(-height // fy), -(-width // fx))
    shapes: dict[Layout, Sequence[tuple[int, ...]]] = {
        Layout.GRAY: [(height, width)],
        Layout.YUV: [(height, width), small, small],
        Layout.BGR: [(height, width, 3)],
    }
    start = 0
    for shape in shapes[layout]:
        count = int(np.prod(shape, dtype=object))
        if start + count > memory.size:
            raise NotAnAnswer(f"a picture of {width}x{height} does not fit")
        yield memory[start : start + count].reshape(shape).copy()
        start += count


def _whole(values: Iterable[Any], count: int | None = None, least: int = 0) -> tuple[int, ...]:
    found = tuple(values)
    if (count is not None and len(found) != count) or any(type(v) is not int or v < least for v in found):
        raise NotAnAnswer(f"{found!r:.100} are not {count or 'some'} whole numbers of {least} or more")
    return found
