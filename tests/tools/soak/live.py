"""``flowgimbal live`` for an hour: does it drift, does it grow, and is it as steady as the file road?

    python tests/tools/soak/live.py [--seconds 3600] [--through rtp|rtsp] [--clip FILE] [--size 640x360] [--keep FOLDER]

ffmpeg publishes a clip to and fro, 30 pictures a second of H.264, over RTP or through GStreamer's RTSP server; its
packets pass through this program on their way to ``flowgimbal live``, and what comes back, over RTP, passes here again
on its way to ffmpeg, which records it. The RTP time stamps say which picture is which, so that the delay is measured by
one clock. Prints a line a minute, and at the end what is asked for, each with its bar; fails if one is missed.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bars import SETTLE_SECONDS, as_steady, delay_kept, nothing_grew, pictures_kept
from camera import RATE, film, publish
from roads import LEAD_SECONDS, STRETCH_SECONDS, compared, times
from tap import Passed, Tap, free_port
from watch import Watch, report

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.sources.opening import session_description

MINUTE = 60.0


@dataclass(frozen=True)
class Run:
    """What was seen of one run: pictures before and after, what the process held, and what was recorded of it."""

    before: list[Passed]
    after: list[Passed]
    watch: Watch
    raw: Path
    recorded: Path
    received: Path


def main() -> bool:
    """Whether every bar was met."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    parser.add_argument("--through", choices=("rtp", "rtsp"), default="rtp")
    parser.add_argument("--clip", type=Path, default=BUNDLED_CLIP)
    parser.add_argument("--size", default="640x360")
    parser.add_argument("--keep", type=Path, help="a folder for what is recorded; by default it goes when all is said")
    options = parser.parse_args()
    shortest = LEAD_SECONDS + STRETCH_SECONDS + SETTLE_SECONDS
    if options.seconds < shortest:
        parser.error(f"--seconds: {shortest:g} at least")
    with tempfile.TemporaryDirectory(prefix="flowgimbal-soak-") as scratch:
        folder = options.keep or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        movie = folder / "film.ts"
        film(options.clip, options.size, movie)
        run = observe(movie, options.through, options.seconds, folder)
        report(f"{options.clip.name}, {options.size}, {options.through}, {options.seconds:g} s:")
        roads = compared(run.raw, run.recorded, run.received, RATE, folder)
        bars = [
            *delay_kept(run.before, run.after, options.seconds),
            *pictures_kept(run.before, run.after, times(run.received)),
            *nothing_grew(run.watch),
            *as_steady(roads),
        ]
    for bar in bars:
        report(str(bar))
    return all(bar.met for bar in bars)


def observe(movie: Path, through: str, seconds: float, folder: Path) -> Run:
    """Let it run."""
    raw, recorded, received = (folder / f"{name}.ts" for name in ("raw", "recorded", "received"))
    port = free_port()
    after = Tap(port)
    session = folder / "out.sdp"
    session.write_text(session_description("127.0.0.1", port, "H264"))
    live = (sys.executable, "-m", "flowgimbal.client.cli", "live")
    reading = ("ffmpeg", "-v", "fatal", "-protocol_whitelist", "file,udp,rtp", "-i", str(session), "-c", "copy", "-y")
    with ExitStack() as stack:
        before, source = publish(stack, movie, through)
        while not before.passed:
            time.sleep(0.1)
        sinks = ("--sink", f"rtp://127.0.0.1:{after.port}", "--sink", str(recorded), "--record-raw", str(raw))
        relay = started(stack, *live, "--source", source, *sinks)
        while not after.passed:
            if relay.poll() is not None:
                sys.exit("flowgimbal live ended before a picture came")
            time.sleep(0.1)
        started(stack, *reading, str(received))  # not before: it waits for pictures for a few seconds only
        watch, began = Watch(relay.pid), time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            time.sleep(min(MINUTE / 6, seconds - elapsed))
            held = watch.take()
            if len(watch.samples) % 6 == 0:
                counts = f"{len(before.passed)} sent, {len(after.passed)} returned"
                report(f"{held.seconds / MINUTE:5.1f} min: {counts}; {held}")
        return Run(list(before.passed), list(after.passed), watch, raw, recorded, received)


def started(stack: ExitStack, *command: str) -> subprocess.Popen[bytes]:
    """A program that is asked to end, and awaited, with ``stack``."""
    program = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    stack.callback(program.wait)
    stack.callback(program.send_signal, signal.SIGINT)
    return program


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
