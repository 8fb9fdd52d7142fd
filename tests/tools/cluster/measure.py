"""What the simulation and docs/scaling.md take from a real server and a real Envoy, measured on this machine.

    PYTHONPATH=tests/tools python -m cluster.measure

Prints the cost of taking over a stream (JPEG, with the path of two seconds and eight frames to repeat), the
memory that a stream holds with its decoder in a process of its own, what Envoy makes of a second of CPU, and how
often it finds the last free place.
"""

from __future__ import annotations

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import cast

import grpc
import psutil
from failover import everything, healthy

from flowgimbal.client import Client, Encoding, FlowgimbalError, Frame
from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.bench import content
from flowgimbal.client.kept import LIVE_FRAMES
from flowgimbal.client.resuming import PATH_FRAMES
from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as rpc

RATE, MOVES, MEMORY_STREAMS, ENVOY_SECONDS, NEWCOMERS = 30, 10, 4, 10.0, 400
OPTIONS = [("grpc.max_receive_message_length", 1 << 26)]


def frames(size: tuple[int, int] = (1280, 720), encoding: Encoding = Encoding.JPEG) -> list[Frame]:
    count = PATH_FRAMES + LIVE_FRAMES + 1
    return list(content.to_and_fro(content.load(str(BUNDLED_CLIP), *size, encoding, 60), count))


def request(number: int, frame: Frame) -> pb.StreamRequest:
    message = pb.Frame(
        frame_id=number,
        capture_time_ns=number * 1_000_000_000 // RATE,
        encoding=pb.ENCODING_JPEG,
        width=frame.width,
        height=frame.height,
        data=bytes(frame.data),
    )
    return pb.StreamRequest(frame=message)


@asynccontextmanager
async def server(*flags: str) -> AsyncIterator[tuple[str, psutil.Process]]:
    command = [sys.executable, "-m", "flowgimbal.server", "--listen", "127.0.0.1:0", "--log-format", "text", *flags]
    process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
    assert process.stderr is not None
    line = ""
    while "serving" not in line or "addresses=" not in line:
        line = (await process.stderr.readline()).decode()
    reading = asyncio.ensure_future(process.stderr.read())
    try:
        yield line.partition("addresses=")[2].split()[0], psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()
        reading.cancel()


def cpu_seconds(process: psutil.Process) -> float:
    """Of the process and its children, those that ended too."""
    own = process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        try:
            times = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def memory_mib(process: psutil.Process) -> float:
    """What the process and its children hold, what they share counted once."""
    return sum(one.memory_full_info().pss for one in (process, *process.children(recursive=True))) / 2**20


async def take_over(engine: str, decoders: str, size: tuple[int, int]) -> str:
    """Seconds to the first new frame, and CPU seconds, of a stream that comes from another server."""
    pictures = frames(size)
    async with (
        server("--engine", engine, "--decoders", decoders) as (address, process),
        grpc.aio.insecure_channel(address, options=OPTIONS) as channel,
    ):
        stub = cast("rpc.StabilizerServiceAsyncStub", rpc.StabilizerServiceStub(channel))
        config = pb.StreamConfig(mode=pb.MODE_LOSSLESS, look_ahead_frames=0, resumable=True)
        call = stub.Stream()
        await call.write(pb.StreamRequest(config=config))
        await call.read()
        path = []
        for number in range(PATH_FRAMES):
            await call.write(request(number, pictures[number]))
            answer = await call.read()
            assert isinstance(answer, pb.StreamResponse)
            path.append(answer.frame.path)
        call.cancel()
        await asyncio.sleep(2)
        config.resume.after_frame_id = PATH_FRAMES - 1
        config.resume.path.extend(path)
        taken, cost = [], []
        for _ in range(MOVES):
            spent, began = cpu_seconds(process), time.monotonic()
            call = stub.Stream()
            await call.write(pb.StreamRequest(config=config))
            await call.read()
            for number in range(PATH_FRAMES - 1, PATH_FRAMES + LIVE_FRAMES):
                await call.write(request(number, pictures[number]))
            await call.read()
            taken.append(time.monotonic() - began)
            for _ in range(LIVE_FRAMES - 1):
                await call.read()
            await call.done_writing()
            await call.read()
            await asyncio.sleep(1)
            cost.append(cpu_seconds(process) - spent)
    return (
        f"take over, {engine}, {size[0]}x{size[1]}, decoders in {decoders}: "
        f"first new frame after {statistics.median(taken) * 1e3:.0f} ms "
        f"({min(taken) * 1e3:.0f} to {max(taken) * 1e3:.0f}), {statistics.median(cost) * 1e3:.0f} ms of CPU "
        f"with its {LIVE_FRAMES + 1} frames"
    )


