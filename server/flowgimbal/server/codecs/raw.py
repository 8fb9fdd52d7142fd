"""Uncompressed frames: BGR8, RGB8, NV12, I420, GRAY8. Planes are views of the received bytes, nothing is copied."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flowgimbal.engines.picture import Layout, Picture, Plane, halved
from flowgimbal.server.codecs.codec import Attached, Decoded, EncoderSettings, RawFrame, Still
from flowgimbal.server.codecs.convert import convert
from flowgimbal.server.codecs.planes import as_still
from flowgimbal.server.errors import InvalidArgument
from flowgimbal.v1 import stabilizer_pb2 as pb

_LAYOUTS = {
    pb.ENCODING_BGR8: Layout.BGR,
    pb.ENCODING_RGB8: Layout.RGB,
    pb.ENCODING_NV12: Layout.NV12,
    pb.ENCODING_I420: Layout.YUV,
    pb.ENCODING_GRAY8: Layout.GRAY,
}
_CHANNELS = {Layout.BGR: 3, Layout.RGB: 3}


@dataclass(frozen=True, slots=True)
class _Rows:
    """One plane's place in the data: ``used`` of the ``stride`` bytes of each row are picture."""

    rows: int
    used: int
    stride: int
    channels: int = 1


class RawCodec(Still):
    """One uncompressed encoding; has no state, so that it is its own decoder."""

    def __init__(self, encoding: pb.Encoding) -> None:
        self._layout = _LAYOUTS[encoding]

    def inspect(self, frame: RawFrame) -> tuple[int, int]:
        """As the frame says."""
        return frame.width, frame.height

    def check(self, frame: RawFrame) -> None:
        """Raise InvalidArgument unless stride and amount of data fit the size."""
        planes = plane_rows(self._layout, frame.width, frame.height, frame.stride)
        if frame.stride and frame.stride < planes[0].used:
            raise InvalidArgument(
                "STRIDE_TOO_SMALL",
                f"stride: {frame.stride} bytes cannot hold a row of {planes[0].used}; 0 means packed",
                field="stride",
                stride=frame.stride,
                row_bytes=planes[0].used,
            )
        wanted = sum(plane.rows * plane.stride for plane in planes)
        if len(frame.data) != wanted:
            raise InvalidArgument(
                "DATA_SIZE_MISMATCH",
                f"data: {len(frame.data)} bytes where {frame.width}x{frame.height} with stride"
                f" {planes[0].stride} takes {wanted}",
                field="data",
                bytes=len(frame.data),
                expected_bytes=wanted,
            )

    def decoder(self, max_pixels: int) -> RawCodec:  # noqa: ARG002 - the size that was inspected is binding
        """Itself."""
        return self

    def decode(self, frame: RawFrame) -> Sequence[Decoded]:
        """Read-only views of the data; never fails on a checked frame."""
        flat = np.frombuffer(frame.data, np.uint8)
        planes: list[Plane] = []
        for plane in plane_rows(self._layout, frame.width, frame.height, frame.stride):
            size = plane.rows * plane.stride
            view = flat[:size].reshape(plane.rows, plane.stride)[:, : plane.used]
            planes.append(view if plane.channels == 1 else view.reshape(plane.rows, -1, plane.channels))
            flat = flat[size:]
        chroma = (2, 2) if self._layout in (Layout.NV12, Layout.YUV) else (1, 1)
        return (Decoded(frame.frame_id, Picture(self._layout, tuple(planes), chroma)),)

    def encoder(self, settings: EncoderSettings) -> RawEncoder:  # noqa: ARG002 - nothing is lost
        """Writes packed planes."""
        return RawEncoder(self._layout)


class RawEncoder(Still):
    """Writes packed planes of one layout."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def encode(self, picture: Picture, attached: Attached, capture_time_ns: int) -> bytes:  # noqa: ARG002 - no clock
        """The planes one after another, each row packed. YUV keeps its range, the others are full."""
        if self._layout not in (Layout.YUV, Layout.NV12):
            picture = as_still(picture, attached.colour)
        picture = convert(picture, self._layout, (2, 2) if self._layout is Layout.YUV else None)
        planes = [np.ascontiguousarray(plane) for plane in picture.planes]
        return planes[0].tobytes() if len(planes) == 1 else b"".join(plane.data for plane in planes)


def plane_rows(layout: Layout, width: int, height: int, stride: int) -> tuple[_Rows, ...]:
    """Where each plane's rows lie, by the contract's rules; sizes in pixels, ``stride`` in bytes, 0 for packed."""
    channels = _CHANNELS.get(layout, 1)
    stride = stride or width * channels
    first = _Rows(height, width * channels, stride, channels)
    if layout is Layout.NV12:
        return first, _Rows(halved(height), 2 * halved(width), stride + stride % 2, 2)
    if layout is Layout.YUV:
        chroma = _Rows(halved(height), halved(width), halved(stride))
        return first, chroma, chroma
    return (first,)
