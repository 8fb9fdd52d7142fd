"""A frame is charged, and bounded, by the size that its headers announce: no other picture may come of it."""

from __future__ import annotations

import asyncio

import av
import grpc.aio
import numpy as np
import pytest

from flowgimbal.engines.picker import pick
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import Undecodable
from flowgimbal.server.metrics import Metrics
from flowgimbal.server.stream import Stream
from flowgimbal.server.turns import Turns
from flowgimbal.v1 import stabilizer_pb2 as pb

SLICE = b"\0\0\0\1\x41\x9a\x00\x10"
"""The beginning of one: whoever reads headers reads no further."""


def units(width: int, height: int, count: int) -> list[bytes]:
    """H.264, every picture a key frame with its parameter sets."""
    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.framerate = width, height, "yuv420p", 30
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "x264-params": "keyint=1:repeat-headers=1"}
    noise = np.random.default_rng(0).integers(0, 255, (height * 3 // 2, width), np.uint8)
    picture = av.VideoFrame.from_ndarray(noise, "yuv420p")
    packets = []
    for number in range(count):
        picture.pts = number
        packets += [bytes(packet) for packet in context.encode(picture)]
    return packets + [bytes(packet) for packet in context.encode(None)]


class Context:
    """A client that sends ``requests`` and keeps the sizes of what comes back."""

    def __init__(self, *requests: pb.StreamRequest) -> None:
        self._requests = [*requests, grpc.aio.EOF]
        self.sizes: list[tuple[int, int]] = []

    async def read(self) -> object:
        await asyncio.sleep(0.05)  # a camera's pace: what a live stream drops here, it does not drop for being late
        return self._requests.pop(0)

    async def send_initial_metadata(self, _: object) -> None:
        pass

    async def write(self, response: pb.StreamResponse) -> None:
        if response.WhichOneof("response") == "frame":
            self.sizes.append((response.frame.frame.width, response.frame.frame.height))


async def sent(mode: int, *data: bytes) -> tuple[Context, Stream]:
    config = pb.StreamConfig(mode=mode, look_ahead_frames=0, output_encoding=pb.ENCODING_GRAY8)
    frames = [
        pb.StreamRequest(frame=pb.Frame(frame_id=number, encoding=pb.ENCODING_H264, data=unit))
        for number, unit in enumerate(data)
    ]
    context = Context(pb.StreamRequest(config=config), *frames)
    stream = Stream("announced", context, pick("identity"), ServeConfig(), Metrics(), Turns(2), asyncio.Event())
    await stream.run()
    return context, stream


async def test_a_size_that_is_announced_may_change():
    context, stream = await sent(pb.MODE_LIVE, *units(64, 48, 1), *units(128, 96, 2))
    assert context.sizes == [(64, 48), (128, 96), (128, 96)]
    assert stream.summary.counters.restarts == 1


async def test_a_picture_of_another_size_is_dropped():
    hidden = [SLICE + unit for unit in units(128, 96, 3)]
    context, stream = await sent(pb.MODE_LIVE, *units(64, 48, 1), *hidden, *units(64, 48, 1))
    assert context.sizes == [(64, 48)] * 2
    assert stream.summary.counters.dropped == 3


async def test_it_ends_a_lossless_stream():
    hidden = [SLICE + unit for unit in units(128, 96, 1)]
    with pytest.raises(Undecodable, match=r"of another size .* \(frame_id 1\)"):
        await sent(pb.MODE_LOSSLESS, *units(64, 48, 1), *hidden)
