"""``flowgimbal bench``."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import Any

from flowgimbal.client.cli.console import say
from flowgimbal.client.cli.options import UsageError
from flowgimbal.client.cli.own_server import ServerOptions
from flowgimbal.client.settings import Encoding, Mode


@dataclass(frozen=True, kw_only=True)
class Config(ServerOptions):
    """The load, and how to report it."""

    mode: Mode | None = field(default=Mode.LIVE, metadata={"help": "live: late frames are lost; lossless: none is"})
    clip: str = field(default="", metadata={"help": "video whose pictures to send", "default": "the bundled clip"})
    size: str = field(default="1280x720", metadata={"help": "size of the pictures sent, WIDTHxHEIGHT [pixels]"})
    encoding: Encoding = field(default=Encoding.JPEG, metadata={"help": "encoding of the frames sent"})
    streams: int = field(default=1, metadata={"help": "streams at a time"})
    frames: int = field(default=300, metadata={"help": "frames to send on each stream"})
    rate: float = field(default=0.0, metadata={"help": "frames per second on each stream; 0: flat out"})
    in_flight: int = field(default=4, metadata={"help": "frames on the road, beyond the look-ahead, when flat out"})
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
        for name, least in (("streams", 1), ("frames", 1), ("in_flight", 1), ("rate", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name}: {getattr(self, name)} is less than {least}")

    def width_and_height(self) -> tuple[int, int]:
        """``size`` as two numbers."""
        width, cross, height = self.size.partition("x")
        if not cross or not width.isdigit() or not height.isdigit() or not int(width) or not int(height):
            raise ValueError(f"size: {self.size!r} is not WIDTHxHEIGHT")
        return int(width), int(height)


def run(config: Config) -> int:
    """Load a server, in a process of its own unless one is named, and print what was measured."""
    from flowgimbal.client.bench.report import lines

    if config.peers:
        return _run_peers(config)
    try:
        figures = asyncio.run(measure(config))
    except ValueError as error:
        raise UsageError(str(error)) from error
    if config.json:
        say(json.dumps(figures, indent=1))
    else:
        for line in lines(figures):
            say(line)
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
            server = ServerProcess(config.server, None)
        else:
            networks = ("--engine", config.engine, "--flow", config.flow, "--warp", config.warp)
            server = await stack.enter_async_context(server_process(*networks, "--max-streams", str(config.streams)))
        client = await stack.enter_async_context(Client(server.address))
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
                for number in range(config.streams)
            )
        )
        used = None if server_cpu is None else (server.cpu_seconds() or 0.0) - server_cpu
        figures = figures_of(
            timed,
            {"server": used, "client": time.process_time() - client_cpu},
            {"server": server.peak_megabytes(), "client": own_peak_megabytes()},
        )
    load_figures = {name: getattr(config, name) for name in ("size", "encoding", "rate", "in_flight")}
    return {"version": version("flowgimbal"), "load": load_figures, **figures}
