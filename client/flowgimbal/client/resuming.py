"""A stream that outlives its servers: where one fails or drains, it goes on at another.

What was sent and has not come back is kept, and sent again with its ids; with it go the last frame that did come back
and the path of the last seconds (``StreamConfig.resume``), so that the picture does not jump.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections import deque
from collections.abc import Callable

from flowgimbal.client.call import Road
from flowgimbal.client.errors import FlowgimbalError, Overloaded, ServerFault, StreamClosed, Timeout, Unavailable
from flowgimbal.client.kept import Kept
from flowgimbal.v1 import stabilizer_pb2 as pb

logger = logging.getLogger(__name__)

PATIENCE_SECONDS = 30.0
"""A stream for which no server is found within this time fails."""
BACKOFF_SECONDS = (0.05, 1.0)
"""The pause before the second attempt, doubled with each, and the longest; a random part of it is waited."""
PATH_FRAMES = 240
"""Frames whose path is taken along: eight seconds at 30 Hz. Networks look back two, the forecast learns from more."""
ENDINGS = 3
"""Servers that may end the stream well, one after the other, and return nothing."""
AHEAD = 24
"""Frames that a lossless stream may have on their way, the look-ahead's not counted."""
_PASSING = (Unavailable, Overloaded, Timeout, ServerFault)
_SILENT = "IDLE_TIMEOUT"  # it is this side that sent nothing


