"""Starts a server, serves, and drains it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2_grpc

from flowgimbal.engines.engine import Engine, EngineError
from flowgimbal.engines.picker import pick
from flowgimbal.server import addresses, logs, process
from flowgimbal.server.access import Access
from flowgimbal.server.codecs.apart import Nursery
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import StartupError
from flowgimbal.server.gate import Gate
from flowgimbal.server.guard import probe
from flowgimbal.server.health import NOT_SERVING, SERVING, Health
from flowgimbal.server.interceptor import StatusInterceptor
from flowgimbal.server.metrics import Metrics
from flowgimbal.server.metrics_page import MetricsPage
from flowgimbal.server.observer import ObserverService
from flowgimbal.server.pipeline import LEAVE_SECONDS
from flowgimbal.server.quota import Quota, Readings
from flowgimbal.server.reflection import Reflection
from flowgimbal.server.service import PROBE_SECONDS, VERSION, StabilizerService
from flowgimbal.server.stream import StreamSummary
from flowgimbal.server.tls import Certificates
from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as pb_grpc

if TYPE_CHECKING:
    from flowgimbal.server.tracing import Tracing

logger = logging.getLogger(__name__)

SERVICE = pb.DESCRIPTOR.services_by_name["StabilizerService"].full_name
OBSERVER = pb.DESCRIPTOR.services_by_name["ObserverService"].full_name
HEALTH = health_pb2.DESCRIPTOR.services_by_name["Health"].full_name
KEEPALIVE_SECONDS = 20
HANDSHAKE_SECONDS = 10
"""For a connection to greet, TLS included."""
UNCOMPRESSED = 1 << grpc.Compression.NoCompression
"""The one compression of messages that is taken. Frames are compressed by their encoding, and grpc.aio unpacks messages
where every stream waits for it: 64 KiB that become 64 MiB held all of them up for 0.2 s."""
WINDOW_BYTES = 4 << 20
"""What a stream's client may send ahead of what is read. Left to itself, gRPC lets it grow to dozens of megabytes."""
FAREWELL_SECONDS = 2.0
"""For the statuses of streams that have just ended to reach their clients."""


