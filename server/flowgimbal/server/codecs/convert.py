"""From one layout to another, for streams that ask for an output unlike their input.

YUV is full-range BT.601 (JFIF) here, both ways: the planes of a JPEG and raw I420 or NV12 pass into one another as they
are. A client whose raw YUV is limited-range gets the same range back as long as it stays in YUV.
"""

from __future__ import annotations

import cv2
import numpy as np

from flowgimbal.engines.picture import Layout, Picture, Plane, halved

_NEUTRAL = 128
_TO_YCRCB = {Layout.BGR: cv2.COLOR_BGR2YCrCb, Layout.RGB: cv2.COLOR_RGB2YCrCb}
_FROM_YCRCB = {Layout.BGR: cv2.COLOR_YCrCb2BGR, Layout.RGB: cv2.COLOR_YCrCb2RGB}


def convert(picture: Picture, layout: Layout, chroma: tuple[int, int] | None = None) -> Picture:
    """``picture`` in another layout; itself if it is in that one already.

    ``chroma`` are the factors wanted of YUV planes; None keeps those there are, (2, 2) where there are none.
    """
    if picture.layout is layout and chroma in (None, picture.chroma):
        return picture
    if layout is Layout.GRAY:
        return Picture(Layout.GRAY, (_yuv(picture).planes[0],))
    if layout in _FROM_YCRCB:
        if picture.layout in _TO_YCRCB:
            return Picture(layout, (np.ascontiguousarray(picture.planes[0][..., ::-1]),))
        if picture.layout is Layout.GRAY:
            return Picture(layout, (np.repeat(picture.planes[0][..., None], 3, axis=2),))
        full = _chroma(_yuv(picture), (1, 1)).planes
        merged = cv2.merge([full[0], full[2], full[1]])
        return Picture(layout, (_plane(cv2.cvtColor(merged, _FROM_YCRCB[layout])),))
    if layout is Layout.NV12:
        y, cb, cr = _chroma(_yuv(picture), (2, 2)).planes
        return Picture(Layout.NV12, (y, _plane(cv2.merge([cb, cr]))), (2, 2))
    yuv = _yuv(picture)
    return yuv if chroma is None else _chroma(yuv, chroma)


def _yuv(picture: Picture) -> Picture:
    if picture.layout is Layout.YUV:
        return picture
    if picture.layout is Layout.NV12:
        y, pairs = picture.planes
        return Picture(Layout.YUV, (y, pairs[..., 0].copy(), pairs[..., 1].copy()), (2, 2))
    if picture.layout is Layout.GRAY:
        neutral = np.full((halved(picture.height), halved(picture.width)), _NEUTRAL, np.uint8)
        return Picture(Layout.YUV, (picture.planes[0], neutral, neutral), (2, 2))
    y, cr, cb = (_plane(part) for part in cv2.split(cv2.cvtColor(picture.planes[0], _TO_YCRCB[picture.layout])))
    return _chroma(Picture(Layout.YUV, (y, cb, cr), (1, 1)), (2, 2))


def _chroma(picture: Picture, factors: tuple[int, int]) -> Picture:
    if picture.chroma == factors:
        return picture
    size = -(-picture.width // factors[0]), -(-picture.height // factors[1])
    smaller = picture.planes[1].shape[1] >= size[0] and picture.planes[1].shape[0] >= size[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    resized = tuple(_plane(cv2.resize(plane, size, interpolation=how)) for plane in picture.planes[1:])
    return Picture(Layout.YUV, (picture.planes[0], *resized), factors)


def _plane(array: object) -> Plane:
    plane: Plane = array  # type: ignore[assignment]
    return plane