async def hold(decoders: str, size: tuple[int, int]) -> str:
    """MiB a stream."""
    pictures = frames(size)
    async with server("--engine", "cpu", "--decoders", decoders) as (address, process):
        held = []
        async with Client(address) as client:
            streams = [client.stream(mode="lossless", look_ahead_frames=0) for _ in range(MEMORY_STREAMS)]
            try:
                held.append(memory_mib(process))
                for stream in streams:
                    await stream.__aenter__()
                    for number, picture in enumerate(pictures[:60]):
                        await stream.exchange(
                            Frame(picture.data, Encoding.JPEG, frame_id=number, capture_time_ns=number * 33_000_000)
                        )
                    held.append(memory_mib(process))
            finally:
                for stream in streams:
                    await stream.__aexit__(None, None, None)
    each = [after - before for before, after in itertools.pairwise(held)]
    listed = ", ".join(f"{one:.0f}" for one in each)
    return f"memory, {size[0]}x{size[1]}, decoders in {decoders}: {held[0]:.0f} MiB, then {listed} MiB a stream"


async def through_envoy(encoding: Encoding) -> str:
    """Frames there and back counted once each, several on their way at a time."""
    pictures = frames(encoding=encoding)
    with everything("identity") as (ports, _):
        for port in (*ports[1:], ports[0]):
            await healthy(f"127.0.0.1:{port}")
        await asyncio.sleep(2)
        (envoy,) = [one for one in psutil.Process().children() if "envoy" in one.name()]
        octets, spent, began = 0, cpu_seconds(envoy), time.monotonic()

        async def fed() -> AsyncIterator[Frame]:
            nonlocal octets
            for number in itertools.count():
                picture = pictures[number % len(pictures)]
                yield replace(picture, frame_id=number, capture_time_ns=number * 33_000_000)
                octets += len(picture.data)
                if time.monotonic() - began > ENVOY_SECONDS:
                    break

        async with (
            Client(f"127.0.0.1:{ports[0]}") as client,
            client.stream(mode="lossless", look_ahead_frames=0) as one,
        ):
            async for steady in one.stabilize(fed()):
                octets += len(steady.data)
        cost, seconds = cpu_seconds(envoy) - spent, time.monotonic() - began
    return (
        f"Envoy, {encoding.name}: {octets / 1e6 / seconds:.0f} MB/s, there and back together, "
        f"for {cost / seconds:.2f} cores: {octets / 1e6 / cost:.0f} MB a second of CPU"
    )


async def nearly_full() -> str:
    """How often Envoy finds the one place that is left of nine on three servers."""
    refused = 0
    with everything("identity", "--max-streams", "3") as (ports, _):
        for port in (*ports[1:], ports[0]):
            await healthy(f"127.0.0.1:{port}")
        await asyncio.sleep(2)
        async with AsyncExitStack() as held:
            for _ in range(8):
                client = await held.enter_async_context(Client(f"127.0.0.1:{ports[0]}"))
                await held.enter_async_context(client.stream())
            for _ in range(NEWCOMERS):
                async with Client(f"127.0.0.1:{ports[0]}") as client:
                    try:
                        async with client.stream():
                            pass
                    except FlowgimbalError:
                        refused += 1
                await asyncio.sleep(0.05)  # for the place to be free again
    return f"nearly full: {refused} of {NEWCOMERS} new streams refused while one of nine places was free"


async def main() -> None:
    for measure in (
        partial(take_over, "identity", "thread", (320, 180)),
        partial(take_over, "cpu", "thread", (1280, 720)),
        partial(take_over, "cpu", "process", (1280, 720)),
        partial(hold, "process", (1280, 720)),
        partial(hold, "process", (1920, 1080)),
        partial(through_envoy, Encoding.JPEG),
        partial(through_envoy, Encoding.I420),
        nearly_full,
    ):
        sys.stdout.write(f"{await measure()}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main())
