"""``flowgimbal bench --peers``: real runs of what is there, and a reason for what is not."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.bench import peers
from flowgimbal.client.bench.content import load
from flowgimbal.client.bench.peers import Cost, PeerError
from flowgimbal.client.cli import bench_ours
from flowgimbal.client.cli.main import main
from flowgimbal.client.settings import Encoding

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg on the PATH")


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    frames = load(str(BUNDLED_CLIP), 320, 180, Encoding.JPEG, 20)
    file = tmp_path_factory.mktemp("peers") / "clip.mjpeg"
    file.write_bytes(b"".join(frame.data for frame in frames))
    return file, len(frames)


def test_ours_is_measured_on_the_stabilizer_alone():
    frames = load(str(BUNDLED_CLIP), 320, 180, Encoding.JPEG, 12)
    cost = bench_ours.ours(frames, "identity", "network", "dense", 3)
    assert 0 < cost.cpu_seconds < 1
    assert cost.delay == "3"


@needs_ffmpeg
def test_ffmpeg_is_measured_and_its_failures_are_told(clip):
    file, count = clip
    program = shutil.which("ffmpeg") or ""
    cost = peers.ffmpeg(program, ["deshake"], "0", file, count)
    assert cost.memory_mib > 1
    with pytest.raises(PeerError, match="ffmpeg: "):
        peers.ffmpeg(program, ["nosuchfilter"], "0", file, count)


def test_a_package_that_is_not_there_is_told(clip):
    file, count = clip
    with pytest.raises(PeerError, match="vidgear: ModuleNotFoundError: No module named 'vidgear'"):
        peers.package("vidgear", sys.executable, file, count)


def test_what_is_missing_is_named_and_the_rest_compared(capsys, monkeypatch):
    monkeypatch.setattr(bench_ours, "ours", lambda *_: Cost(0.010, 0.010, 50.0, "0"))
    monkeypatch.setattr(peers, "ffmpeg", lambda *_: Cost(0.020, 0.025, 300.0, "0"))

    def absent(name: str, *_: object) -> Cost:
        raise PeerError(f"{name}: not installed")

    monkeypatch.setattr(peers, "package", absent)
    assert main(["bench", "--peers", "--frames", "4", "--size", "64x48"]) == 0
    told = capsys.readouterr().out
    assert "ffmpeg deshake" in told
    assert "0.50" in told
    assert "vidgear (PyPI)               not measured: vidgear: not installed" in told
    assert main(["bench", "--peers", "--frames", "4", "--size", "64x48", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)["peers"]
    assert figures["ffmpeg deshake"]["cpu_ratio"] == 0.5
    assert figures["vidgear (PyPI)"] == {"missing": "vidgear: not installed"}
