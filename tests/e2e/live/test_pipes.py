"""Pictures through pipes, compressed and bare."""

from __future__ import annotations

import subprocess

import numpy as np
import pytest
from e2e.command import COMMAND
from e2e.live.programs import needs_ffmpeg
from e2e.live.recordings import lines_of, times_of
from e2e.ports import free_port

from flowgimbal.client.assets import BUNDLED_CLIP

pytestmark = needs_ffmpeg

LIMIT = 90


def test_a_pipe_in_and_a_pipe_out(tmp_path):
    """As fast as it goes: the source is held back, and every frame comes out."""
    coding = ("-an", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "12", "-bf", "0")
    source = subprocess.Popen(
        ["ffmpeg", "-v", "error", "-i", BUNDLED_CLIP, *coding, "-f", "mpegts", "-"], stdout=subprocess.PIPE
    )
    command = [*COMMAND, "live", "--source", "-", "--sink", "-", "--mode", "lossless"]
    piped = subprocess.run(command, stdin=source.stdout, capture_output=True, timeout=LIMIT, check=False)
    source.stdout.close()
    assert source.wait(LIMIT) == 0
    assert piped.returncode == 0, piped.stderr
    received = tmp_path / "received.ts"
    received.write_bytes(piped.stdout)
    times = times_of(received)
    assert len(times) == 125
    assert np.allclose(np.diff(times), 1 / 25, atol=0.001)


def test_a_file_on_stdin_waits_for_the_server(run, tmp_path):
    coding = ("-an", "-c:v", "libx264", "-preset", "ultrafast", "-g", "30")
    subprocess.run(["ffmpeg", "-v", "error", "-i", BUNDLED_CLIP, *coding, tmp_path / "in.ts"], check=True)
    address, sidecar, movie = f"127.0.0.1:{free_port()}", tmp_path / "s.jsonl", tmp_path / "out.ts"
    where = ("--sink", movie, "--sink", sidecar, "--server", address, "--mode", "lossless")
    program = run("sh", "-c", f'exec "$@" <{tmp_path / "in.ts"}', "sh", *COMMAND, "live", "--source", "-", *where)
    program.wait_for("the server is gone")
    server = run(*COMMAND, "serve", "--listen", address, "--engine", "identity")
    assert program.exit_code() == 0
    assert server.end() == 0
    assert program.count("ended: 125 frames returned, 0 dropped, 0 not sent") == 1
    assert len(lines_of(sidecar)) == len(times_of(movie)) == 125
    assert program.count("given nothing") == 0


@pytest.mark.parametrize(
    ("form", "sink", "back"),
    [
        (("-f", "yuv4mpegpipe"), "y4m:-", ()),
        (
            ("-f", "rawvideo", "-pix_fmt", "nv12"),
            "raw:-",
            ("-f", "rawvideo", "-video_size", "640x360", "-framerate", "25", "-pixel_format", "yuv420p"),
        ),
    ],
)
def test_pictures_through_pipes(tmp_path, form, sink, back):
    """A test picture comes back as it was, at strength 0, but for the coding: through ffmpeg on both sides."""
    picture = (
        "ffmpeg",
        "-v",
        "error",
        "-re",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=640x360:rate=25:duration=6",
        *form,
        "-",
    )
    source = subprocess.Popen(picture, stdout=subprocess.PIPE)
    origin = "-" if sink == "y4m:-" else "raw:-?size=640x360&rate=25&format=nv12"
    quality = ("--output-quality", "95", "--smoothing-strength", "0")
    command = [*COMMAND, "live", "--source", origin, "--sink", sink, *quality]
    piped = subprocess.run(command, stdin=source.stdout, capture_output=True, timeout=LIMIT, check=False)
    source.stdout.close()
    assert source.wait(LIMIT) == 0
    assert piped.returncode == 0, piped.stderr
    received = tmp_path / "received"
    received.write_bytes(piped.stdout)
    decode = ("ffmpeg", "-v", "error", *back, "-i", received, "-f", "rawvideo", "-pix_fmt", "gray", "-")
    shown = np.frombuffer(subprocess.run(decode, capture_output=True, check=True).stdout, np.uint8).reshape(
        -1, 360, 640
    )
    assert len(shown) > 20  # what comes before the server is up is superseded
    if sink == "y4m:-":
        assert any(b" F25:%d " % gap in piped.stdout[:100] for gap in (1, 2, 3))  # by the nearest of the first five
    again = ("ffmpeg", "-v", "error", "-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25:duration=6")
    sent = subprocess.run([*again, "-f", "rawvideo", "-pix_fmt", "gray", "-"], capture_output=True, check=True).stdout
    sent = np.frombuffer(sent, np.uint8).reshape(-1, 360, 640).astype(float)
    nearest = [np.sqrt(((sent - picture) ** 2).mean((1, 2))).min() for picture in shown[5:20]]
    assert max(nearest) < 4
