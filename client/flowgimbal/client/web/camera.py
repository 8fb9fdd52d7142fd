"""The browser's camera: its pictures go into a stream of their own, which the page then watches as any other."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Iterator
from contextlib import suppress

from aiohttp import WSMsgType, web

from flowgimbal.client.client import Client
from flowgimbal.client.errors import FlowgimbalError
from flowgimbal.client.frame import Frame
from flowgimbal.client.settings import Encoding, Mode, StreamSettings
from flowgimbal.client.stream import Stream
from flowgimbal.client.web.board import Listed
from flowgimbal.client.web.message import wishes

MAX_PICTURE = 8 << 20
TIME = struct.Struct(">d")  # ms of the browser's clock, before each picture
CHEAP = 1
"""Quality of the pictures that come back on the stream itself, which nobody looks at."""


class Cameras:
    """All browsers that lend their camera."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._running: dict[str, Stream] = {}

    def listed(self) -> Iterator[Listed]:
        """Their streams."""
        for stream in self._running.values():
            info = stream.info
            yield Listed(
                self._client,
                info.stream_id,
                "camera of a browser",
                info.engine,
                received=stream.sent,
                returned=stream.received,
                dropped=stream.dropped,
            )

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        """One browser: settings as JSON, then JPEG files, each behind its time; is told the stream's id."""
        socket = web.WebSocketResponse(heartbeat=20, max_msg_size=MAX_PICTURE)
        await socket.prepare(request)
        try:
            settings = _settings(await socket.receive_str(timeout=10))
            async with self._client.stream(settings) as stream:
                self._running[stream.info.stream_id] = stream
                try:
                    await socket.send_json({"stream_id": stream.info.stream_id})
                    await _feed(socket, stream)
                finally:
                    del self._running[stream.info.stream_id]
        except (FlowgimbalError, ValueError, TypeError) as error:
            with suppress(ConnectionError, RuntimeError):  # the browser has gone
                await socket.send_json({"error": str(error) or "the browser sent no settings"})
        await socket.close()
        return socket


def _settings(text: str) -> StreamSettings:
    wished = wishes(json.loads(text))
    names = StreamSettings.__dataclass_fields__
    given = {name: value for name in names if (value := getattr(wished, name)) is not None}
    return StreamSettings(**given | {"mode": Mode.LIVE, "output_encoding": Encoding.JPEG, "output_quality": CHEAP})


async def _feed(socket: web.WebSocketResponse, stream: Stream) -> None:
    """Send pictures on as they come, until the browser or the server ends it; raises what the server says."""
    receiving = asyncio.ensure_future(_drain(stream))
    try:
        while not receiving.done():
            reading = asyncio.ensure_future(socket.receive())
            await asyncio.wait({reading, receiving}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
                break
            message = reading.result()
            if message.type is not WSMsgType.BINARY:
                return
            if len(message.data) <= TIME.size:
                raise ValueError("a picture is its time, 8 bytes, and a JPEG file")
            (time_ms,) = TIME.unpack_from(message.data)
            picture = Frame(message.data[TIME.size :], Encoding.JPEG)
            await stream.send(picture, capture_time_ns=int(time_ms * 1e6))
        await receiving
    finally:
        receiving.cancel()
        await asyncio.gather(receiving, return_exceptions=True)


async def _drain(stream: Stream) -> None:
    while await stream.receive() is not None:
        pass
