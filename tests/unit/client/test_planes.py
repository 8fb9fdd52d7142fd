"""Pictures for a camera's device: what is written to it, and what is said where there is none."""

from __future__ import annotations

import io
import resource
import signal
from fractions import Fraction
from pathlib import Path

import av
import pytest

from flowgimbal.client import Encoding
from flowgimbal.client.errors import MediaError
from flowgimbal.client.sinks.choose import live_sink
from flowgimbal.client.sinks.output import LEAST
from flowgimbal.client.sinks.planes import FIRST
from flowgimbal.client.sinks.shot import Shot, Sink

WIDTH, HEIGHT = 64, 48


def shots(count: int, width: int = WIDTH) -> list[Shot]:
    """H.264 at 25 pictures a second, each brighter than the one before."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt, encoder.time_base = width, HEIGHT, "yuv420p", Fraction(1, 25)
    encoder.options = {"preset": "ultrafast", "tune": "zerolatency"}
    made = []
    for number in range(count):
        picture = av.VideoFrame(width, HEIGHT, "yuv420p")
        for plane in picture.planes:
            plane.update(bytes([50 + 10 * number % 200]) * plane.buffer_size)
        picture.pts = number
        made += [bytes(packet) for packet in encoder.encode(picture)]
    return [Shot(data, Encoding.H264, width, HEIGHT, n * 40_000_000, not n) for n, data in enumerate(made)]


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


def pictures_in(path: Path) -> tuple[int, int]:
    """How many, and how wide."""
    with av.open(str(path)) as container:
        widths = [picture.width for picture in container.decode(video=0)]
    return len(widths), *set(widths)


def write(sink: Sink, these: list[Shot]) -> None:
    for shot in these:
        sink.write(shot)


def test_pictures_of_yesterday_are_kept(tmp_path):
    for name in ("movie.y4m", "movie.raw"):
        (tmp_path / name).write_bytes(b"of yesterday")
        sink = live_sink(f"{name.partition('.')[2]}:{tmp_path / name}")
        write(sink, shots(FIRST))
        sink.close()
        assert (tmp_path / name).read_bytes() == b"of yesterday"
    assert pictures_in(tmp_path / "movie-2.y4m") == (FIRST, WIDTH)
    assert (tmp_path / "movie-2.raw").stat().st_size == FIRST * WIDTH * HEIGHT * 3 // 2


@pytest.mark.parametrize("before", [FIRST + 1, 100])
def test_pictures_of_another_size_begin_another_file(tmp_path, before):
    sink = live_sink(f"y4m:{tmp_path / 'movie.y4m'}")
    write(sink, shots(before))
    wide = shots(FIRST, 2 * WIDTH)
    with pytest.raises(MediaError, match="another size"):
        sink.write(wide[0])
    write(sink, wide)
    sink.close()
    assert pictures_in(tmp_path / "movie.y4m") == (before, WIDTH)
    assert pictures_in(tmp_path / "movie-2.y4m") == (FIRST, 2 * WIDTH)


@pytest.fixture
def most_bytes():
    """Lets no file of this process grow beyond that many bytes, as a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    yield lambda count: resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)
    signal.signal(signal.SIGXFSZ, heard)


def test_what_a_full_disk_took_is_kept(tmp_path, most_bytes):
    sink = live_sink(f"y4m:{tmp_path / 'movie.y4m'}")
    most_bytes((LEAST + 10) * WIDTH * HEIGHT * 3 // 2)
    with pytest.raises(MediaError, match="too large"):
        write(sink, shots(4 * LEAST))
    for _ in range(3):  # each attempt from here on is for next to nothing
        most_bytes(0)
        with pytest.raises(MediaError):
            write(sink, shots(FIRST))
    most_bytes(resource.RLIM_INFINITY)
    write(sink, shots(FIRST))
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["movie-2.y4m", "movie.y4m"]
    assert pictures_in(tmp_path / "movie.y4m")[0] > LEAST
    assert pictures_in(tmp_path / "movie-2.y4m") == (FIRST, WIDTH)
