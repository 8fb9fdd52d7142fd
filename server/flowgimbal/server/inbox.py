"""A stream's requests as they come, until the client has no more, is silent for too long, or the server drains."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import grpc.aio
from google.protobuf.message import DecodeError

from flowgimbal.server.errors import InvalidArgument
from flowgimbal.server.session import Session
from flowgimbal.v1 import stabilizer_pb2 as pb

Context = grpc.aio.ServicerContext[pb.StreamRequest, pb.StreamResponse]

DRAIN_LISTEN_SECONDS = 0.25
"""How long, in all, a draining server waits for frames that were sent already and are still in gRPC's buffers."""

END_SECONDS = 0.02
"""How long the end of the input has to last. A message that is larger than the limit looks like it, and gRPC cancels
the call about a millisecond later: meanwhile the stream would end well, and gRPC log an error."""


async def receive(context: grpc.aio.ServicerContext[Any, Any]) -> Any:
    """The next message of a call, EOF after the last; raises InvalidArgument for bytes that are none."""
    try:
        return await context.read()
    except DecodeError as error:
        message = f"a message came that cannot be read ({error}); send what the contract says"
        raise InvalidArgument("MESSAGE_BROKEN", message) from None


class Inbox:
    """Reads requests one by one: gRPC fetches the next only when asked, which is what slows a client."""

    def __init__(self, context: Context, session: Session, draining: asyncio.Event, drain_seconds: float) -> None:
        """Whatever keeps coming, nothing is read once the server has been ``draining`` for ``drain_seconds``."""
        self._context = context
        self._session = session
        self._draining = draining
        self._drain_seconds = drain_seconds
        self._until: float | None = None  # on the monotonic clock, once the server drains
        self.listen_seconds = DRAIN_LISTEN_SECONDS
        """How much longer it waits for requests once the server drains."""

    async def next(self) -> pb.StreamRequest | None:
        """The next request, None after the last; raises TimedOut if none comes, and as `receive`."""
        if self._drained():
            return None
        reading = asyncio.ensure_future(receive(self._context))
        alarm = asyncio.ensure_future(self._draining.wait())
        try:
            if not self._draining.is_set():
                left = self._session.idle_left_ns(time.monotonic_ns()) / 1e9
                await asyncio.wait({reading, alarm}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if not reading.done() and not alarm.done():
                    raise self._session.timed_out()
            if not reading.done():
                started = time.monotonic()
                await asyncio.wait({reading}, timeout=self.listen_seconds)
                self.listen_seconds = max(0.0, self.listen_seconds - (time.monotonic() - started))
            if not reading.done():
                return None
            request = reading.result()
            if isinstance(request, pb.StreamRequest):
                return request
            await asyncio.sleep(END_SECONDS)
            return None
        finally:
            reading.cancel()
            alarm.cancel()

    def _drained(self) -> bool:
        """Whether the server has been draining for too long."""
        if self._draining.is_set() and self._until is None:
            self._until = time.monotonic() + self._drain_seconds
        return self._until is not None and time.monotonic() >= self._until
