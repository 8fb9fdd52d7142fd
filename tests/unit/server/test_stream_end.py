"""However a stream ends, its threads have ended before it: a process that ends next would be aborted by them."""

from __future__ import annotations

import asyncio
import threading
import time

import grpc.aio
import numpy as np
import pytest

from flowgimbal.engines.picker import pick
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import ClientGone
from flowgimbal.server.metrics import Metrics
from flowgimbal.server.stream import Stream
from flowgimbal.server.turns import Turns
from flowgimbal.v1 import stabilizer_pb2 as pb

NAME = "stream-under-test"


class Context:
    """A client that sends a configuration and five frames, and is gone when the first one comes back."""

    def __init__(self) -> None:
        data = np.zeros((48, 64), np.uint8).tobytes()
        self._requests = [pb.StreamRequest(config=pb.StreamConfig(mode=pb.MODE_LOSSLESS, look_ahead_frames=0))]
        for number in range(5):
            frame = pb.Frame(frame_id=number, encoding=pb.ENCODING_GRAY8, width=64, height=48, data=data)
            self._requests.append(pb.StreamRequest(frame=frame))

    async def read(self) -> pb.StreamRequest:
        if not self._requests:
            await asyncio.Event().wait()
        return self._requests.pop(0)

    async def send_initial_metadata(self, _: object) -> None:
        pass

    async def write(self, response: pb.StreamResponse) -> None:
        if response.WhichOneof("response") == "frame":
            raise grpc.aio.InternalError("Failed to send")


class Slow:
    """An engine whose measuring takes a while, in native code so to speak."""

    def __init__(self) -> None:
        self._engine = pick("identity", "network", "dense")
        self.measuring = threading.Event()

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)

    def measure(self, held: object, memory: object) -> object:
        self.measuring.set()
        time.sleep(0.2)
        return self._engine.measure(held, memory)


def stream_of(engine: object) -> Stream:
    return Stream(NAME, Context(), engine, ServeConfig(), Metrics(), Turns(2), asyncio.Event())


def left_over() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(NAME)]


async def test_a_client_that_is_gone_while_it_is_written_to():
    with pytest.raises(ClientGone):
        await stream_of(Slow()).run()
    assert left_over() == []


async def test_a_call_that_is_cancelled_twice():
    engine = Slow()
    running = asyncio.ensure_future(stream_of(engine).run())
    await asyncio.to_thread(engine.measuring.wait)
    for _ in range(3):
        running.cancel()
        await asyncio.sleep(0.01)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert left_over() == []