class Server:
    """A server that listens. Made by ``start``; belongs to the event loop that it was started on."""

    def __init__(self, config: ServeConfig, *, shared: bool = False, inner: str = "") -> None:
        self._config = config
        self._shared = shared
        self._inner = inner
        self.access = Access(config)
        """Who may come in."""
        self._certificates = Certificates(config) if config.tls_certificate else None
        self._metrics = Metrics()
        self._page: MetricsPage | None = None
        self._engine: Engine | None = None
        self._nursery = Nursery(self._metrics.decoders_died.inc) if config.decodes_apart else None
        self._tracing = _tracing(config) if config.traces else None
        readings = Readings()
        self._service = StabilizerService(config, self._metrics, readings, self._tracing)
        self._health = Health(("", SERVICE, OBSERVER))
        self._grpc = grpc.aio.server(
            interceptors=[Gate(self.access, self._metrics), Quota(readings), StatusInterceptor()],
            options=_options(config, shared),
        )
        self._observer = ObserverService(self._service.streams, self._service.turns, config)
        pb_grpc.add_StabilizerServiceServicer_to_server(self._service, self._grpc)
        pb_grpc.add_ObserverServiceServicer_to_server(self._observer, self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        reflects = Reflection((SERVICE, OBSERVER, HEALTH))
        reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflects, self._grpc)  # type: ignore[no-untyped-call]
        self._force = asyncio.Event()
        self._watching: list[asyncio.Task[None]] = []
        self.addresses: tuple[str, ...] = ()
        """Where it listens, as clients write it; with the ports that were found for port 0."""

    @property
    def address(self) -> str:
        """The first of ``addresses``."""
        return self.addresses[0]

    @property
    def metrics_address(self) -> str:
        """HOST:PORT of the metrics page; empty if there is none."""
        return self._page.address if self._page else ""

    @property
    def streams(self) -> list[StreamSummary]:
        """Those that run, oldest first."""
        return [stream.summary for stream in self._service.streams.values()]

    async def open(self) -> None:
        """Listen, load and warm the engine, then take streams; raises StartupError."""
        started = time.monotonic()
        try:
            # Alone, it answers "starting" while it loads; among others, it takes no connection that they could have.
            if self._shared:
                engine = await self._load()
                await self._listen()
            else:
                await self._listen()
                engine = await self._load()
        except BaseException:
            await self._close()
            raise
        self._service.begin(engine, self._nursery)
        self._health.tell(SERVING)
        self._watching += map(asyncio.create_task, (self._watch_engine(engine), self.access.watch()))
        logger.info(
            "serving",
            extra={
                "addresses": ",".join(self.addresses),
                "metrics": self.metrics_address or "off",
                "engine": engine.name,
                "warm_up_seconds": round(time.monotonic() - started, 3),
            },
        )

    async def _listen(self) -> None:
        credentials = self._certificates.credentials() if self._certificates else None
        self.addresses = tuple(addresses.bind(self._grpc, address, credentials) for address in self._config.listen)
        if self._inner:
            addresses.bind(self._grpc, self._inner)
        if self._config.insecure:
            logger.warning("insecure: whoever reaches these addresses may use this server, and read what others send")
        if self._config.metrics_listen:
            self._page = MetricsPage(self._metrics.registry, self._config.metrics_listen)
        await self._grpc.start()

    async def _load(self) -> Engine:
        try:
            engine = await asyncio.to_thread(pick, self._config.engine, self._config.flow, self._config.warp)
            self._engine = engine
            await asyncio.to_thread(engine.warm_up)
            if self._nursery:
                await asyncio.to_thread(self._nursery.open)
        except (EngineError, ValueError, OSError, RuntimeError, ImportError) as error:
            raise StartupError(f"engine: {self._config.engine!r} cannot run: {error}") from error
        return engine

    def force(self) -> None:
        """Let a ``stop`` that waits for streams wait no longer."""
        self._force.set()

    async def stop(self, grace_seconds: float | None = None) -> int:
        """Drain and close; the number of streams that had to be cancelled. The default grace is the configuration's."""
        grace = self._config.drain_grace_seconds if grace_seconds is None else grace_seconds
        self._service.drain()
        self._health.tell(NOT_SERVING)
        logger.info("draining", extra={"streams": self._service.active_streams, "grace_seconds": grace})
        idle = asyncio.ensure_future(self._service.idle())
        forced = asyncio.ensure_future(self._force.wait())
        await asyncio.wait({idle, forced}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        idle.cancel()
        forced.cancel()
        left = self._service.active_streams
        await self._close(0 if left else FAREWELL_SECONDS)
        if left:
            logger.warning("cancelled %d streams that had not ended", left)
        logger.info("stopped")
        return left

    async def _watch_engine(self, engine: Engine) -> None:
        """After it ended a stream: is it that stream's matter, everybody's for now, or everybody's for good?"""
        service = self._service
        while True:
            await service.engine_failed.wait()
            service.engine_failed.clear()
            while not engine.lost and (why := await asyncio.to_thread(probe, engine)):
                if not service.engine_fault:
                    logger.critical("the engine works for nobody", extra={"why": why})
                service.engine_fault = why
                self._health.tell(NOT_SERVING)
                await asyncio.sleep(PROBE_SECONDS)
            if engine.lost:
                logger.critical("the engine is lost: this server has to be started again", extra={"why": engine.lost})
                self._health.tell(NOT_SERVING)
                return
            if service.engine_fault:
                service.engine_fault = ""
                logger.info("the engine works again")
                if service.takes_streams:  # and does not drain
                    self._health.tell(SERVING)

    async def _close(self, grace_seconds: float = 0) -> None:
        for task in self._watching:
            task.cancel()
        await self._grpc.stop(grace_seconds)
        # A process that ends while a stage is in native code is aborted: let cancelled streams let go of their threads.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LEAVE_SECONDS):
                await self._service.idle()
                if self._engine:
                    await asyncio.to_thread(self._engine.close)
        if self._nursery:
            await asyncio.to_thread(self._nursery.close)
        if self._page:
            self._page.close()
        if self._tracing:
            await asyncio.to_thread(self._tracing.close)
        addresses.forget((*self.addresses, self._inner))


async def start(config: ServeConfig, *, shared: bool = False, inner: str = "") -> Server:
    """A server that serves, in this process and on this event loop; ``await server.stop()`` ends it.

    ``shared``: other processes of this user may listen on the same ports (SO_REUSEPORT). Sets the process's allocator
    and OpenCV's threads (``process.tune``). Raises StartupError.
    """
    process.tune()
    server = Server(config, shared=shared, inner=inner)
    await server.open()
    return server


Beside = Callable[[Server], AbstractAsyncContextManager[object]]
"""What runs beside a server while it takes streams; may raise StartupError."""


async def serve(
    config: ServeConfig,
    *,
    shared: bool = False,
    inner: str = "",
    beside: Beside = contextlib.nullcontext,
) -> None:
    """Serve in this process until SIGTERM or SIGINT, then drain; a second signal forces. Raises StartupError.

    ``shared`` as for ``start``; ``inner`` is a unix socket for this process's own use, which is told to nobody. Sets up
    the log as the configuration says, and takes over the two signals while it runs.
    """
    logs.configure(config.log_format, config.log_level_number)
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    server: Server | None = None

    def on_signal() -> None:
        if stopping.is_set() and server is not None:
            server.force()
        stopping.set()
        starting.cancel()

    starting = asyncio.create_task(start(config, shared=shared, inner=inner))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal)
    try:
        await asyncio.wait({starting})
        if starting.cancelled():
            logger.info("stopped before the start was over")
            return
        server = starting.result()
        try:
            async with beside(server):
                await stopping.wait()
        finally:
            await server.stop()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


def _tracing(config: ServeConfig) -> Tracing:
    try:
        from flowgimbal.server.tracing import Tracing

        return Tracing(config.trace_frames, VERSION)
    except ImportError as error:
        raise StartupError(f"traces: {error}; pip install 'flowgimbal[telemetry]'") from error
    except ValueError as error:
        raise StartupError(f"traces: a variable OTEL_* cannot be meant: {error}") from error


def _options(config: ServeConfig, shared: bool) -> list[tuple[str, int]]:
    decoders = config.max_streams if config.decodes_apart else 0
    connections = process.connections(config.max_connections, len(config.listen), decoders)
    return [
        ("grpc.max_receive_message_length", config.max_message_bytes),
        ("grpc.max_send_message_length", config.max_message_bytes),
        ("grpc.compression_enabled_algorithms_bitset", UNCOMPRESSED),
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        ("grpc.so_reuseport", int(shared)),  # a second server on the port must fail, not share it
        ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),  # finds out about clients whose network is gone
        ("grpc.keepalive_timeout_ms", KEEPALIVE_SECONDS * 500),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
        ("grpc.max_allowed_incoming_connections", connections),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_SECONDS * 1000),
    ]
