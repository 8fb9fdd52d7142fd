"""The programs and commands in ``examples``, as their READMEs say, against real servers and streams."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import pytest
from e2e.live.programs import needs_ffmpeg
from e2e.ports import free_port, udp_port

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.bench.process import server_process

EXAMPLES = Path(__file__).parents[2] / "examples"
LIMIT = 120

needs_gstreamer = pytest.mark.skipif(shutil.which("gst-launch-1.0") is None, reason="needs gst-launch-1.0")


def environment(**more: object) -> dict[str, str]:
    """With the command on the path, as in an activated environment."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PATH": path, **{name: str(value) for name, value in more.items()}}


def done(*command: object, folder: Path) -> subprocess.CompletedProcess[str]:
    """What a command did, in an empty folder."""
    return subprocess.run(
        [*map(str, command)], cwd=folder, env=environment(), capture_output=True, text=True, timeout=LIMIT, check=False
    )


@pytest.fixture
async def address():
    async with server_process("--engine", "cpu") as server:
        yield server.address


def frames_in(movie: Path) -> int:
    with av.open(str(movie)) as container:
        return sum(1 for _ in container.decode(video=0))


def eventually(check, what: str) -> None:
    limit = time.monotonic() + LIMIT
    while not check():
        assert time.monotonic() < limit, what
        time.sleep(0.1)


def test_every_example_has_a_readme_that_is_listed():
    listed = set(re.findall(r"^\| \[(\w+)\]", (EXAMPLES / "README.md").read_text(), re.MULTILINE))
    folders = {folder.name for folder in EXAMPLES.iterdir() if folder.is_dir()}
    assert listed == folders
    assert all((EXAMPLES / name / "README.md").is_file() for name in folders)


def test_webcam(address, tmp_path):
    ran = done(sys.executable, EXAMPLES / "webcam/webcam.py", BUNDLED_CLIP, address, folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == [f"frame {i}" for i in range(125)]
    assert "(360, 640, 3)" in lines[-1]


def test_file(tmp_path):
    ran = done(EXAMPLES / "file/steady.sh", BUNDLED_CLIP, tmp_path / "steady.mp4", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert frames_in(tmp_path / "steady.mp4") == 125
    assert float(re.findall(r"gain_db +([\d.]+)", ran.stdout)[0]) > 9


def test_numpy_loop(address, tmp_path):
    ran = done(sys.executable, EXAMPLES / "numpy_loop/loop.py", address, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    filmed, steady = map(float, re.findall(r"([\d.]+) px", ran.stdout))
    assert steady < filmed / 2


def test_many_cameras(address, tmp_path):
    program = (sys.executable, EXAMPLES / "many_cameras/many.py", "--server", address)
    ran = done(*program, BUNDLED_CLIP, BUNDLED_CLIP, folder=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert [line.split()[1] for line in ran.stdout.splitlines()] == ["125", "125"]
    ran = done(*program, BUNDLED_CLIP, tmp_path / "nothing.mp4", folder=tmp_path)
    assert ran.returncode == 1
    assert "nothing.mp4: cannot be opened" in ran.stderr
    assert " 125 frames" in ran.stdout


@needs_gstreamer
@needs_ffmpeg
def test_gstreamer(tmp_path):
    clip = tmp_path / "clip.mp4"  # with a key frame every half second, as a camera's
    coding = ("-an", "-c:v", "libx264", "-preset", "ultrafast", "-g", 12, "-bf", 0)
    assert done("ffmpeg", "-v", "error", "-i", BUNDLED_CLIP, *coding, clip, folder=tmp_path).returncode == 0
    ran = done(EXAMPLES / "gstreamer/pipeline.sh", clip, tmp_path / "steady.mkv", folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert frames_in(tmp_path / "steady.mkv") == 125


def started(run, script: str, *arguments: object, folder: Path, **more: object):
    """A shell script of the examples in a folder of its own, as a shell would start it."""
    settings = [f"{name}={value}" for name, value in environment(**more).items() if name in {"PATH", *more}]
    return run("env", "-C", folder, *settings, EXAMPLES / script, *arguments)


def test_rtsp(run, rtsp_server, tmp_path):
    port, out = free_port(), udp_port()
    rtsp_server(port)
    camera = started(run, "rtsp/camera.sh", f"rtsp://127.0.0.1:{port}/camera", out, folder=tmp_path)
    eventually(lambda: all((tmp_path / name).exists() for name in ("raw.mkv", "steady.mkv")), "no recording began")
    time.sleep(2)
    assert camera.end(signal.SIGINT) == 0, camera.said
    assert frames_in(tmp_path / "raw.mkv") > 10
    assert frames_in(tmp_path / "steady.mkv") > 10


@needs_ffmpeg
def test_drone(run, tmp_path):
    vehicle, station = udp_port(), udp_port()
    ground = started(
        run, "drone/ground.sh", "--pin", "20,20,200,40", folder=tmp_path, IN_PORT=vehicle, OUT_PORT=station
    )
    started(run, "drone/vehicle.sh", BUNDLED_CLIP, folder=tmp_path, IN_PORT=vehicle)
    sidecar = tmp_path / "flight.jsonl"
    eventually(lambda: sidecar.exists() and sidecar.read_text().count("\n") > 30, "no frame came back")
    assert ground.end() == 0, ground.said
    last = json.loads(sidecar.read_text().splitlines()[-1])
    ran = done(sys.executable, EXAMPLES / "drone/click.py", sidecar, 320, 180, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    x, y = map(float, re.findall(r"raw ([\d.]+) ([\d.]+)", ran.stdout)[0])
    assert ran.stdout.startswith(f"frame {last['frame_id']}: ")
    assert abs(x - 320) < 33  # the crop of 0.1 lets it move by 32 pixels
    assert abs(y - 180) < 19
    assert frames_in(tmp_path / "flight-raw.mkv") > 30
