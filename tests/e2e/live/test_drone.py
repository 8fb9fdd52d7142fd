"""Between a vehicle's GStreamer and the pipeline in which QGroundControl receives, as the example has it."""

from __future__ import annotations

import shutil
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from e2e.live.programs import live
from e2e.live.recordings import LIMIT, grown
from e2e.ports import udp_port

WIDTH, HEIGHT, SHOWN = 640, 360, 30
BYTES = WIDTH * HEIGHT * 3 // 2
ELEMENTS = ("openh264enc", "openh264dec", "rtph264pay", "parsebin", "decodebin3")
PICTURE = f"video/x-raw,format=I420,width={WIDTH},height={HEIGHT},framerate=30/1"
STATION = Path(__file__).parents[3] / "examples" / "drone" / "station.sh"
STILL = HEIGHT * 2 // 3
"""Rows of the test picture's bars; below them there is noise."""


def has_gstreamer() -> bool:
    if shutil.which("gst-inspect-1.0") is None:
        return False
    looked = [subprocess.run(["gst-inspect-1.0", "--exists", name], check=False) for name in ELEMENTS]
    return not any(one.returncode for one in looked)


pytestmark = pytest.mark.skipif(not has_gstreamer(), reason="needs GStreamer with openh264")


def pipeline(run, *elements: str):
    return run("gst-launch-1.0", "-q", *" ! ".join(elements).split())


def bars(path: Path, count: int) -> np.ndarray:
    """The brightness of ``count`` pictures of a raw recording, as far as they stand still."""
    pictures = np.fromfile(path, np.uint8, count * BYTES).reshape(count, -1)
    return pictures[:, : WIDTH * STILL].astype(int)


def received(station, recording: Path) -> None:
    """Wait for SHOWN pictures: GStreamer's own `eos-after` ends nothing where a decoder gives two at once."""
    limit = time.monotonic() + LIMIT
    while not recording.exists() or recording.stat().st_size < SHOWN * BYTES:
        assert station.process.poll() is None, station.said
        assert time.monotonic() < limit, f"a file of {recording.stat().st_size if recording.exists() else 0} bytes"
        time.sleep(0.05)


@pytest.mark.parametrize("slices", [1, 4])
def test_what_a_vehicle_sends_is_seen_at_the_ground_station(run, tmp_path, slices):
    """Parameter sets before each slice of a key picture, as rtph264pay sends them, must not take pictures apart."""
    source, sink, sidecar, seen = udp_port(), udp_port(), tmp_path / "flight.jsonl", tmp_path / "seen.yuv"
    sinks = ("--sink", f"rtp://127.0.0.1:{sink}", "--sink", sidecar)
    program = live(run, "--source", f"rtp://127.0.0.1:{source}", *sinks, "--smoothing-strength", 0)
    pipeline(
        run,
        f"videotestsrc is-live=true ! {PICTURE}",
        f"openh264enc slice-mode=n-slices num-slices={slices} gop-size=30 bitrate=2000000",
        f"rtph264pay config-interval=-1 pt=96 ! udpsink host=127.0.0.1 port={source}",
    )
    grown(sidecar, 1)
    shown = f"videoconvert ! video/x-raw,format=I420 ! filesink location={seen}"
    station = run("env", f"OUT_PORT={sink}", f"SINK={shown}", STATION)
    received(station, seen)
    original = tmp_path / "original.yuv"
    still = f"videotestsrc num-buffers=1 ! {PICTURE} ! filesink location={original}"
    assert pipeline(run, still).exit_code() == 0
    assert np.abs(bars(seen, SHOWN) - bars(original, 1)).mean() < 5
    assert program.end() == 0
