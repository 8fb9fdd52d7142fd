"""The asynchronous face of the service: one connection to one server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self, Unpack, cast

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flowgimbal.client.call import Call
from flowgimbal.client.endpoint import DEFAULT_ADDRESS, Endpoint, Pem, Tls
from flowgimbal.client.errors import StreamClosed
from flowgimbal.client.observe import Sight, sight_from_proto
from flowgimbal.client.resuming import PATIENCE_SECONDS, Resuming
from flowgimbal.client.settings import (
    Encoding,
    StreamSettings,
    Wishes,
    encoding_from_proto,
    settings_of,
    settings_to_proto,
)
from flowgimbal.client.stream import Stream, StreamInfo, info_of
from flowgimbal.client.translate import translated
from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as rpc

if TYPE_CHECKING:
    from flowgimbal.v1.stabilizer_pb2_grpc import ObserverServiceAsyncStub, StabilizerServiceAsyncStub

MAX_MESSAGE_BYTES = 64 << 20
"""The limit of a message either way, the same as the server's: it holds a 4K picture in BGR."""

KEEPALIVE_SECONDS = 10


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """What a server is, can do, and allows; the contract documents each field."""

    version: str
    engine: str
    input_encodings: tuple[Encoding, ...]
    output_encodings: tuple[Encoding, ...]
    max_streams: int
    active_streams: int
    max_frame_pixels: int
    max_message_bytes: int
    idle_timeout_seconds: float


