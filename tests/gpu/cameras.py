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
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / part) for part in ("proto", "engines", "server", "client")]
PYTHONPATH = os.pathsep.join(sys.path)

from flowgimbal.client.assets import BUNDLED_CLIP  # noqa: E402
from flowgimbal.client.bench.content import load, to_and_fro  # noqa: E402
from flowgimbal.client.bench.load import Timed, drive, punctual  # noqa: E402
from flowgimbal.client.bench.process import ServerProcess, server_process  # noqa: E402
from flowgimbal.client.bench.report import Figures, figures_of  # noqa: E402
from flowgimbal.client.client import Client  # noqa: E402
from flowgimbal.client.settings import Encoding, Mode, StreamSettings  # noqa: E402

SIZE, RATE, FRAMES = (1920, 1080), 30.0, 300
CAMERAS, TOGETHER = 16, 2
PATIENCE_SECONDS = 120.0
TOLD = ("sent", "received", "dropped", "latencies", "first", "last")  # of ``Timed``, by a pair; one clock for all

HEADING = (
    "| servers | frames | fps | latency p50 / p99 / longest | CPU a frame | memory |",
    "|---|---|---|---|---|---|",
)


def row(servers: int, figures: Figures) -> str:
    """A row of the table, of the ``figures`` of a run on so many servers."""
    latency, cpu, memory = (figures[name] for name in ("latency_ms", "cpu_seconds_per_frame", "peak_memory_mib"))
    return (
        f"| {servers} | {figures['frames_sent']} sent, {figures['frames_received']} back, "
        f"{figures['frames_dropped']} dropped | {figures['fps']:.0f} "
        f"| {latency['p50']:.0f} / {latency['p99']:.0f} / {latency['max']:.0f} ms "
        f"| {1e3 * cpu['server']:.1f} ms | {memory['server']:.0f} MiB |"
    )


async def measure(engine: str, servers: int, cameras: int = CAMERAS, frames: int = FRAMES) -> Figures:
    """Start servers and cameras, and let them run: the figures of all together, as ``flowgimbal bench`` has them."""
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
    timed = [Timed(**one) for output, _ in outputs for one in json.loads(output)]
    return figures_of(timed, {"server": after - before}, {"server": megabytes})


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
        with asyncio.Runner(loop_factory=punctual) as runner:
            timed = runner.run(_pair(*args.pair))
        sys.stdout.write(json.dumps([{name: getattr(one, name) for name in TOLD} for one in timed]))
        return 0
    figures = asyncio.run(measure(args.engine, args.servers, args.cameras, args.frames))
    sys.stdout.write("\n".join([*HEADING, row(args.servers, figures), ""]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
