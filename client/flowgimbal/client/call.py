"""One call of Stream on one server, message by message."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

import grpc

from flowgimbal.client.errors import FlowgimbalError, ServerFault, StreamClosed, Timeout
from flowgimbal.client.translate import translated
from flowgimbal.client.verdict import Verdict
from flowgimbal.v1 import stabilizer_pb2 as pb

if TYPE_CHECKING:
    Exchange = grpc.aio.StreamStreamCall[pb.StreamRequest, pb.StreamResponse]


class Road(Protocol):
    """How a stream's messages reach a server and come back: one call, or one after another.

    Every method but ``cancel`` raises a FlowgimbalError where the server or the connection fails.
    """

    @property
    def address(self) -> str:
        """Of the server."""

    @property
    def info(self) -> pb.StreamInfo:
        """The settings in force; another object when they changed."""

    @property
    def dropped(self) -> int:
        """Frames sent that will not come back, as far as is known."""

    async def open(self) -> None:
        """Send the configuration; ``info`` is the answer."""

    async def write(self, request: pb.StreamRequest) -> None:
        """Send a frame or a tuning. Waits while flow control, the network's or the server's, says so."""

    async def read(self) -> pb.StreamResponse | None:
        """The next response, a frame or new settings; None after the last. May be cancelled safely."""

    async def half_close(self) -> None:
        """Say that no frame follows."""

    def cancel(self) -> None:
        """Give up at once."""

    async def close(self) -> None:
        """Give up at once, and let go of everything."""


class Call:
    """A road to one server; what fails on it has failed."""

    def __init__(
        self, start: Callable[[], Exchange], config: pb.StreamConfig, address: str, open_timeout: float
    ) -> None:
        self._start = start
        self._config = config
        self._open_timeout = open_timeout
        self._exchange: Exchange | None = None
        self._verdict: Verdict | None = None
        self._reading: asyncio.Task[Any] | None = None
        self._writing = asyncio.Lock()  # gRPC takes one message at a time, and fails the call for a second
        self.address = address
        self.info = pb.StreamInfo()
        self.dropped = 0

    async def open(self) -> None:
        """As in Road; raises Timeout if the server does not answer in time."""
        exchange = self._exchange = self._start()
        self._verdict = Verdict(exchange)
        try:
            async with asyncio.timeout(self._open_timeout), translated(self.address, self._verdict):
                await exchange.write(pb.StreamRequest(config=self._config))
                first = await exchange.read()
        except TimeoutError as error:
            exchange.cancel()
            if isinstance(error, FlowgimbalError):
                raise
            raise Timeout(f"{self.address} did not open the stream within {self._open_timeout:g} s") from error
        except BaseException:
            exchange.cancel()
            raise
        if not isinstance(first, pb.StreamResponse) or first.WhichOneof("response") != "info":
            exchange.cancel()
            raise ServerFault(f"{self.address} did not begin with a StreamInfo: is it another service?")
        self.info = first.info

    async def write(self, request: pb.StreamRequest) -> None:
        """As in Road; a cancelled write ends the call."""
        exchange = self._opened()
        async with self._writing, translated(self.address, self._verdict):
            await exchange.write(request)

    async def read(self) -> pb.StreamResponse | None:
        """As in Road."""
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._opened().read())
        reading = self._reading
        async with translated(self.address, self._verdict):
            # gRPC ends the whole call when a read is cancelled: the shield lets a caller give up waiting only. What it
            # reads then, even in the very moment of giving up, is the next caller's.
            response = await asyncio.shield(reading)
        self._reading = None
        if not isinstance(response, pb.StreamResponse):
            return None  # grpc.aio.EOF
        if response.WhichOneof("response") == "info":  # settings changed, by us or by an observer
            self.info = response.info
        else:
            self.dropped = max(self.dropped, response.frame.stats.frames_dropped)
        return response

    async def half_close(self) -> None:
        """As in Road."""
        exchange = self._opened()
        async with self._writing, translated(self.address, self._verdict):
            await exchange.done_writing()

    def cancel(self) -> None:
        """As in Road."""
        if self._exchange is not None:
            self._exchange.cancel()

    async def close(self) -> None:
        """As in Road."""
        self.cancel()
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _opened(self) -> Exchange:
        if self._exchange is None:
            raise StreamClosed("the stream is not open: enter it with `async with`")
        return self._exchange
