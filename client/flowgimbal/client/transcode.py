"""A video file through a stream and into another file: the same frames, the same times, steadier."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from flowgimbal.client.client import Client
from flowgimbal.client.endpoint import Endpoint
from flowgimbal.client.errors import ServerFault
from flowgimbal.client.frame import Frame
from flowgimbal.client.settings import Mode, StreamSettings
from flowgimbal.client.sinks import VideoSink
from flowgimbal.client.sources import VideoSource


@dataclass(frozen=True)
class Transcoded:
    """Frames sent, come back and dropped, the time it took [s], and what could not be kept of the original."""

    sent: int
    received: int
    dropped: int
    seconds: float
    notes: tuple[str, ...]


async def stabilize_file(
    source_path: str | Path,
    output_path: str | Path,
    server: str | Endpoint,
    settings: StreamSettings,
    *,
    on_start: Callable[[int], None] = lambda _: None,
    on_frame: Callable[[], None] = lambda: None,
) -> Transcoded:
    """Send every frame of ``source_path`` to ``server`` and write what comes back to ``output_path``.

    Frames are raw I420 on the wire, decoded, sent, received and encoded at the same time, a few in memory at once.
    ``on_start`` is told how many the header promises (0: nothing), ``on_frame`` of each that is written. Raises
    MediaError for the files, the other leaves of FlowgimbalError for the stream; then there is no output file.
    """
    started = time.monotonic()
    ticks_of: dict[int, int] = {}

    with VideoSource(source_path) as source:
        on_start(source.format.frames)

        def frames() -> Iterator[Frame]:
            for ticks, frame in source.frames():
                ticks_of[frame.frame_id or 0] = ticks
                yield frame

        sink = VideoSink(output_path, source.format, sound_of=source_path, metadata=source.metadata)
        async with Client(server) as client, client.stream(settings, resume=True) as stream:
            with sink:
                async for steady in stream.stabilize(frames()):
                    ticks = _take(ticks_of, steady.frame_id)
                    await asyncio.to_thread(sink.write, steady, ticks)
                    on_frame()
                lossless = stream.info.settings.mode is Mode.LOSSLESS
                if lossless and stream.received != stream.sent:
                    raise ServerFault(f"the server returned {stream.received} of {stream.sent} frames")
    return Transcoded(stream.sent, stream.received, stream.dropped, time.monotonic() - started, tuple(sink.notes))


def _take(ticks_of: dict[int, int], frame_id: int) -> int:
    """The time of a frame; forgets it, and those dropped before it."""
    ticks = ticks_of.pop(frame_id, None)
    if ticks is None:
        raise ServerFault(f"the server returned frame {frame_id}, which was not sent or came back before")
    for older in [known for known in ticks_of if known < frame_id]:
        del ticks_of[older]
    return ticks
