"""The commands that show off."""

from __future__ import annotations

import json
import re

import pytest

from flowgimbal.client.sources import VideoSource

SPREAD = {"mean", "p50", "p95", "p99", "max"}


@pytest.mark.slow
def test_demo_prints_three_figures_and_writes_two_videos(flowgimbal, tmp_path):
    done = flowgimbal("demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"steadier by -?\d+\.\d dB", done.stdout)
    assert re.search(r"\d+ fps", done.stdout)
    assert re.search(r"p95 latency \d+\.\d ms", done.stdout)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["side-by-side.mp4", "steady.mp4"]
    for name, width in (("steady.mp4", 640), ("side-by-side.mp4", 1280)):
        with VideoSource(tmp_path / "out" / name) as source:
            assert (source.format.width, source.format.height) == (width, 360)
            assert sum(1 for _ in source.frames()) == 125


@pytest.mark.parametrize(
    "arguments", [("--mode", "lossless", "--streams", "2"), ("--encoding", "i420", "--rate", "60")]
)
def test_bench_reports_in_json(flowgimbal, arguments):
    done = flowgimbal("bench", "--size", "320x180", "--frames", "40", "--look-ahead-frames", "3", "--json", *arguments)
    assert (done.returncode, done.stderr) == (0, "")
    figures = json.loads(done.stdout)
    assert set(figures) == {
        "version", "load", "engine", "settings", "streams", "frames_sent", "frames_received", "frames_dropped", "fps",
        "latency_ms", "stages_ms", "cpu_seconds_per_frame", "peak_memory_mib", "bytes_per_frame",
    }  # fmt: skip
    streams = 2 if "lossless" in arguments else 1
    assert (figures["streams"], figures["frames_sent"]) == (streams, 40 * streams)
    assert figures["frames_received"] + figures["frames_dropped"] == figures["frames_sent"]
    if "lossless" in arguments:
        assert figures["frames_dropped"] == 0
    assert figures["settings"]["look_ahead_frames"] == 3
    assert set(figures["latency_ms"]) == SPREAD
    assert set(figures["stages_ms"]) == {"total", "queue", "decode", "flow", "warp", "encode"}
    assert all(set(spread) == SPREAD for spread in figures["stages_ms"].values())
    assert figures["fps"] > 0
    assert min(figures["cpu_seconds_per_frame"].values()) > 0
    assert min(figures["peak_memory_mib"].values()) > 10
    assert min(figures["bytes_per_frame"].values()) > 1000
