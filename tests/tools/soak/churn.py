"""Two hours of clients that come, go, die and send rubbish: does the server grow, and do its counts add up?

    python tests/tools/soak/churn.py [--seconds 7200] [--engine cpu] [--clients 4]

Each client opens one stream after another, of a kind drawn by lot. Prints a line a minute. Fails if at the end the
server's memory has grown by 5 %, if without streams it has more threads or descriptors than after the first two
minutes, if frames received are not those sent, dropped and abandoned, or if any stream ended with INTERNAL. Ctrl-C ends
it early, and well.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import random
import signal
import subprocess
import sys
import urllib.request
from collections import Counter

import cv2
import grpc
import grpc.aio
import numpy as np
from watch import Watch, report

from flowgimbal.client.verdict import Verdict
from flowgimbal.v1 import stabilizer_pb2 as pb
from flowgimbal.v1 import stabilizer_pb2_grpc as pb_grpc

MINUTE = 60.0
SETTLE_SECONDS = 40
"""For the server to let go of what it had: gRPC's pool dismisses threads that idle, one after another."""
PAUSE_SECONDS = 0.1
"""Between two frames of a stream."""
KINDS = ("lossless", "live", "cancelled", "torn", "rubbish", "damaged", "sizes", "refused", "deaf")

Call = grpc.aio.StreamStreamCall[pb.StreamRequest, pb.StreamResponse]


def picture(width: int, height: int, seed: int) -> bytes:
    """A JPEG file."""
    coarse = np.random.default_rng(seed).integers(0, 255, (9, 16, 3), dtype=np.uint8)
    return cv2.imencode(".jpg", cv2.resize(coarse, (width, height)))[1].tobytes()


PICTURES = [picture(320, 180, seed) for seed in range(8)]


def content(kind: str, number: int, rng: random.Random) -> bytes:
    """The data of one frame."""
    data = PICTURES[number % len(PICTURES)]
    if kind == "rubbish":
        return rng.randbytes(rng.randint(0, 5000))
    if kind == "damaged" and rng.random() < 0.3:
        place = rng.randrange(len(data))
        return data[:place] + rng.randbytes(8) + data[place + 8 :]
    if kind == "sizes":
        return picture(rng.randint(16, 500), rng.randint(16, 500), number)
    return data


async def stream(address: str, kind: str, rng: random.Random) -> str:
    """One stream of ``kind`` on a connection of its own; the status that it ended with."""
    options = [("grpc.use_local_subchannel_pool", 1)]
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        call: Call = pb_grpc.StabilizerServiceStub(channel).Stream()
        verdict = Verdict(call)  # gRPC's own is INTERNAL where the server refuses a stream that still sends
        mode = pb.MODE_LIVE if kind in ("live", "rubbish", "damaged", "sizes") else pb.MODE_LOSSLESS
        config = pb.StreamConfig(mode=mode, look_ahead_frames=rng.choice((0, 0, 5)))
        if kind == "refused":
            config.smoothing_strength = float("nan")
        reading = asyncio.ensure_future(read(call)) if kind != "deaf" else None
        try:
            await call.write(pb.StreamRequest(config=config))
            for number in range(rng.randint(5, 60)):
                await asyncio.sleep(PAUSE_SECONDS)
                data = content(kind, number, rng)
                frame = pb.Frame(
                    frame_id=number, encoding=pb.ENCODING_JPEG, data=data, capture_time_ns=number * 100_000_000
                )
                await call.write(pb.StreamRequest(frame=frame))
            if kind == "cancelled":
                call.cancel()
            elif kind != "torn":  # which is torn off with the channel
                await call.done_writing()
                await (reading or read(call))
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass
        if reading is not None:
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)
        if kind == "torn":
            return "torn"
        code, ending = await call.code(), await verdict.error()
        return (ending.code() if ending else code).name


async def read(call: Call) -> None:
    """Take all that comes."""
    try:
        while isinstance(await call.read(), pb.StreamResponse):
            pass
    except grpc.aio.AioRpcError:
        pass


