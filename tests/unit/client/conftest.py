"""A real gRPC server on a socket that gives every frame back, or misbehaves as a test asks."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as rpc

HEALTH = health_pb2.HealthCheckResponse


@dataclass
class Echo(rpc.StabilizerServiceServicer):
    """Holds back ``look_ahead`` frames; aborts with ``status`` at the info, or at frame ``fail_at``; loses ``lost``."""

    look_ahead: int = 0
    status: tuple[grpc.StatusCode, str, tuple[tuple[str, bytes], ...]] | None = None
    fail_at: int | None = None
    lost: int | None = None
    configs: list[pb.StreamConfig] = field(default_factory=list)
    frames: list[pb.Frame] = field(default_factory=list)
    over: asyncio.Event = field(default_factory=asyncio.Event)

    async def Stream(self, request_iterator, context):  # noqa: N802
        try:
            waiting: deque[pb.Frame] = deque()
            async for request in request_iterator:
                if request.HasField("config"):
                    self.configs.append(request.config)
                    if self.status and self.fail_at is None:
                        await context.abort(*self.status)
                    info = pb.StreamInfo(
                        stream_id="echo-1", config=request.config, latency_frames=self.look_ahead, engine="echo"
                    )
                    yield pb.StreamResponse(info=info)
                    continue
                if self.status and request.frame.frame_id == self.fail_at:
                    await context.abort(*self.status)
                if request.frame.frame_id == self.lost:
                    continue
                self.frames.append(request.frame)
                waiting.append(request.frame)
                if len(waiting) > self.look_ahead:
                    yield self._steady(waiting.popleft())
            while waiting:
                yield self._steady(waiting.popleft())
        finally:
            self.over.set()  # a client's cancel looks like a half-close here: what counts is that the handler ends

    async def GetServerInfo(self, request, context):  # noqa: N802
        return pb.GetServerInfoResponse(
            version="1.2.3", engine="echo", input_encodings=[pb.ENCODING_BGR8, pb.ENCODING_JPEG, 99], max_streams=4
        )

    def _steady(self, frame: pb.Frame) -> pb.StreamResponse:
        stats = pb.FrameStats(total_ns=7, frames_received=len(self.frames))
        return pb.StreamResponse(
            frame=pb.StabilizedFrame(frame=frame, transform=[1, 0, 5, 0, 1, 6, 0, 0, 1], stats=stats)
        )


@asynccontextmanager
async def serving(servicer: rpc.StabilizerServiceServicer, state: int = HEALTH.SERVING) -> AsyncIterator[str]:
    limit = 64 << 20
    server = grpc.aio.server(
        options=[("grpc.max_send_message_length", limit), ("grpc.max_receive_message_length", limit)]
    )
    rpc.add_StabilizerServiceServicer_to_server(servicer, server)
    checks = health.aio.HealthServicer()
    await checks.set("", state)
    health_pb2_grpc.add_HealthServicer_to_server(checks, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


@pytest.fixture
def echo() -> Echo:
    return Echo()


@pytest.fixture
async def address(echo: Echo) -> AsyncIterator[str]:
    async with serving(echo) as address:
        yield address