class Client:
    """A connection to a flowgimbal server at ``address`` (HOST:PORT or unix:PATH), shared by any number of streams.

        async with Client("cameras.example:443", tls=Tls(ca="ca.pem"), token="...") as client: ...

        async with Client() as client, client.stream(look_ahead_frames=0) as stream:
            async for steady in stream.stabilize(frames):
                show(steady.image)

    ``timeout`` [s] bounds every question and the opening of a stream, never the stream itself. Methods raise the leaves
    of FlowgimbalError.
    """

    def __init__(
        self,
        address: str | Endpoint = DEFAULT_ADDRESS,
        *,
        tls: Tls | None = None,
        token: str | Callable[[], str] = "",
        insecure: bool = False,
        timeout: float = 10.0,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        if isinstance(address, Endpoint):
            self._endpoint = address
        else:
            self._endpoint = Endpoint((address,), tls, token, insecure)
        self.address = self._endpoint.addresses[0]
        self._timeout = timeout
        self._options: list[tuple[str, Any]] = [
            ("grpc.max_send_message_length", max_message_bytes),
            ("grpc.max_receive_message_length", max_message_bytes),
            # A pool of its own: a new client tries at once, whatever an older one's back-off says.
            ("grpc.use_local_subchannel_pool", 1),
            # A server that comes back is found again within a quarter of a second.
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 250),
            # A server, or a network, that falls silent without a farewell is found out about within 15 s.
            ("grpc.keepalive_time_ms", KEEPALIVE_SECONDS * 1000),
            ("grpc.keepalive_timeout_ms", KEEPALIVE_SECONDS * 500),
        ]
        if self._endpoint.tls is not None and self._endpoint.tls.name:
            self._options.append(("grpc.ssl_target_name_override", self._endpoint.tls.name))
        self._channels: dict[tuple[str, Pem | None], grpc.aio.Channel] | None = None

    async def __aenter__(self) -> Self:
        self._channels = {}
        self._open_channel()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Cancel what still runs and close the connection. A second call does nothing."""
        channels, self._channels = self._channels, None
        for channel in (channels or {}).values():
            await channel.close()

    def stream(
        self,
        settings: StreamSettings | None = None,
        *,
        resume: bool = False,
        patience: float = PATIENCE_SECONDS,
        **wishes: Unpack[Wishes],
    ) -> Stream:
        """A stream, opened by ``async with``; wish for nothing and the server's defaults apply.

        Give ``settings`` or keywords. ValueError for a name that the contract lacks; ranges are the server's business.

        With ``resume`` it outlives its server: it goes on at the same address, or at the next of an Endpoint's, as long
        as one takes it within ``patience`` seconds. What has not come back is kept and sent again: of a lossless stream
        every frame comes back once and in order, of a live one the newest. Keep receiving: that is what notices.
        """
        if settings is not None and wishes:
            raise ValueError("give settings or keywords, not both")
        config = settings_to_proto(settings or settings_of(**wishes))
        if not resume:
            return Stream(self._call(config, 0))
        return Stream(Resuming(self._call, config, len(self._endpoint.addresses), patience))

    def _call(self, config: pb.StreamConfig, attempt: int) -> Call:
        address = self._endpoint.addresses[attempt % len(self._endpoint.addresses)]
        stub = cast("StabilizerServiceAsyncStub", rpc.StabilizerServiceStub(self._open_channel(address)))
        metadata = self._endpoint.metadata
        return Call(lambda: stub.Stream(metadata=metadata()), config, address, self._timeout)

    async def info(self) -> ServerInfo:
        """What the server is, can do, and allows."""
        async with translated(self.address):
            reply = await self._stub().GetServerInfo(
                pb.GetServerInfoRequest(), timeout=self._timeout, metadata=self._endpoint.metadata()
            )
        return ServerInfo(
            version=reply.version,
            engine=reply.engine,
            input_encodings=_known(reply.input_encodings),
            output_encodings=_known(reply.output_encodings),
            max_streams=reply.max_streams,
            active_streams=reply.active_streams,
            max_frame_pixels=reply.max_frame_pixels,
            max_message_bytes=reply.max_message_bytes,
            idle_timeout_seconds=reply.idle_timeout_seconds,
        )

    async def watch(
        self, stream_id: str, *, address: str = "", max_width: int | None = None, max_rate: float | None = None
    ) -> AsyncIterator[Sight]:
        """Look at a running stream, whoever runs it, until it ends: the newest frame each time, small, as JPEG.

        ``address`` is that of its server where an Endpoint has several (default: the first); ``max_width`` [pixels] and
        ``max_rate`` [Hz] say how closely. Raises NoSuchStream.
        """
        request = pb.WatchRequest(stream_id=stream_id, max_width=max_width, max_rate=max_rate)
        call = self._observer(address).Watch(request, metadata=self._endpoint.metadata())
        try:
            async with translated(address or self.address):
                async for message in call:
                    yield sight_from_proto(message)
        finally:
            call.cancel()

    async def tune(
        self,
        stream_id: str,
        settings: StreamSettings | None = None,
        *,
        address: str = "",
        key_frame: bool = False,
        **wishes: Any,
    ) -> StreamInfo:
        """Change settings of a running stream, whoever runs it, as ``Stream.tune``; returns those in force then.

        ``address`` as for ``watch``. A refusal leaves the stream as it was. Raises NoSuchStream.
        """
        if settings is not None and wishes:
            raise ValueError("give settings or keywords, not both")
        config = settings_to_proto(settings or settings_of(**wishes))
        request = pb.TuneRequest(stream_id=stream_id, tuning=pb.Tuning(config=config, key_frame=key_frame))
        observer, metadata = self._observer(address), self._endpoint.metadata()
        async with translated(address or self.address):
            reply = await observer.Tune(request, timeout=self._timeout, metadata=metadata)
        return info_of(reply.info)

    async def health(self, service: str = "", *, wait_for_ready: bool = False) -> bool:
        """True if the server takes streams; False while it warms up or drains. Unavailable if nobody answers.

        ``wait_for_ready`` keeps trying to connect until the timeout instead of failing at the first refusal.
        """
        stub: Any = health_pb2_grpc.HealthStub(self._open_channel())
        request = health_pb2.HealthCheckRequest(service=service)
        async with translated(self.address):
            reply = await stub.Check(request, timeout=self._timeout, wait_for_ready=wait_for_ready)
        return bool(reply.status == health_pb2.HealthCheckResponse.SERVING)

    def _open_channel(self, address: str = "") -> grpc.aio.Channel:
        """The connection to ``address``, the first of all by default, with its certificates as they are now.

        It is made when it is first wanted. Streams that run keep the one that they have.
        """
        if self._channels is None:
            raise StreamClosed("the client is not connected: enter it with `async with`")
        address = address or self.address
        pem = self._endpoint.pem(address)
        if (address, pem) not in self._channels:
            if pem is None:
                channel = grpc.aio.insecure_channel(address, options=self._options)
            else:
                channel = grpc.aio.secure_channel(address, pem.credentials(), options=self._options)
            self._channels[address, pem] = channel
        return self._channels[address, pem]

    def _observer(self, address: str) -> ObserverServiceAsyncStub:
        if address and address not in self._endpoint.addresses:  # a token is meant for those alone
            raise ValueError(f"address: {address} is none of this client's")
        return cast("ObserverServiceAsyncStub", rpc.ObserverServiceStub(self._open_channel(address)))

    def _stub(self) -> StabilizerServiceAsyncStub:
        return cast("StabilizerServiceAsyncStub", rpc.StabilizerServiceStub(self._open_channel()))


def _known(values: Any) -> tuple[Encoding, ...]:
    return tuple(encoding for encoding in map(encoding_from_proto, values) if encoding is not None)
