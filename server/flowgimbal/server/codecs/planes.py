"""Pictures as FFmpeg holds them, and back."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from av.video.frame import VideoFrame

from flowgimbal.engines.picture import Layout, Picture, Plane
from flowgimbal.server.codecs.colour import FULL, JFIF, NARROW, UNKNOWN, Colour
from flowgimbal.server.codecs.convert import convert

_CHROMA = {
    "gray": (1, 1),
    "yuv420p": (2, 2),
    "yuvj420p": (2, 2),
    "yuv422p": (2, 1),
    "yuvj422p": (2, 1),
    "yuv440p": (1, 2),
    "yuvj440p": (1, 2),
    "yuv444p": (1, 1),
    "yuvj444p": (1, 1),
    "yuvj411p": (4, 1),
}
_FORMATS = {(2, 2): "yuv420p", (2, 1): "yuv422p", (1, 1): "yuv444p"}
_BT601 = 5
# What encoders take; of the matrices, those that FFmpeg can turn into others, too.
_MATRICES = frozenset({1, 4, 5, 6, 7, 8, 9, 10, 14})
_CONVERTIBLE = frozenset({1, 4, 5, 7, 9})
_PRIMARIES = frozenset({1, *range(4, 13)})
_TRANSFERS = frozenset({1, *range(4, 19)})


def viewed(frame: VideoFrame) -> Picture | None:
    """The planes of ``frame``, not copied; None for a format that has no planes of 8 bits."""
    name = frame.format.name
    if name not in _CHROMA:
        return None
    planes: list[Plane] = []
    # A view keeps the plane alive, and the plane FFmpeg's buffer.
    for plane in frame.planes[: 1 if name == "gray" else 3]:
        rows = np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)
        planes.append(rows[: plane.height, : plane.width])
    return Picture(Layout.GRAY if name == "gray" else Layout.YUV, tuple(planes), _CHROMA[name])


def colour_of(frame: VideoFrame) -> Colour:
    """The tags of ``frame``; without a range it is narrow unless its format's name says that it is full."""
    full = frame.color_range == FULL or frame.format.name.startswith("yuvj")
    tags = (frame.colorspace, _MATRICES), (frame.color_primaries, _PRIMARIES), (frame.color_trc, _TRANSFERS)
    matrix, *others = (tag if tag in known else UNKNOWN for tag, known in tags)
    if frame.format.is_rgb:  # what it is turned into
        return Colour(NARROW, _BT601, *others)
    return Colour(FULL if full else NARROW, matrix, *others)


def copied(picture: Picture, colour: Colour) -> VideoFrame:
    """``picture`` as a planar YUV frame of FFmpeg's, tagged; other layouts are turned into 4:2:0."""
    yuv = convert(picture, Layout.YUV)
    if yuv.chroma not in _FORMATS:
        yuv = convert(yuv, Layout.YUV, (2, 2))
    # Where a side is odd, 4:2:0 stands for a pixel too many, which no encoder takes.
    if yuv.chroma != (1, 1) and (yuv.width % yuv.chroma[0] or yuv.height % yuv.chroma[1]):
        yuv = convert(yuv, Layout.YUV, (1, 1))
    frame = VideoFrame(yuv.width, yuv.height, _FORMATS[yuv.chroma])
    for target, source in zip(frame.planes, yuv.planes, strict=True):
        rows = np.frombuffer(cast(Any, target), np.uint8).reshape(-1, target.line_size)
        rows[: source.shape[0], : source.shape[1]] = source
    frame.color_range, frame.colorspace = colour.span, colour.matrix
    frame.color_primaries, frame.color_trc = colour.primaries, colour.transfer
    return frame


def as_still(picture: Picture, colour: Colour) -> Picture:
    """``picture`` with the meaning that stills have (JFIF); itself if it has that already, or is no YUV."""
    if picture.layout not in (Layout.YUV, Layout.NV12) or (colour.span, _matrix(colour)) == (FULL, _BT601):
        return picture
    frame = copied(picture, colour)
    still = viewed(
        frame.reformat(
            format=frame.format.name,
            src_colorspace=_matrix(colour),
            dst_colorspace=_BT601,
            src_color_range=colour.span,
            dst_color_range=JFIF.span,
        )
    )
    return picture if still is None else still


def _matrix(colour: Colour) -> int:
    """BT.601 and BT.470BG are one matrix under two numbers; what is not said, or not known here, is taken for it."""
    return colour.matrix if colour.matrix in _CONVERTIBLE else _BT601
