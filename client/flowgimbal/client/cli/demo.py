"""``flowgimbal demo``: the bundled clip through a real server, and what it gained."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from flowgimbal.client.cli import interrupt
from flowgimbal.client.cli.console import Progress, complain, say
from flowgimbal.client.cli.options import UsageError, usage_errors
from flowgimbal.client.cli.own_server import ServerOptions
from flowgimbal.client.settings import Encoding, Mode


@dataclass(frozen=True, kw_only=True)
class Config(ServerOptions):
    """What to show, and where to put it."""

    clip: str = field(default="", metadata={"help": "the video to steady", "default": "the bundled clip"})
    out: str = field(default="out", metadata={"help": "folder for steady.mp4 and side-by-side.mp4"})


def run(config: Config) -> int:
    """Steady the clip, put both videos beside each other, and print three figures."""
    from flowgimbal.client.side_by_side import put_side_by_side
    from flowgimbal.client.sources import VideoSource
    from flowgimbal.client.steadiness import compare
    from flowgimbal.client.steadiness.gray import gray_frames

    folder = Path(config.out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"--out {config.out}: {error.strerror}") from error
    clip = config.clip or _bundled()
    steady, both = folder / "steady.mp4", folder / "side-by-side.mp4"
    with usage_errors():
        fps, p95 = interrupt.run(_through_server(config, clip, steady))
    with VideoSource(clip) as source:
        form = source.format
    with Progress("side by side", form.frames) as progress:
        put_side_by_side(clip, steady, both, progress.step)
    with Progress("measuring", form.frames) as progress:
        report = compare(_counted(gray_frames(clip), progress), gray_frames(steady), float(form.rate))
    say(f"steadier by {report.gain_db:.1f} dB: shake {report.shake_in:.1f} -> {report.shake_out:.1f} px (of 1280)")
    say(f"{fps:.0f} fps from file to file")
    say(f"p95 latency {p95:.1f} ms, live at {float(form.rate):g} fps")
    say(f"wrote {steady} and {both}")
    return 0


async def _through_server(config: Config, clip: str, steady: Path) -> tuple[float, float]:
    """Frames per second from file to file in lossless mode, and the latency [ms] of the same clip played live."""
    from flowgimbal.client.bench.process import ServerProcess, server_process
    from flowgimbal.client.transcode import stabilize_file

    if config.server:
        return await _measured(config, clip, steady, ServerProcess(config.endpoint(), None), stabilize_file)
    async with server_process("--engine", config.engine, "--flow", config.flow, "--warp", config.warp) as server:
        return await _measured(config, clip, steady, server, stabilize_file)


async def _measured(config: Config, clip: str, steady: Path, server: Any, stabilize_file: Any) -> tuple[float, float]:
    from flowgimbal.client.bench.content import load
    from flowgimbal.client.bench.load import drive
    from flowgimbal.client.bench.report import spread
    from flowgimbal.client.client import Client
    from flowgimbal.client.sources import VideoSource

    settings = config.settings()
    lossless = replace(settings, mode=settings.mode or Mode.LOSSLESS)
    with Progress("stabilizing") as progress:
        result = await stabilize_file(
            clip, steady, server.address, lossless, on_start=progress.expect, on_frame=progress.step
        )
    for note in result.notes:
        complain(f"flowgimbal demo: {note}")
    with VideoSource(clip) as source:
        form = source.format
    pictures = load(clip, form.width, form.height, Encoding.JPEG, 10_000)
    with Progress("playing live", len(pictures)) as progress:
        async with Client(server.address) as client:
            live = replace(settings, mode=Mode.LIVE, look_ahead_frames=0)
            timed = await drive(client, live, _counted(pictures, progress), float(form.rate), 1)
    return result.received / result.seconds, spread(timed.latencies)["p95"] or float("nan")


def _counted(items: Any, progress: Progress) -> Any:
    for item in items:
        progress.step()
        yield item


def _bundled() -> str:
    from flowgimbal.client.assets import BUNDLED_CLIP

    return str(BUNDLED_CLIP)
