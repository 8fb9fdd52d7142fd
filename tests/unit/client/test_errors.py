"""Every status that a server can raise, as the SDK's exception tree shows it."""

from __future__ import annotations

import asyncio
import socket

import grpc
import numpy as np
import pytest
from google.protobuf import any_pb2, duration_pb2
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from flowgimbal.client import (
    Client,
    CorruptFrame,
    FlowgimbalError,
    FrameTooLarge,
    InvalidRequest,
    NoSuchStream,
    Overloaded,
    ServerFault,
    StreamClosed,
    Timeout,
    Unauthorized,
    Unavailable,
    Unsupported,
)
from flowgimbal.client.verdict import WRITE_FAILED, Verdict

PICTURE = np.zeros((4, 6, 3), np.uint8)

LEAVES = [
    ("INVALID_ARGUMENT", InvalidRequest, ValueError),
    ("OUT_OF_RANGE", FrameTooLarge, ValueError),
    ("UNIMPLEMENTED", Unsupported, NotImplementedError),
    ("DATA_LOSS", CorruptFrame, ValueError),
    ("RESOURCE_EXHAUSTED", Overloaded, FlowgimbalError),
    ("UNAVAILABLE", Unavailable, ConnectionError),
    ("CANCELLED", Unavailable, ConnectionError),
    ("DEADLINE_EXCEEDED", Timeout, TimeoutError),
    ("UNAUTHENTICATED", Unauthorized, PermissionError),
    ("PERMISSION_DENIED", Unauthorized, PermissionError),
    ("INTERNAL", ServerFault, FlowgimbalError),
    ("UNKNOWN", ServerFault, FlowgimbalError),
    ("NOT_FOUND", NoSuchStream, LookupError),
]


def rich(code: str, *, domain: str = "flowgimbal", retry: float | None = None):
    """What ``context.abort`` takes: code, message, trailing metadata with details."""
    messages = [error_details_pb2.ErrorInfo(reason="BECAUSE", domain=domain, metadata={"field": "mode"})]
    if retry is not None:
        delay = duration_pb2.Duration()
        delay.FromMilliseconds(int(retry * 1000))
        messages.append(error_details_pb2.RetryInfo(retry_delay=delay))
    details = []
    for message in messages:
        packed = any_pb2.Any()
        packed.Pack(message)
        details.append(packed)
    status = status_pb2.Status(code=code_pb2.Code.Value(code), message="what went wrong", details=details)
    return grpc.StatusCode[code], "what went wrong", rpc_status.to_status(status).trailing_metadata


@pytest.mark.parametrize(("code", "leaf", "builtin"), LEAVES)
async def test_a_refusal_at_the_opening(address, echo, code, leaf, builtin):
    echo.status = rich(code)
    async with Client(address) as client:
        with pytest.raises(builtin) as caught:
            async with client.stream():
                pass
    error = caught.value
    assert type(error) is leaf
    assert (str(error), error.reason, error.metadata, error.status) == (
        "what went wrong", "BECAUSE", {"field": "mode"}, code,
    )  # fmt: skip


@pytest.mark.parametrize(("code", "leaf", "builtin"), LEAVES)
async def test_an_end_in_the_middle(address, echo, code, leaf, builtin):
    echo.status, echo.fail_at = rich(code), 2
    got = []

    async def work(stream):
        async for steady in stream.stabilize(PICTURE for _ in range(50)):
            got.append(steady.frame_id)

    async with Client(address) as client, client.stream() as stream:
        with pytest.raises(builtin) as caught:
            await work(stream)
    assert type(caught.value) is leaf
    assert caught.value.reason == "BECAUSE"
    assert got == [0, 1]


async def test_a_write_after_the_server_ended_says_why_it_ended(address, echo):
    echo.status, echo.fail_at = rich("DATA_LOSS"), 0

    async def send_for_ever(stream):
        while True:
            await stream.send(PICTURE)
            await asyncio.sleep(0.01)

    async with Client(address) as client, client.stream() as stream, asyncio.timeout(30):
        with pytest.raises(CorruptFrame, match="what went wrong"):
            await send_for_ever(stream)
        with pytest.raises(CorruptFrame):
            await stream.receive()


class Overwritten:
    """A call of grpc.aio's that has ended, whose status a failing write replaces."""

    status = grpc.StatusCode.INVALID_ARGUMENT, "what went wrong"

    def add_done_callback(self, callback) -> None:
        self.end = callback

    def done(self) -> bool:
        return True

    def cancelled(self) -> bool:
        return False

    async def code(self) -> grpc.StatusCode:
        return self.status[0]

    async def details(self) -> str:
        return self.status[1]

    async def metadata(self) -> grpc.aio.Metadata:
        return grpc.aio.Metadata()

    initial_metadata = trailing_metadata = metadata


@pytest.mark.parametrize("late", [False, True])
async def test_a_status_that_a_failing_write_replaces_is_kept(late):
    call = Overwritten()
    verdict, status, replaced = Verdict(call), call.status, (grpc.StatusCode.INTERNAL, WRITE_FAILED)
    if late:
        call.status = replaced
        call.end(call)
        call.status = status
    else:
        call.end(call)
        call.status = replaced
    ending = await verdict.error()
    assert (ending.code(), ending.details()) == status


async def test_the_time_to_retry_after(address, echo):
    echo.status = rich("RESOURCE_EXHAUSTED", retry=1.5)
    async with Client(address) as client:
        with pytest.raises(Overloaded) as caught:
            async with client.stream():
                pass
    assert caught.value.retry_after == 1.5


async def test_details_of_another_domain_are_not_ours(address, echo):
    echo.status = rich("INTERNAL", domain="proxy.example")
    async with Client(address) as client:
        with pytest.raises(ServerFault) as caught:
            async with client.stream():
                pass
    assert (caught.value.reason, caught.value.metadata) == ("", {})


async def test_a_status_without_details(address, echo):
    echo.status = (grpc.StatusCode.PERMISSION_DENIED, "", ())
    async with Client(address) as client:
        with pytest.raises(Unauthorized, match="PERMISSION_DENIED"):
            async with client.stream():
                pass


async def test_nobody_listens():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        async with Client(address) as client:
            with pytest.raises(Unavailable, match=f"no server at {address}"):
                async with client.stream():
                    pass
            with pytest.raises(ConnectionError):
                await client.info()
            with pytest.raises(ConnectionError):
                await client.health()


async def test_a_cancel_of_the_callers_task_stays_a_cancel(address):
    async with Client(address) as client, client.stream() as stream:
        receiver = asyncio.create_task(stream.receive())
        await asyncio.sleep(0.05)
        receiver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiver


async def test_a_send_on_a_cancelled_stream(address):
    async with Client(address) as client, client.stream() as stream:
        stream.cancel()
        with pytest.raises(StreamClosed):
            await stream.send(PICTURE)
