"""``flowgimbal bench``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from importlib.metadata import version
from typing import Any

from flowgimbal.client.cli import interrupt
from flowgimbal.client.cli.console import say
from flowgimbal.client.cli.options import usage_errors
from flowgimbal.client.cli.own_server import ServerOptions
from flowgimbal.client.settings import Encoding, Mode, StreamSettings


@dataclass(frozen=True, kw_only=True)
class Config(ServerOptions):
    """The load, and how to report it."""

    mode: Mode | None = field(
        default=None,
        metadata={
            "help": "live: late frames are lost; lossless: none is",
            "default": "live at a rate, lossless flat out",
        },
    )
    look_ahead_frames: int | None = field(default=0, metadata={"help": "frames that a frame waits for, 0 to 60"})
    clip: str = field(default="", metadata={"help": "video whose pictures to send", "default": "the bundled clip"})
    size: str = field(default="1280x720", metadata={"help": "size of the pictures sent, WIDTHxHEIGHT [pixels]"})
    encoding: Encoding = field(default=Encoding.JPEG, metadata={"help": "encoding of the frames sent"})
    streams: int = field(default=1, metadata={"help": "streams at a time, each on a connection of its own"})
    processes: int = field(default=1, metadata={"help": "processes of a server of its own"})
    frames: int = field(default=300, metadata={"help": "frames to send on each stream"})
    rate: float = field(default=0.0, metadata={"help": "frames per second on each stream; 0: flat out"})
    in_flight: int = field(default=4, metadata={"help": "frames on the road, beyond the look-ahead, when flat out"})
    sweep: bool = field(
        default=False,
        metadata={"help": "measure at growing sizes, streams, look-aheads and lengths"},
    )
    peers: bool = field(
        default=False, metadata={"help": "measure stabilizing alone, beside ffmpeg, vidstab and vidgear, and no server"}
    )
    peers_python: str = field(
        default="", metadata={"help": "the Python that has vidstab and vidgear", "default": "this one"}
    )
    json: bool = field(default=False, metadata={"help": "print the figures as JSON"})

    def __post_init__(self) -> None:
        super().__post_init__()
        self.width_and_height()
        for name, least in (("streams", 1), ("processes", 1), ("frames", 1), ("in_flight", 1), ("rate", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)} is less than {least}")

        if self.sweep and self.peers:
            raise ValueError("sweep: it measures through the server, peers without one; choose one of them")
        if self.mode is Mode.LIVE and not self.rate and self.look_ahead_frames:
            raise ValueError("mode: live loses what is sent before it is due, so a look-ahead never fills; give a rate")

    def settings(self) -> StreamSettings:
        """The stream's settings alone; a camera is live, a load as fast as it goes is lossless."""
        return replace(super().settings(), mode=self.mode or (Mode.LIVE if self.rate else Mode.LOSSLESS))

    def width_and_height(self) -> tuple[int, int]:
        """``size`` as two numbers."""
        width, cross, height = self.size.partition("x")
        if not cross or not width.isdigit() or not height.isdigit() or not int(width) or not int(height):
            raise ValueError(f"size: {self.size!r} is not WIDTHxHEIGHT")
        return int(width), int(height)


def run(config: Config) -> int:
    """Load a server, in a process of its own unless one is named, and print what was measured."""
    from flowgimbal.client.bench.load import punctual
    from flowgimbal.client.bench.report import lines

    if config.peers:
        return _run_peers(config)
    with usage_errors():
        if config.sweep:
            return interrupt.run(_run_sweep(config), punctual)
        figures = interrupt.run(measure(config), punctual)
    if config.json:
        say(json.dumps(figures, indent=1))
    else:
        for line in lines(figures):
            say(line)
    return 0


async def _run_sweep(config: Config) -> int:
    from flowgimbal.client.cli import bench_sweep

    found = bench_sweep.sweep(config, measure)
    if config.json:
        say(json.dumps([figures async for figures in found], indent=1))
        return 0
    say(bench_sweep.heading())
    async for figures in found:
        say(bench_sweep.line(figures))
    return 0


def _run_peers(config: Config) -> int:
    from flowgimbal.client.assets import BUNDLED_CLIP
    from flowgimbal.client.bench import peers
    from flowgimbal.client.bench.content import load, to_and_fro
    from flowgimbal.client.cli.bench_ours import ours

    pictures = load(config.clip or str(BUNDLED_CLIP), *config.width_and_height(), Encoding.JPEG, config.frames)
    frames = list(to_and_fro(pictures, config.frames))
    python = config.peers_python or sys.executable
    look_ahead = config.settings().look_ahead_frames or 0
    alone = partial(ours, frames, config.engine, config.flow, config.warp, look_ahead)
    found = list(peers.measure(frames, python, alone))
    if config.json:
        say(json.dumps({"size": config.size, "frames": len(frames), "peers": peers.figures(found)}, indent=1))
    else:
        for line in peers.lines(found):
            say(line)
    return 0


async def measure(config: Config) -> dict[str, Any]:
    """The figures of one run."""
    from flowgimbal.client.assets import BUNDLED_CLIP
    from flowgimbal.client.bench.content import load, to_and_fro
    from flowgimbal.client.bench.load import drive
    from flowgimbal.client.bench.process import ServerProcess, own_peak_megabytes, server_process
    from flowgimbal.client.bench.report import figures_of
    from flowgimbal.client.client import Client

    pictures = load(config.clip or str(BUNDLED_CLIP), *config.width_and_height(), config.encoding, config.frames)
    async with AsyncExitStack() as stack:
        if config.server:
            server = ServerProcess(config.endpoint(), None)
        else:
            networks = ("--engine", config.engine, "--flow", config.flow, "--warp", config.warp)
            places = ("--max-streams", str(config.streams))
            server = await stack.enter_async_context(server_process(*networks, *places, processes=config.processes))
        clients = [await stack.enter_async_context(Client(server.address)) for _ in range(config.streams)]
        server_cpu, client_cpu = server.cpu_seconds(), time.process_time()
        # Streams begin spread over one frame's time: cameras are not in step with each other.
        spread = 1 / (config.rate or 30) / config.streams
        timed = await asyncio.gather(
            *(
                drive(
                    client,
                    config.settings(),
                    to_and_fro(pictures, config.frames),
                    config.rate,
                    config.in_flight,
                    number * spread,
                )
                for number, client in enumerate(clients)
            )
        )
        used = None if server_cpu is None else (server.cpu_seconds() or 0.0) - server_cpu
        figures = figures_of(
            timed,
            {"server": used, "client": time.process_time() - client_cpu},
            {"server": server.peak_megabytes(), "client": own_peak_megabytes()},
        )
    load_figures = {name: getattr(config, name) for name in ("size", "encoding", "rate", "in_flight", "processes")}
    return {"version": version("flowgimbal"), "load": load_figures, **figures}
