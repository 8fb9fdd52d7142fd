"""The RPCs of those who look at streams that others run."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from typing import Any

import grpc.aio

from flowgimbal.server.access import Holder, holder
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import InvalidArgument, NotFound, PermissionDenied, TimedOut
from flowgimbal.server.limits import Places
from flowgimbal.server.outbox import send
from flowgimbal.server.stream import Stream
from flowgimbal.server.turns import Turns
from flowgimbal.server.watch import Sight, preview
from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as pb_grpc

DEFAULT_WIDTH, WIDTHS = 640, (16, 4096)
DEFAULT_RATE, RATES = 30.0, (0.1, 120.0)
MAX_ID_LENGTH = 64
"""Ids above it are none of ours, and are not repeated."""
PATIENCE_NS = 200_000_000
"""Frames that come this much later go before the pictures for observers."""

Context = grpc.aio.ServicerContext[Any, Any]


class ObserverService(pb_grpc.ObserverServiceServicer):
    """Watches and tunes the ``streams`` that run in this process, by id."""

    def __init__(self, streams: Mapping[str, Stream], turns: Turns, config: ServeConfig) -> None:
        self._streams = streams
        self._turns = turns
        self._patience = config.idle_timeout_seconds
        self._places = Places(config.max_observers, "observers")

    # A coroutine that writes, where the stub's type knows generators alone.
    async def Watch(self, request: pb.WatchRequest, context: Context) -> None:  # type: ignore[override]  # noqa: N802
        """As in the contract."""
        width = int(_within(request, "max_width", DEFAULT_WIDTH, WIDTHS))
        pause = 1 / _within(request, "max_rate", DEFAULT_RATE, RATES)
        stream = self._find(request.stream_id)
        viewer = holder.get()
        with self._places.take(), stream.observers.watch() as eye:
            due = time.monotonic()
            while (sight := await eye.next()) is not None:
                viewer.check()
                _permit(viewer, stream, request.stream_id)
                response = await asyncio.to_thread(self._picture, stream, sight, width)
                try:
                    async with asyncio.timeout(self._patience):
                        await send(context, response)
                except TimeoutError:
                    message = f"the observer took no picture for {self._patience:g} s; watch again to go on"
                    raise TimedOut("IDLE_TIMEOUT", message, idle_timeout_seconds=self._patience) from None
                due = max(due + pause, time.monotonic() - pause)
                await asyncio.sleep(due - time.monotonic())

    async def Tune(self, request: pb.TuneRequest, context: Context) -> pb.TuneResponse:  # noqa: N802, ARG002
        """As in the contract."""
        return pb.TuneResponse(info=self._find(request.stream_id).tune(request.tuning))

    def _picture(self, stream: Stream, sight: Sight, max_width: int) -> pb.WatchResponse:
        with self._turns.turn(time.perf_counter_ns() + PATIENCE_NS):
            raw, steady = (preview(picture, sight.colour, max_width) for picture in (sight.raw, sight.steady))
        width, height = sight.raw.size
        return pb.WatchResponse(
            raw=raw,
            steady=steady,
            width=width,
            height=height,
            transform=sight.transform,
            motion=sight.motion,
            frame_id=sight.frame_id,
            capture_time_ns=sight.capture_time_ns,
            stats=stream.counted(sight.stats),
            info=stream.info,
            encoding=sight.encoding,
        )

    def _find(self, stream_id: str) -> Stream:
        if len(stream_id) > MAX_ID_LENGTH:
            message = f"stream_id: no stream has an id of {len(stream_id)} characters"
            raise NotFound("NO_SUCH_STREAM", message, field="stream_id")
        if stream_id not in self._streams:
            message = f"stream_id: no stream {stream_id!r} runs here; it ended, or runs in another process"
            raise NotFound("NO_SUCH_STREAM", message, field="stream_id", stream_id=stream_id)
        stream = self._streams[stream_id]
        _permit(holder.get(), stream, stream_id)
        return stream


def _permit(viewer: Holder, stream: Stream, stream_id: str) -> None:
    if stream.holder is not viewer and not viewer.grant.observe:
        message = "this stream is another token's; watching and tuning it takes a token with `observe = true`"
        raise PermissionDenied("NOT_YOUR_STREAM", message, stream_id=stream_id)


def _within(request: pb.WatchRequest, name: str, default: float, limits: tuple[float, float]) -> float:
    value: float = getattr(request, name) if request.HasField(name) else default
    if not math.isfinite(value) or not limits[0] <= value <= limits[1]:
        message = f"{name}: {value} is not within [{limits[0]}, {limits[1]}]"
        raise InvalidArgument("VALUE_OUT_OF_RANGE", message, field=name, value=value)
    return value
