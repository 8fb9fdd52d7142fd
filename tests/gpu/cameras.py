"""Live 1080p cameras of 30 frames a second on servers of this machine, JPEG both ways: is a frame lost?

python tests/gpu/cameras.py [--engine NAME] [--servers N] [--cameras N] [--frames N]

Two cameras to a process, since one process does not send as much as sixteen cameras do. All of them have encoded their
pictures before the first sends one. Each server has an address of its own and the processes take them in turn: behind
one port the kernel would deal connections at random (docs/scaling.md).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("proto", "engines", "server", "client")]
PYTHONPATH = os.pathsep.join(sys.path)

from flowgimbal.client.assets import BUNDLED_CLIP  # noqa: E402
from flowgimbal.client.bench.content import load, to_and_fro  # noqa: E402
from flowgimbal.client.bench.load import Timed, drive  # noqa: E402
from flowgimbal.client.bench.process import ServerProcess, server_process  # noqa: E402
from flowgimbal.client.client import Client  # noqa: E402
from flowgimbal.client.settings import Encoding, Mode, StreamSettings  # noqa: E402

SIZE, RATE, FRAMES = (1920, 1080), 30.0, 300
CAMERAS, TOGETHER = 16, 2
PATIENCE_SECONDS = 120.0

HEADING = (
    "| servers | frames | fps | latency p50 / p99 / longest | CPU a frame | memory |",
    "|---|---|---|---|---|---|",
)


@dataclass(frozen=True)
class Seen:
    """What one camera saw."""

    sent: int
    received: int
    fps: float
    latencies: list[float]  # milliseconds, in order


@dataclass(frozen=True)
class Result:
    """Of all cameras, and what their servers used."""

    servers: int
    cameras: list[Seen]
    cpu_seconds: float
    megabytes: float

    def row(self) -> str:
        """A row of the table; the longest latency with the camera's frame that had it."""
        sent, received = sum(c.sent for c in self.cameras), sum(c.received for c in self.cameras)
        all_of_them = sorted(value for camera in self.cameras for value in camera.latencies)
        p50, p99 = (all_of_them[int(part * (len(all_of_them) - 1))] for part in (0.5, 0.99))
        longest, when = max((value, frame) for c in self.cameras for frame, value in enumerate(c.latencies))
        return (
            f"| {self.servers} | {sent} sent, {received} back, {sent - received} dropped "
            f"| {sum(c.fps for c in self.cameras):.0f} "
            f"| {p50:.0f} / {p99:.0f} / {longest:.0f} ms (the {when + 1}th) "
            f"| {1e3 * self.cpu_seconds / max(1, received):.1f} ms | {self.megabytes:.0f} MiB |"
        )


async def measure(engine: str, servers: int, cameras: int = CAMERAS, frames: int = FRAMES) -> Result:
    """Start servers and cameras, and let them run."""
    async with AsyncExitStack() as stack:
        stack.enter_context(as_if_installed())
        starting = (stack.enter_async_context(server_process("--engine", engine)) for _ in range(servers))
        serving = [_or_raise(one) for one in await asyncio.gather(*starting, return_exceptions=True)]
        pairs = []
        for first in range(0, cameras, TOGETHER):
            own = range(first, min(first + TOGETHER, cameras))
            address = serving[first // TOGETHER % servers].address
            pairs.append(await _start_pair(stack, str(address), frames, [number / cameras / RATE for number in own]))
        for pair in pairs:
            await asyncio.wait_for(_line(pair), PATIENCE_SECONDS)
        before = sum(server.cpu_seconds() or 0.0 for server in serving)
        outputs = await asyncio.wait_for(asyncio.gather(*(pair.communicate(b"\n") for pair in pairs)), PATIENCE_SECONDS)
        after = sum(server.cpu_seconds() or 0.0 for server in serving)
        megabytes = sum(server.peak_megabytes() or 0.0 for server in serving)
    seen = [Seen(**one) for output, _ in outputs for one in json.loads(output)]
    return Result(servers, seen, after - before, megabytes)


def _or_raise(started: ServerProcess | BaseException) -> ServerProcess:
    """What was started; raised only when all have been, so that none is left behind."""
    if isinstance(started, BaseException):
        raise started
    return started


async def _start_pair(stack: AsyncExitStack, address: str, frames: int, offsets: list[float]) -> Process:
    command = [sys.executable, __file__, "--pair", json.dumps([address, frames, offsets])]
    pair = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    stack.callback(lambda: pair.returncode is None and pair.kill())
    return pair


async def _line(pair: Process) -> None:
    if pair.stdout is None or not await pair.stdout.readline():
        raise RuntimeError("cameras ended before they were ready; they said why above")


async def _pair(address: str, frames: int, offsets: list[float]) -> list[Timed]:
    """Two cameras, each on a connection of its own; they begin on a line of stdin."""
    pictures = load(str(BUNDLED_CLIP), *SIZE, Encoding.JPEG, frames)
    settings = StreamSettings(mode=Mode.LIVE)
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(address)) for _ in offsets]
        sys.stdout.write("\n")
        sys.stdout.flush()
        sys.stdin.readline()
        return await asyncio.gather(
            *(
                drive(client, settings, to_and_fro(pictures, frames), RATE, 1, offset)
                for client, offset in zip(clients, offsets, strict=True)
            )
        )


def _seen(timed: Timed) -> Seen:
    latencies = [1e3 * latency for latency in timed.latencies]
    fps = (len(latencies) - 1) / (timed.last - timed.first) if timed.last > timed.first else 0.0
    return Seen(timed.sent, timed.received, fps, latencies)


@contextmanager
def as_if_installed() -> Iterator[None]:
    """Have the processes that are started find this copy, and a version of it."""
    before = os.environ.get("PYTHONPATH", "")
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "flowgimbal-0.dist-info" / "METADATA"
        told.parent.mkdir()
        told.write_text("Metadata-Version: 2.1\nName: flowgimbal\nVersion: 0\n")
        os.environ["PYTHONPATH"] = os.pathsep.join([PYTHONPATH, before, folder])
        try:
            yield
        finally:
            os.environ["PYTHONPATH"] = before


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, or be a pair of cameras."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--servers", type=int, default=1)
    parser.add_argument("--cameras", type=int, default=CAMERAS)
    parser.add_argument("--frames", type=int, default=FRAMES, help="of each camera")
    parser.add_argument("--pair", type=json.loads, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if args.pair:
        seen = [vars(_seen(timed)) for timed in asyncio.run(_pair(*args.pair))]
        sys.stdout.write(json.dumps(seen))
        return 0
    result = asyncio.run(measure(args.engine, args.servers, args.cameras, args.frames))
    sys.stdout.write("\n".join([*HEADING, result.row(), ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
