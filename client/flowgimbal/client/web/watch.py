"""One browser that looks at one stream, and tunes it."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

from aiohttp import WSMsgType, web

from flowgimbal.client.errors import FlowgimbalError
from flowgimbal.client.web.board import Listed
from flowgimbal.client.web.message import described, packed, wishes

UNSEEN = 2
"""Pictures that may be on their way to a browser: a slow one gets fewer, not older ones."""
MAX_RATE = 60.0
MAX_TEXT = 1 << 16


class Watcher:
    """Sends sights as the browser takes them; takes ``{"seen": 1}`` and ``{"tune": {...}}`` from it."""

    def __init__(self, listed: Listed, max_width: int) -> None:
        self._listed = listed
        self._max_width = max_width
        self._socket = web.WebSocketResponse(heartbeat=20, max_msg_size=MAX_TEXT)
        self._room = asyncio.Semaphore(UNSEEN)

    async def run(self, request: web.Request) -> web.WebSocketResponse:
        """Until the browser or the stream goes away."""
        await self._socket.prepare(request)
        showing = asyncio.ensure_future(self._show())
        try:
            async for message in self._socket:
                if message.type is WSMsgType.TEXT:
                    await self._asked(message.data)
        finally:
            showing.cancel()
            await asyncio.gather(showing, return_exceptions=True)
        return self._socket

    async def _show(self) -> None:
        listed = self._listed
        sights = listed.client.watch(
            listed.stream_id, address=listed.address, max_width=self._max_width, max_rate=MAX_RATE
        )
        try:
            while await self._room.acquire() and (sight := await anext(sights, None)) is not None:
                await self._socket.send_bytes(packed(sight))
            await self._say(ended="the stream has ended")
        except FlowgimbalError as error:
            await self._say(ended=str(error))
        finally:
            await sights.aclose()  # type: ignore[attr-defined]
            await self._socket.close()

    async def _asked(self, text: str) -> None:
        try:
            asked = json.loads(text)
            if not isinstance(asked, dict):
                raise ValueError("an object is wanted")
            if "seen" in asked:
                self._room.release()
            if "tune" in asked:
                listed = self._listed
                info = await listed.client.tune(listed.stream_id, wishes(asked["tune"]), address=listed.address)
                await self._say(info=described(info))
        except (FlowgimbalError, ValueError, TypeError) as error:
            await self._say(error=str(error))

    async def _say(self, **what: Any) -> None:
        with suppress(ConnectionError, RuntimeError):  # the browser has gone
            await self._socket.send_json(what)