class Resuming:
    """A Road over one call after another. ``read`` must be running for a move to take place."""

    def __init__(
        self,
        call_with: Callable[[pb.StreamConfig, int], Road],
        config: pb.StreamConfig,
        servers: int = 1,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        """``call_with`` makes the call for the attempt of that number: the ``servers`` are tried in turn."""
        self._call_with = call_with
        self._servers = servers
        self._config = pb.StreamConfig()
        self._config.CopyFrom(config)
        self._config.resumable = True
        self._patience = patience_seconds
        self._lossless = config.mode == pb.MODE_LOSSLESS
        self._kept = Kept(lossless=self._lossless)
        self._path: deque[bytes] = deque(maxlen=PATH_FRAMES)
        self._call: Road | None = None
        self._attempts = 0
        self._fruitless = 0  # attempts since a frame came back
        self._endings = 0  # of these, servers that ended the stream well
        self._ending = False  # the caller has no more frames
        self._half_closed = False
        self._failure: FlowgimbalError | None = None
        self._lost_at: float | None = None
        self._moving: asyncio.Task[None] | None = None
        self._pumping: asyncio.Task[None] | None = None
        self._news = asyncio.Event()  # set, and replaced, whenever something has changed
        self.address = ""
        self.info = pb.StreamInfo()

    @property
    def dropped(self) -> int:
        """Frames that will not come back, by whatever server."""
        return self._kept.lost

    async def open(self) -> None:
        """As in Road; each server is tried once."""
        call = self._new_call()
        while True:
            try:
                await call.open()
                break
            except _PASSING:
                if self._attempts >= self._servers:
                    raise
            call = self._new_call()
        self._kept = Kept(lossless=self._lossless, latency_frames=call.info.latency_frames)
        self._take(call)
        self._pumping = asyncio.ensure_future(self._pump())

    async def write(self, request: pb.StreamRequest) -> None:
        """As in Road. Where no server is there, a lossless stream waits for one and a live one does not."""
        self._check()
        if request.WhichOneof("request") == "tuning":
            await self._tune(request)
            return
        self._kept.put(request)
        self._tell()
        await self._until(self._has_room)
        self._check()

    async def read(self) -> pb.StreamResponse | None:
        """As in Road; raises what ended the stream for good."""
        while True:
            self._check()
            call = self._call
            if call is None:
                await self._moved()
                continue
            try:
                response = await call.read()
            except FlowgimbalError as error:
                await self._move(call, error)
                continue
            if response is None:
                if self._is_over():
                    return None
                await self._move(call, None)
                continue
            kind = response.WhichOneof("response")
            if kind == "info":
                self.info = response.info
                self._adopt(response.info.config)  # what an observer tuned, too
                return response
            if kind == "draining":
                # What it holds it would flush without its look-ahead: the next server does better, with all of it.
                logger.info("the server at %s drains: moving on", call.address)
                await self._move(call, None)
            elif not self._kept.knows(response.frame.frame.frame_id):
                number = response.frame.frame.frame_id
                self._failure = ServerFault(f"the server returned frame {number}, which was not sent")
                self._tell()
            elif self._kept.came_back(response.frame.frame.frame_id):
                self._path.append(response.frame.path)
                self._lost_at, self._fruitless, self._endings = None, 0, 0
                self._tell()
                return response

    async def half_close(self) -> None:
        """As in Road."""
        self._check()
        self._ending = True
        self._tell()

    def cancel(self) -> None:
        """As in Road."""
        self._failure = self._failure or StreamClosed("the stream was cancelled on this side")
        if self._moving is not None:
            self._moving.cancel()
        if self._call is not None:
            self._call.cancel()
        self._tell()

    async def close(self) -> None:
        """As in Road."""
        self.cancel()
        tasks = [task for task in (self._pumping, self._moving) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._call is not None:
            await self._call.close()

    async def _pump(self) -> None:
        """Send what is kept, on whatever call there is; how calls end, the reader hears."""
        while True:
            await self._until(lambda: self._call is not None and not self._half_closed and self._has_work())
            call = self._call
            if call is None:
                continue
            try:
                if not self._kept.unsent:
                    self._half_closed = True
                    await call.half_close()
                else:
                    await call.write(self._kept.next())
                    self._tell()
            except FlowgimbalError:
                await self._until(lambda gone=call: self._call is not gone)  # type: ignore[misc]

    def _has_work(self) -> bool:
        return self._kept.unsent > 0 or self._ending

    def _has_room(self) -> bool:
        if self._failure is not None:
            return True
        if self._lossless:
            return self._kept.waiting <= self.info.latency_frames + AHEAD
        return self._call is None or not self._kept.unsent

    def _is_over(self) -> bool:
        if not self._ending or not self._half_closed or self._kept.unsent:
            return False
        return not self._lossless or not self._kept.waiting

    async def _tune(self, request: pb.StreamRequest) -> None:
        self._adopt(request.tuning.config)
        if self._call is not None:
            try:
                await self._call.write(request)
            except FlowgimbalError as error:
                if not isinstance(error, _PASSING):
                    raise

    def _adopt(self, change: pb.StreamConfig) -> None:
        """What the next server is to be asked for as well."""
        self._config.MergeFrom(change)
        if change.HasField("pins"):  # a merge would append them
            self._config.pins.CopyFrom(change.pins)

    async def _move(self, call: Road, error: FlowgimbalError | None) -> None:
        """Away from ``call``, which ended with ``error`` or, None, well."""
        if self._call is call:
            self._call = None
            if self._lost_at is None:
                self._lost_at = time.monotonic()
            if error is not None and self._may_pass(error):
                logger.warning("the server is gone: %s; trying again", error)
            self._moving = asyncio.ensure_future(self._find(call, error))
        await self._moved()

    async def _moved(self) -> None:
        if self._moving is not None:
            try:
                await asyncio.shield(self._moving)
            except asyncio.CancelledError:
                if self._failure is None or not self._moving.cancelled():
                    raise

    async def _find(self, old: Road, error: FlowgimbalError | None) -> None:
        """Go on at the next server that takes the stream; else the stream has failed."""
        await old.close()
        self._endings += error is None
        if self._endings > ENDINGS:
            self._failure = ServerFault(f"the server ended the stream and returned all but {self._kept.waiting} frames")
        while self._failure is None:
            if error is not None and not self._may_pass(error):
                self._failure = error
                break
            if self._fruitless:
                least, most = BACKOFF_SECONDS
                await asyncio.sleep(random.uniform(0.5, 1.0) * min(least * 2 ** (self._fruitless - 1), most))
            self._fruitless += 1
            try:
                call = self._new_call()
                await call.open()
            except FlowgimbalError as refusal:
                error = refusal
                continue
            except ValueError as unreadable:  # a token's or a certificate's file: they are being replaced
                error = Unavailable(str(unreadable))
                continue
            self._kept.rewind()
            self._half_closed = False
            self._take(call)
            if self._lost_at is not None:
                away = time.monotonic() - self._lost_at
                logger.info("the server is back after %.1f s: stream %s on %s", away, call.info.stream_id, call.address)
            break
        self._tell()

    def _may_pass(self, error: FlowgimbalError) -> bool:
        if not isinstance(error, _PASSING) or error.reason == _SILENT or (not self._kept.whole and self._lossless):
            return False
        return self._lost_at is None or time.monotonic() - self._lost_at < self._patience

    def _new_call(self) -> Road:
        config = pb.StreamConfig()
        config.CopyFrom(self._config)
        if self._kept.returned is not None:
            config.resume.after_frame_id = self._kept.returned
            config.resume.path.extend(self._path)
        self._attempts += 1
        return self._call_with(config, self._attempts - 1)

    def _take(self, call: Road) -> None:
        self._call, self.address, self.info = call, call.address, call.info

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _tell(self) -> None:
        """Something has changed. Nothing is awaited: a reader that is cancelled then would lose what it read."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    async def _until(self, so: Callable[[], bool]) -> None:
        while not so():
            await self._news.wait()
