"""Health is told to everybody and waits for nobody: watchers that read nothing, too many of them, long names."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from wire import DEAF, Connection, call, data, message

CODE = grpc.StatusCode
STATUS = health_pb2.HealthCheckResponse
WATCH = "/grpc.health.v1.Health/Watch"
WATCHES, LONGEST = 256, 256
"""As docs/operations.md says."""


def asking(name: str = "") -> health_pb2.HealthCheckRequest:
    return health_pb2.HealthCheckRequest(service=name)


async def deaf(address: str, watches: int) -> Connection:
    """A connection with so many watches of which it will read nothing."""
    connection = await Connection.open(address, DEAF)
    for stream in range(1, 2 * watches, 2):
        await connection.say(call(stream, WATCH) + data(stream, message(b"")))
    return connection


async def test_a_watcher_who_reads_nothing_holds_up_neither_start_nor_end(gated, tmp_path):
    (start, gate), listen = gated, f"unix:{tmp_path}/s"
    server = start("--listen", listen)
    async with grpc.aio.insecure_channel(listen) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        first = stub.Watch(asking(), wait_for_ready=True, timeout=60)
        assert (await first.read()).status == STATUS.NOT_SERVING
        watchers = [await deaf(listen, 1)]
        gate.write_text("go")
        await asyncio.to_thread(server.wait_for, "serving")
        assert (await first.read()).status == STATUS.SERVING
        watchers.append(await deaf(listen, 1))
        second = stub.Watch(asking(), timeout=60)
        assert (await second.read()).status == STATUS.SERVING
        server.terminate()
        assert (await first.read()).status == (await second.read()).status == STATUS.NOT_SERVING
        assert await asyncio.to_thread(server.exit_code) == 0
    for watcher in watchers:
        watcher.close()


async def test_watches_are_so_many_and_checks_as_many_as_you_like(launch):
    server = launch()
    watcher = await deaf(server.address, WATCHES)
    async with grpc.aio.insecure_channel(server.address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        async def refused() -> bool:
            watch = stub.Watch(asking(), timeout=60)
            try:
                await watch.read()
            except grpc.aio.AioRpcError as error:
                return error.code() is CODE.RESOURCE_EXHAUSTED
            watch.cancel()
            return False

        for _ in range(600):
            if await refused():
                break
            await asyncio.sleep(0.1)
        assert await refused()
        assert (await stub.Check(asking(), timeout=60)).status == STATUS.SERVING
        watcher.close()
        for _ in range(600):
            if not await refused():
                return
            await asyncio.sleep(0.1)
        pytest.fail("watches that are gone keep their places")


def test_names_that_are_not_served(server, client):
    stub = health_pb2_grpc.HealthStub(client.channel)
    for name in ("nobody", "x" * 1_000_000):
        with pytest.raises(grpc.RpcError) as caught:
            stub.Check(asking(name), timeout=30)
        assert caught.value.code() is CODE.NOT_FOUND
    watch = stub.Watch(asking("nobody"), timeout=30)
    assert next(watch).status == STATUS.SERVICE_UNKNOWN
    watch.cancel()
    unknown = health_pb2.HealthCheckRequest.FromString(b"\x12\xe8\x07" + bytes(1000))  # kept with the message, too
    for request in (asking("x" * LONGEST), unknown):
        with pytest.raises(grpc.RpcError) as caught:
            next(stub.Watch(request, timeout=30))
        assert caught.value.code() is CODE.INVALID_ARGUMENT