def counts(page: str) -> dict[str, float]:
    """The server's own."""
    with urllib.request.urlopen(f"http://{page}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if line[0] != "#")}


def frames(page: str) -> dict[str, int]:
    """The server's counts of frames."""
    found = counts(page)
    names = ("received", "sent", "dropped", "abandoned")
    return {name: int(found[f"flowgimbal_frames_{name}_total"]) for name in names}


async def main() -> bool:
    """Whether nothing grew, and all adds up."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=7200.0)
    parser.add_argument("--engine", default="cpu")
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    server, address, page = launch(options.engine)
    draining = asyncio.ensure_future(asyncio.to_thread(drain, server))
    ended: Counter[str] = Counter()

    async def client(seed: int) -> None:
        rng = random.Random(seed)
        while True:
            kind = rng.choice(KINDS)
            ended[f"{kind} {await stream(address, kind, rng)}"] += 1

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, stop.set)
    watch = Watch(server.pid)

    async def churn(seconds: float) -> None:
        clients = [asyncio.ensure_future(client(options.seed + number)) for number in range(options.clients)]
        end = watch.take().seconds + seconds
        while (held := watch.take()).seconds < end and not stop.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), MINUTE / 6)
            for one in clients:
                if one.done():
                    one.result()  # a fault of this program
            if len(watch.samples) % 6 == 0:
                report(f"{held.seconds / MINUTE:6.1f} min: {sum(ended.values())} streams, {frames(page)}; {held}")
        for one in clients:
            one.cancel()
        await asyncio.gather(*clients, return_exceptions=True)
        await quiet(page)

    try:
        await churn(2 * MINUTE)  # until everything has been there that comes and stays: pools of threads, heaps
        before = watch.take()
        await churn(options.seconds)
        total, statuses, after = frames(page), counts(page), watch.take()
    finally:
        server.terminate()
        errors = await draining
    growth = watch.growth()
    report(f"ends, as the clients saw them: {dict(sorted(ended.items()))}")
    report(f"frames: {total}; without streams before: {before}, after: {after}; errors logged: {errors}")
    report(f"memory grew by {growth.mebibytes:+.1f} MiB in {growth.seconds / MINUTE:.0f} min")
    adds_up = total["received"] == total["sent"] + total["dropped"] + total["abandoned"]
    told = not any(end.endswith(" INTERNAL") for end in ended)
    well = told and not statuses['flowgimbal_streams_ended_total{status="INTERNAL"}'] and not errors
    flat = growth.mebibytes < 0.05 * watch.samples[-2].mebibytes and after.threads <= before.threads
    return adds_up and well and flat and after.descriptors <= before.descriptors and server.returncode == os.EX_OK


def launch(engine: str) -> tuple[subprocess.Popen[str], str, str]:
    """A server, its address, and that of its metrics."""
    flags = ("--engine", engine, "--log-format", "json", "--decoders", "process", "--listen", "127.0.0.1:0")
    command = [sys.executable, "-m", "flowgimbal.server", *flags, "--metrics-listen", "127.0.0.1:0"]
    # In a session of its own: Ctrl-C is not for it.
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    assert server.stderr is not None
    started: dict[str, str] = {}
    while started.get("message") != "serving":
        started = json.loads(server.stderr.readline())
    return server, started["addresses"], started["metrics"]


async def quiet(page: str) -> None:
    """Wait until no stream runs, and what they had is let go of."""
    while counts(page)["flowgimbal_streams"]:  # noqa: ASYNC110 - it is another process that knows
        await asyncio.sleep(0.1)
    gc.collect()  # gRPC's client hangs up when Python has collected its calls
    await asyncio.sleep(SETTLE_SECONDS)


def drain(server: subprocess.Popen[str]) -> int:
    """Read the log to its end; how many errors are in it."""
    assert server.stderr is not None
    errors = sum(json.loads(line)["level"] in ("error", "critical") for line in server.stderr)
    server.wait()
    return errors


if __name__ == "__main__":
    sys.exit(0 if asyncio.run(main()) else 1)
