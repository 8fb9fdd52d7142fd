"""Load and figures of the benchmark."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from flowgimbal.client import Client, Encoding, StreamSettings
from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.bench.content import encode, load, to_and_fro
from flowgimbal.client.bench.load import WARM_UP_FRAMES, drive
from flowgimbal.client.bench.report import figures_of, lines, spread
from flowgimbal.client.cli.console import Progress

PICTURES = [encode(np.full((48, 64, 3), value, np.uint8), Encoding.BGR8) for value in range(5)]


@pytest.mark.parametrize(("rate", "look_ahead"), [(0.0, 0), (0.0, 5), (500.0, 0)])
async def test_every_frame_is_counted_and_timed(address, echo, rate, look_ahead):
    echo.look_ahead = look_ahead
    async with Client(address) as client:
        timed = await drive(client, StreamSettings(), to_and_fro(PICTURES, 50), rate, in_flight=2)
    assert (timed.sent, timed.received, timed.dropped) == (50, 50, 0)
    assert len(timed.latencies) == len(timed.stats) == 50 - WARM_UP_FRAMES
    assert min(timed.latencies) > 0
    assert timed.bytes_in == timed.bytes_out == 50 * 64 * 48 * 3
    times = [frame.capture_time_ns for frame in echo.frames]
    assert times == [int(i * 1e9 / (rate or 30)) for i in range(50)]


async def test_figures(address, echo):
    async with Client(address) as client:
        timed = [await drive(client, StreamSettings(), to_and_fro(PICTURES, 30), 0, 2) for _ in range(2)]
    figures = figures_of(timed, {"server": None, "client": 0.6}, {"server": None, "client": 10.04})
    assert (figures["streams"], figures["frames_sent"], figures["frames_received"]) == (2, 60, 60)
    assert figures["cpu_seconds_per_frame"] == {"server": None, "client": 0.01}
    assert figures["peak_memory_mib"] == {"server": None, "client": 10.0}
    assert figures["bytes_per_frame"] == {"sent": 9216, "received": 9216}
    assert figures["stages_ms"]["total"]["p50"] == 0
    text = "\n".join(lines(figures))
    assert "60 sent, 60 received, 0 dropped; 2 stream(s)" in text
    assert "cpu         client 10.0 ms a frame" in text


def test_percentiles():
    values = spread([i / 1000 for i in range(1, 102)])
    assert values == {"mean": 51.0, "p50": 51.0, "p95": 96.0, "p99": 100.0, "max": 101.0}
    assert set(spread([]).values()) == {None}


def test_content_is_the_clip_at_another_size():
    frames = load(str(BUNDLED_CLIP), 320, 180, Encoding.JPEG, 3)
    assert [frame.image.shape for frame in frames] == [(180, 320, 3)] * 3
    with pytest.raises(ValueError, match="odd"):
        load(str(BUNDLED_CLIP), 321, 180, Encoding.I420, 1)


def test_progress_is_silent_without_a_terminal(capsys):
    with Progress("working", 3) as progress:
        progress.step()
    assert capsys.readouterr().err == ""


def test_progress_draws_and_clears_itself(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    monkeypatch.setattr(Progress, "SECONDS", 0)
    with Progress("working") as progress:
        progress.expect(4)
        progress.step()
        progress.step()
    text = terminal.getvalue()
    assert "working [###############...............] 2/4" in text
    assert text.endswith("\r\x1b[K")
    assert Progress("counting").line(1) == "counting 0 frames, 0 fps"
