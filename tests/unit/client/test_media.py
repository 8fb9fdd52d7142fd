"""Video files in and out: times, tags, sound, odd sizes, and files that are broken."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
import pytest

from flowgimbal.client import Encoding, Frame, MediaError
from flowgimbal.client.bench.content import encode
from flowgimbal.client.sinks import VideoSink
from flowgimbal.client.sources import VideoFormat, VideoSource
from flowgimbal.client.sources.timing import rising

TICK = Fraction(1, 30000)
UNEVEN = [1001, 1701, 3500, 3600, 8000, 8001, 10001, 13346, 14001, 16001, 18002]


def write(path: Path, times=UNEVEN, size=(64, 48), *, sound=False, matrix=None, tags=None) -> Path:
    """A little clip whose frame i is of luma 40 + 10 (i mod 20), in a tick of 1/30000 s."""
    form = VideoFormat(*size, Fraction(24), TICK, display_matrix=matrix, **(tags or {}))
    width, height = size
    chroma = bytes([128]) * (2 * ((width + 1) // 2) * ((height + 1) // 2))
    with VideoSink(path, form, sound_of=_tone(path) if sound else None) as sink:
        for number, ticks in enumerate(times):
            luma = bytes([40 + 10 * (number % 20)]) * (width * height)
            sink.write(Frame(luma + chroma, Encoding.I420, width, height), ticks)
    return path


def _tone(path: Path) -> Path:
    tone = path.with_suffix(".m4a")
    with av.open(str(tone), "w") as out:
        stream = out.add_stream("aac", rate=16000, layout="mono")
        wave = (np.sin(np.arange(16000) / 9) * 9000).astype(np.int16)[None]
        frame = av.AudioFrame.from_ndarray(wave, format="s16", layout="mono")
        frame.rate = 16000
        for packet in stream.encode(frame) + stream.encode(None):
            out.mux(packet)
    return tone


def copy(source_path: Path, out: Path) -> VideoSink:
    with (
        VideoSource(source_path) as source,
        VideoSink(out, source.format, sound_of=source_path, metadata=source.metadata) as sink,
    ):
        for ticks, frame in source.frames():
            sink.write(frame, ticks)
    return sink


def seconds(path: Path) -> list[Fraction]:
    with VideoSource(path) as source:
        return [ticks * source.format.time_base for ticks, _ in source.frames()]


def sound(path: Path) -> list[tuple[Fraction, bytes]]:
    with av.open(str(path)) as container:
        packets = container.demux(container.streams.audio[0])
        return [(packet.pts * packet.time_base, bytes(packet)) for packet in packets if packet.size]


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_uneven_times_and_a_late_start_survive_exactly(tmp_path, suffix):
    clip = write(tmp_path / f"in{suffix}")
    assert seconds(clip) == [ticks * TICK for ticks in UNEVEN]
    copy(clip, tmp_path / f"out{suffix}")
    assert seconds(tmp_path / f"out{suffix}") == seconds(clip)


@pytest.mark.parametrize("suffix", [".mkv", ".avi", ".webm"])
def test_other_containers_keep_what_their_clock_can_say(tmp_path, suffix):
    clip = write(tmp_path / "in.mp4", times=[1250 * i for i in range(20)])  # 24 fps
    copy(clip, tmp_path / f"out{suffix}")
    found = seconds(tmp_path / f"out{suffix}")
    assert len(found) == 20
    assert max(abs(a - b) for a, b in zip(found, seconds(clip), strict=True)) <= Fraction(1, 1000)


def test_the_pictures_come_back_in_order(tmp_path):
    copy(write(tmp_path / "in.mp4"), tmp_path / "out.mp4")
    with VideoSource(tmp_path / "out.mp4") as source:
        frames = [frame for _, frame in source.frames()]
    assert [frame.frame_id for frame in frames] == list(range(len(UNEVEN)))
    assert [round(frame.data[0] / 10) for frame in frames] == [4 + i for i in range(len(UNEVEN))]
    assert all(a.capture_time_ns < b.capture_time_ns for a, b in pairwise(frames))


@pytest.mark.parametrize("size", [(65, 48), (64, 47), (33, 35)])
def test_odd_sizes_stay(tmp_path, size):
    copy(write(tmp_path / "in.mp4", size=size), tmp_path / "out.mp4")
    with VideoSource(tmp_path / "out.mp4") as source:
        assert (source.format.width, source.format.height) == size
        _, frame = next(source.frames())
    assert len(frame.data) == size[0] * size[1] + 2 * ((size[0] + 1) // 2) * ((size[1] + 1) // 2)


def test_sound_rotation_and_colour_are_kept(tmp_path):
    quarter = (0, 65536, 0, -65536, 0, 0, 48 << 16, 0, 1 << 30)
    tags = {"colour_range": 2, "colour_space": 1, "colour_primaries": 1, "colour_transfer": 1}
    tags["pixel_aspect"] = Fraction(4, 3)
    clip = write(tmp_path / "in.mp4", sound=True, matrix=quarter, tags=tags)
    copy(clip, tmp_path / "out.mp4")
    with VideoSource(clip) as before, VideoSource(tmp_path / "out.mp4") as after:
        assert replace(after.format, rate=before.format.rate) == before.format  # the last frame's length is a guess
        assert after.format.display_matrix == quarter
        assert (after.format.colour_range, after.format.pixel_aspect) == (2, Fraction(4, 3))
    assert sound(tmp_path / "out.mp4") == sound(clip)
    assert len(sound(clip)) > 10


def test_sound_that_a_container_cannot_hold_is_reported(tmp_path):
    sink = copy(write(tmp_path / "in.mp4", sound=True), tmp_path / "out.webm")
    assert sink.notes == ["webm cannot hold the aac sound: left out (try .mkv)"]


def test_times_that_lie_are_put_right():
    def put_right(*times):
        return [time for time, _ in rising(((time, None) for time in times), 10)]

    assert put_right(1, 2, 4, 3, 5, 7, 6) == [1, 2, 3, 4, 5, 6, 7]
    assert put_right(0, 9000, 11999, 9000, 21001) == [0, 9000, 9001, 11999, 21001]
    assert put_right(None, None, 20, None) == [0, 10, 20, 30]
    assert put_right(-5, 7, 8) == [-5, 7, 8]
    assert put_right() == []


def broken(tmp_path: Path) -> dict[str, Path]:
    clip = write(tmp_path / "whole.mp4", times=[1250 * i for i in range(15)])
    files = {name: tmp_path / f"{name}.mp4" for name in ("truncated", "text", "empty")}
    data = clip.read_bytes()
    files["truncated"].write_bytes(data[: len(data) - 200])
    files["text"].write_text("this is not a video")
    files["empty"].write_bytes(b"")
    files["missing"] = tmp_path / "missing.mp4"
    files["sound only"] = _tone(tmp_path / "sound.mp4")
    return files


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("truncated", "truncated: only"),
        ("text", "cannot be opened"),
        ("empty", "cannot be opened"),
        ("missing", "cannot be opened"),
        ("sound only", "no video"),
    ],
)
def test_files_that_are_no_whole_video(tmp_path, name, message):
    path = broken(tmp_path)[name]
    with pytest.raises(MediaError, match=message) as caught, VideoSource(path):
        pass
    assert str(caught.value).startswith(str(path))
    assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_a_file_that_stops_half_way_is_no_short_clip(tmp_path, suffix):
    clip = tmp_path / f"in{suffix}"
    copy(write(tmp_path / "in.mp4", times=[1250 * i for i in range(96)]), clip)
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    with VideoSource(clip) as source, pytest.raises(MediaError, match=r"truncated: it ends after"):
        list(source.frames())


def test_an_output_is_whole_or_not_there(tmp_path):
    clip = write(tmp_path / "in.mp4")
    out = tmp_path / "out.mp4"

    def fail():
        with VideoSource(clip) as source, VideoSink(out, source.format) as sink:
            for number, (ticks, frame) in enumerate(source.frames()):
                if number == 5:
                    raise KeyError("power cut")
                sink.write(frame, ticks)

    with pytest.raises(KeyError, match="power cut"):
        fail()
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]
    out.write_bytes(b"an older result")
    with pytest.raises(KeyError):
        fail()
    assert out.read_bytes() == b"an older result"


@pytest.mark.parametrize("out", ["out.xyz", "out", "nowhere/out.mp4"])
def test_an_output_that_cannot_be(tmp_path, out):
    clip = write(tmp_path / "in.mp4")
    with pytest.raises(MediaError, match="cannot be written"):
        copy(clip, tmp_path / out)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_source_that_is_closed_while_it_is_read_ends(tmp_path):
    source = VideoSource(write(tmp_path / "in.mp4"))
    with source:
        frames = source.frames()
        next(frames)
    assert len(list(frames)) < len(UNEVEN)
    source.close()


def test_steady_frames_of_any_encoding_can_be_written(tmp_path):
    image = np.full((48, 64, 3), 120, np.uint8)
    form = VideoFormat(64, 48, Fraction(24), Fraction(1, 24))
    with VideoSink(tmp_path / "out.mp4", form) as sink:
        layouts = [Encoding.JPEG, Encoding.BGR8, Encoding.RGB8, Encoding.GRAY8, Encoding.I420, Encoding.NV12]
        for ticks, encoding in enumerate(layouts):
            sink.write(encode(image, encoding), ticks)
    with VideoSource(tmp_path / "out.mp4") as source:
        means = [np.mean(frame.image) for _, frame in source.frames()]
    assert len(means) == 6
    assert max(abs(mean - 120) for mean in means) < 4
