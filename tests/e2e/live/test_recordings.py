"""Recordings: whole, of all the pictures, and never over what was there."""

from __future__ import annotations

import signal
from itertools import pairwise

import numpy as np
import pytest
from e2e.live.programs import live
from e2e.live.recordings import grown, lines_of, times_of

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.steadiness import compare
from flowgimbal.client.steadiness.gray import gray_frames


def test_a_file_goes_to_several_sinks_and_comes_out_steadier(run, tmp_path):
    steady, transport, sidecar, raw = (tmp_path / name for name in ("s.mp4", "s.ts", "s.jsonl", "raw.mkv"))
    sinks = ("--sink", steady, "--sink", transport, "--sink", sidecar, "--record-raw", raw)
    # All frames: how many a busy machine would lose says nothing of the picture.
    program = live(run, "--source", BUNDLED_CLIP, *sinks, "--mode", "lossless", "--look-ahead-frames", 0)
    assert program.exit_code() == 0
    assert program.count("ended: 125 frames returned, 0 dropped") == 1
    original = times_of(BUNDLED_CLIP)
    for path in (steady, transport, raw):
        times = times_of(path)
        assert len(times) == 125
        assert np.allclose(np.diff(sorted(times)), np.diff(sorted(original)), atol=0.002)
    written = lines_of(sidecar)
    assert {line["frame_id"] for line in written} == set(range(125))
    assert all(after["time_ns"] > before["time_ns"] for before, after in pairwise(written))
    report = compare(gray_frames(BUNDLED_CLIP), gray_frames(steady), 25)
    assert report.gain_db > 3


def test_an_interrupted_recording_is_whole(run, tmp_path):
    movie, sidecar = tmp_path / "s.mp4", tmp_path / "s.jsonl"
    program = live(run, "--source", "test:", "--sink", movie, "--sink", sidecar)
    grown(sidecar, 20)
    assert program.end(signal.SIGINT) == 0
    assert len(times_of(movie)) >= 20


@pytest.mark.parametrize(
    ("source", "sink"),
    [
        ("clip.mp4", "clip.mp4"),
        ("clip.mp4", "file:clip.mp4"),
        ("clip.mp4", "y4m:clip.mp4"),
        ("file:clip.mp4", "raw:./clip.mp4"),
        ("raw:clip.mp4?size=64x48", "raw:clip.mp4"),
    ],
)
def test_it_does_not_write_over_its_source(flowgimbal, tmp_path, source, sink):
    clip = tmp_path / "clip.mp4"
    clip.write_bytes(BUNDLED_CLIP.read_bytes())
    done = flowgimbal("live", "--source", source, "--sink", sink)
    assert (done.returncode, clip.read_bytes()) == (2, BUNDLED_CLIP.read_bytes())
    assert "is the source" in done.stderr


@pytest.mark.parametrize(("one", "other"), [("a.mkv", "./a.mkv"), ("y4m:a", "raw:a"), ("-", "y4m:-")])
def test_two_sinks_do_not_write_to_one_place(flowgimbal, one, other):
    done = flowgimbal("live", "--source", BUNDLED_CLIP, "--sink", one, "--sink", other)
    assert (done.returncode, done.stdout) == (2, "")
    assert "given twice" in done.stderr


def test_an_earlier_recording_is_kept(flowgimbal, tmp_path):
    (tmp_path / "clip.mp4").write_bytes(BUNDLED_CLIP.read_bytes())
    (tmp_path / "flight.ts").write_bytes(b"of yesterday")
    done = flowgimbal("live", "--source", "clip.mp4", "--sink", "flight.ts", "--mode", "lossless")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "flight.ts").read_bytes() == b"of yesterday"
    assert len(times_of(tmp_path / "flight-2.ts")) == 125
    assert "recording to flight-2.ts" in done.stderr
