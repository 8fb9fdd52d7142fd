"""A camera to leave running: a shaky clip to and fro, published by ffmpeg over RTP or through an RTSP server."""

from __future__ import annotations

import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tap import Tap, free_port

RATE = 30
SYSTEM_PYTHON = "/usr/bin/python3"
_RTSP_SERVER = Path(__file__).parents[1] / "rtsp_server.py"
_TO_AND_FRO = "scale={size},fps={rate},split[there][turned];[turned]reverse[back];[there][back]concat"


def film(clip: Path, size: str, path: Path) -> None:
    """The first ten seconds of ``clip``, forwards and backwards, as H.264: over and over they have no cut."""
    coding = ("-an", "-c:v", "libx264", "-preset", "veryfast", "-bf", "0", "-g", str(RATE), "-pix_fmt", "yuv420p")
    picture = ("-filter_complex", _TO_AND_FRO.format(size=size.replace("x", ":"), rate=RATE))
    whole = ("-x264-params", "repeat-headers=1:crf=18", "-f", "mpegts", str(path))
    reading = ("ffmpeg", "-v", "error", "-y", "-t", "10", "-i", str(clip))
    subprocess.run([*reading, *picture, *coding, *whole], check=True, stdin=subprocess.DEVNULL)


def publish(stack: ExitStack, movie: Path, through: str) -> tuple[Tap, str]:
    """Publish ``movie`` for as long as ``stack`` lasts; a tap on its way, and the URL of the source that it becomes."""
    port = free_port()
    tap = Tap(port)
    if through == "rtp":
        target, source = ("-f", "rtp", f"rtp://127.0.0.1:{tap.port}"), f"rtp://127.0.0.1:{port}"
    else:
        door = _serve(stack, tap.port, port)
        target, source = ("-f", "rtsp", "-rtsp_transport", "tcp", f"{door}/publish"), f"{door}/camera"
    playing = ("ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(movie), "-c", "copy")
    camera = subprocess.Popen([*playing, *target], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    stack.callback(camera.wait)
    stack.callback(camera.kill)
    return tap, source


def _serve(stack: ExitStack, out: int, back: int) -> str:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    command = (SYSTEM_PYTHON, str(_RTSP_SERVER), str(port), "--through", str(out), str(back))
    server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    stack.callback(server.wait)
    stack.callback(server.kill)
    assert server.stderr is not None
    if server.stderr.readline().strip() != "ready":
        sys.exit("no RTSP server: it needs Debian's python3-gi and gir1.2-gst-rtsp-server-1.0")
    return f"rtsp://127.0.0.1:{port}"
