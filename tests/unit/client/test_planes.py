"""Pictures for a camera's device: what is written to it, and what is said where there is none."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import pytest

from flowgimbal.client import Encoding
from flowgimbal.client.errors import MediaError
from flowgimbal.client.sinks.choose import live_sink
from flowgimbal.client.sinks.planes import FIRST
from flowgimbal.client.sinks.shot import Shot

WIDTH, HEIGHT = 64, 48


def shots(count: int) -> list[Shot]:
    """H.264 at 25 pictures a second, each brighter than the one before."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = WIDTH, HEIGHT, "yuv420p", Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    made = []
    for number in range(count):
        picture = av.VideoFrame(WIDTH, HEIGHT, "yuv420p")
        for plane in picture.planes:
            plane.update(bytes([50 + 10 * number]) * plane.buffer_size)
        picture.pts = number
        made += [bytes(packet) for packet in encoder.encode(picture)]
    return [Shot(data, Encoding.H264, WIDTH, HEIGHT, n * 40_000_000, not n) for n, data in enumerate(made)]


def test_a_camera_is_written_bare_pictures(monkeypatch):
    asked, written, really = [], io.BytesIO(), av.open

    def opened(target, mode, format, options):
        asked.append((target, mode, format))
        return really(written, mode, format="rawvideo", options=options)

    monkeypatch.setattr(av, "open", opened)
    sink = live_sink("v4l2:/dev/null")  # a device, at least
    for shot in shots(FIRST + 2):
        sink.write(shot)
    assert sink._stream.codec_context.pix_fmt == "yuv420p"
    assert (sink._stream.codec_context.name, sink._stream.width, sink._stream.height) == ("rawvideo", WIDTH, HEIGHT)
    pictures = written.getvalue()
    sink.close()
    assert asked == [("/dev/null", "w", "v4l2")]
    size = WIDTH * HEIGHT * 3 // 2
    assert len(pictures) == (FIRST + 2) * size
    assert [pictures[n * size] // 10 for n in range(FIRST + 2)] == [pictures[0] // 10 + n for n in range(FIRST + 2)]


def failure(url: str) -> str:
    sink = live_sink(url)
    try:
        for shot in shots(FIRST):
            sink.write(shot)
    except MediaError as error:
        return str(error)
    return ""


def test_a_camera_that_is_not_there_is_said(tmp_path):
    assert failure("v4l2:/dev/video99") == (
        "v4l2:/dev/video99: cannot be written: there is no such device; `modprobe v4l2loopback` makes one"
    )


def test_a_device_that_is_no_camera_is_refused_by_ffmpeg():
    """Which shows that the one inside PyAV can write to cameras."""
    assert failure("v4l2:/dev/null") == "v4l2:/dev/null: cannot be written: Inappropriate ioctl for device"


@pytest.mark.parametrize("url", ["v4l2:", "v4l2:-", "v4l2:movie.raw"])
def test_what_can_be_no_camera_is_refused_at_once(url):
    with pytest.raises(MediaError, match="write v4l2:/dev/videoN"):
        live_sink(url)
