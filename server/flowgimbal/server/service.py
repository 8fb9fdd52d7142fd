"""The RPCs: what a client may ask, and when."""

from __future__ import annotations

import asyncio
import logging
import secrets
import threading
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager, suppress
from importlib.metadata import version
from typing import TYPE_CHECKING

from flowgimbal.engines.engine import Engine
from flowgimbal.server import call, logs, process
from flowgimbal.server.access import holder
from flowgimbal.server.codecs.apart import Nursery
from flowgimbal.server.codecs.table import CODECS
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import EngineFailure, StreamError, Unavailable
from flowgimbal.server.inbox import receive
from flowgimbal.server.limits import RETRY_AFTER_SECONDS, Places
from flowgimbal.server.metrics import Metrics
from flowgimbal.server.quota import Readings
from flowgimbal.server.stream import Context, Stream
from flowgimbal.server.turns import Turns, places
from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from flowgimbal.server.tracing import Tracing

logger = logging.getLogger(__name__)

VERSION = version("flowgimbal")
PROBE_SECONDS = 1.0
"""So often an engine that works for nobody is tried again."""
RELEASE_SECONDS = 1.0
"""From the end of a stream, and of its call, until all have let go of its frames, gRPC's own threads too."""


class StabilizerService(pb_grpc.StabilizerServiceServicer):
    """Serves streams while it has an engine and until it drains."""

    def __init__(
        self, config: ServeConfig, metrics: Metrics, readings: Readings, tracing: Tracing | None = None
    ) -> None:
        """``readings`` are the turns at hearing out those that are refused."""
        self._config = config
        self._readings = readings
        self._metrics = metrics
        self._tracing = tracing
        self._places = Places(config.max_streams, "streams")
        self.turns = Turns(places())
        self.streams: dict[str, Stream] = {}
        """Those that run, by id."""
        self._engine: Engine | None = None
        self._nursery: Nursery | None = None
        self._draining = asyncio.Event()
        self.engine_failed = asyncio.Event()
        """The engine ended a stream."""
        self.engine_fault = ""
        """Why it works for nobody now; empty while it does."""
        self._releasing: asyncio.TimerHandle | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def takes_streams(self) -> bool:
        """Whether it is ready for one more, if there is a place."""
        try:
            self._ready()
        except Unavailable:
            return False
        return True

    @property
    def active_streams(self) -> int:
        """Streams that run now."""
        return len(self.streams)

    def begin(self, engine: Engine, nursery: Nursery | None) -> None:
        """The engine is warm: take streams. ``nursery``: where their decoders run, None: in this process."""
        self._engine, self._nursery = engine, nursery
        self._metrics.engine(engine.name, VERSION)

    def drain(self) -> None:
        """Take no more streams; those that run return what they received and end."""
        self._draining.set()

    async def idle(self) -> None:
        """Wait until no stream runs."""
        await self._idle.wait()

    # A coroutine that writes, where the stub's type knows generators alone.
    async def Stream(self, request_iterator: object, context: Context) -> None:  # type: ignore[override]  # noqa: N802, ARG002
        """As in the contract."""
        async with self._place(context) as engine:
            name = secrets.token_hex(8)  # who knows it may watch: it cannot be guessed
            logs.stream_id.set(name)
            self._idle.clear()
            metrics, turns, nursery, tracing = self._metrics, self.turns, self._nursery, self._tracing
            stream = Stream(name, context, engine, self._config, metrics, turns, self._draining, nursery, tracing)
            self.streams[name] = stream
            self._metrics.streams.set(self.active_streams)
            call.present().add_done_callback(self._release_soon)
            try:
                await stream.run()
            except EngineFailure:
                self.engine_failed.set()
                raise
            finally:
                del self.streams[name]
                if not self.streams:
                    self._idle.set()
                self._metrics.streams.set(self.active_streams)
                self._release_soon()

    async def GetServerInfo(self, request: pb.GetServerInfoRequest, context: Context) -> pb.GetServerInfoResponse:  # noqa: N802, ARG002
        """As in the contract."""
        engine = self._ready()
        config = self._config
        return pb.GetServerInfoResponse(
            version=VERSION,
            engine=engine.name,
            input_encodings=sorted(CODECS),
            output_encodings=sorted(CODECS),
            max_streams=config.max_streams,
            active_streams=self.active_streams,
            max_frame_pixels=config.max_frame_pixels,
            max_message_bytes=config.max_message_bytes,
            idle_timeout_seconds=config.idle_timeout_seconds,
        )

    @asynccontextmanager
    async def _place(self, context: Context) -> AsyncIterator[Engine]:
        """Holds a place for a stream; raises what refuses one."""
        with ExitStack() as held:
            try:
                engine = self._ready()
                held.enter_context(holder.get().place())
                held.enter_context(self._places.take())
            except StreamError as error:
                self._metrics.refused.labels(error.reason).inc()
                await self._hear_out(context)
                raise
            yield engine

    async def _hear_out(self, context: Context) -> None:
        """A status that overtakes a client's first message reads INTERNAL in some of gRPC's clients (Python's aio)."""
        with suppress(StreamError):
            async with self._readings.turn(context):
                await receive(context)

    def _release_soon(self, *_: object) -> None:
        """Give what a stream took back to the system, at once for all that end meanwhile."""
        if self._releasing is None:
            self._releasing = asyncio.get_running_loop().call_later(RELEASE_SECONDS, self._release)

    def _release(self) -> None:
        self._releasing = None
        # Takes milliseconds: not on the event loop, where other streams wait.
        threading.Thread(target=process.release, name="release", daemon=True).start()

    def _ready(self) -> Engine:
        if self._draining.is_set():
            raise Unavailable("DRAINING", "the server is shutting down; use another one or retry later")
        if self._engine is None:
            message = "the server is starting; retry in a moment"
            raise Unavailable("STARTING", message, retry_after_seconds=RETRY_AFTER_SECONDS)
        if self._engine.lost:
            raise Unavailable("ENGINE_LOST", f"{self._engine.lost}; this server has to be started again, use another")
        if self.engine_fault:
            message = f"the engine fails: {self.engine_fault}; use another server or retry later"
            raise Unavailable("ENGINE_FAILS", message, retry_after_seconds=PROBE_SECONDS)
        return self._engine
