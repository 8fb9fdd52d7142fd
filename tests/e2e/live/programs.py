"""The programs on either side of ``flowgimbal live``, and itself."""

from __future__ import annotations

import shutil

import pytest
from e2e.command import COMMAND

from flowgimbal.client.assets import BUNDLED_CLIP

needs_ffmpeg = pytest.mark.skipif(
    shutil.which("ffmpeg") is None, reason="needs the ffmpeg program, to publish and read"
)


def publish(run, *where: object, frames: int = 0):
    """The bundled clip in real time, again and again, as H.264 without delay, a key frame every half second."""
    coding = ("-an", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency", "-g", "12", "-bf", "0")
    length = ("-frames:v", frames) if frames else ()
    return run("ffmpeg", "-v", "error", "-re", "-stream_loop", -1, "-i", BUNDLED_CLIP, *coding, *length, *where)


def live(run, *arguments: object):
    return run(*COMMAND, "live", *arguments)
