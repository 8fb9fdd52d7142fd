"""Sinks of ``flowgimbal live``: slow ones, failing ones, and what they leave behind."""

from __future__ import annotations

import threading
from fractions import Fraction
from itertools import pairwise

import av
import pytest
from av.codec.context import CodecContext
from av.video.frame import VideoFrame

from flowgimbal.client import Encoding
from flowgimbal.client.errors import MediaError
from flowgimbal.client.key import is_key
from flowgimbal.client.live import fan as fans
from flowgimbal.client.live.fan import Fan
from flowgimbal.client.sinks.mux import MuxSink
from flowgimbal.client.sinks.shot import Shot

S = 1_000_000_000


class Slow:
    """A sink that writes when it is allowed to, and fails when told to."""

    def __init__(self, name: str = "slow") -> None:
        self.name = name
        self.gate = threading.Semaphore(0)
        self.fails = False
        self.shots: list[int] = []

    def write(self, shot: Shot) -> None:
        assert self.gate.acquire(timeout=60)
        if self.fails:
            raise MediaError(f"{self.name}: full")
        self.shots.append(shot.time_ns)

    def close(self) -> None:
        self.shots.append(-1)


def shot(time_ns: int, key: bool = False) -> Shot:
    return Shot(b"", Encoding.H264, 64, 48, time_ns, key)


def test_a_slow_sink_loses_whole_groups_and_holds_up_nobody(monkeypatch):
    monkeypatch.setattr(fans, "ROOM", 2)
    slow, fast = Slow(), Slow("fast")
    fast.gate.release(1000)
    fan = Fan([slow, fast])
    sent = threading.Event()
    for time_ns in range(1, 31):
        assert fan.put(shot(time_ns, key=time_ns % 10 == 1))
        while len(fast.shots) < time_ns:
            assert not sent.wait(0.001)
    assert not fan.put(shot(30))  # sent twice
    slow.gate.release(1000)
    fan.close()
    assert fast.shots == [*range(1, 31), -1]
    assert slow.shots[-1] == -1
    assert slow.shots[:3] == [1, 2, 3]
    assert all(later % 10 == 1 or later == earlier + 1 for earlier, later in pairwise(slow.shots[:-1]))
    assert fan.outlets[0].written + fan.outlets[0].left_out == 30


def test_a_sink_that_fails_is_tried_again_at_a_key_frame(monkeypatch, caplog):
    monkeypatch.setattr(fans, "RETRY_SECONDS", 0.0)
    sink = Slow()
    sink.gate.release(1000)
    sink.fails = True
    with caplog.at_level("INFO", "flowgimbal.client"):
        fan = Fan([sink])
        (outlet,) = fan.outlets
        pause = threading.Event()
        for time_ns, key in ((1, True), (2, False), (3, True)):
            fan.put(shot(time_ns, key))
        while outlet.left_out < 3:
            assert not pause.wait(0.001)
        sink.fails = False
        for time_ns, key in ((4, False), (5, True), (6, False)):
            fan.put(shot(time_ns, key))
        fan.close()
    assert sink.shots == [5, 6, -1]
    said = [record.message for record in caplog.records]
    assert [line.split(":")[0] for line in said] == ["a sink fails", "slow"]


@pytest.mark.parametrize(
    ("encoder", "encoding"), [("libx264", Encoding.H264), ("libx265", Encoding.HEVC), (None, Encoding.JPEG)]
)
def test_key_frames_are_told_apart(encoder, encoding):
    if encoder is None:
        assert is_key(b"\xff\xd8", encoding)
        return
    context = CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt, context.time_base = 64, 64, "yuv420p", Fraction(1, 30)
    context.options = {"preset": "ultrafast", "tune": "zerolatency", "g": "3", "x265-params": "log-level=none"}
    if encoder == "libx264":
        del context.options["x265-params"]
    found = []
    for number in range(7):
        frame = VideoFrame(64, 64, "yuv420p")
        frame.pts = number
        found += [(is_key(bytes(packet), encoding), packet.is_keyframe) for packet in context.encode(frame)]
    assert len(found) == 7
    assert all(ours == theirs for ours, theirs in found)
    assert not is_key(b"", encoding)


def test_a_sink_of_raw_pictures_is_refused(tmp_path):
    sink = MuxSink(str(tmp_path / "out.mkv"))
    with pytest.raises(MediaError, match="takes compressed pictures"):
        sink.write(Shot(bytes(96), Encoding.I420, 8, 8, 0, True))
    sink.close()


def test_a_recording_that_fails_again_and_again_leaves_one_file(tmp_path, monkeypatch):
    clip = [bytes(packet) for packet in units_of_h264(3)]
    sink = MuxSink(str(tmp_path / "out.ts"))
    for attempt in range(5):
        sink.write(Shot(clip[0], Encoding.H264, 64, 48, attempt * S, True))
        sink._out.drop()  # as after a write that failed
    assert [path.name for path in tmp_path.iterdir()] == ["out.ts"]
    monkeypatch.setattr("flowgimbal.client.sinks.output.LEAST", 1)
    sink.write(Shot(clip[0], Encoding.H264, 64, 48, 9 * S, True))
    sink.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out-2.ts", "out.ts"]


def test_a_recording_begins_at_zero(tmp_path):
    """A camera counts from when it was switched on, days ago; raw and steady recordings agree all the same."""
    day = 5 * 24 * 3600 * S
    sink = MuxSink(str(tmp_path / "out.mkv"))
    for number, packet in enumerate(units_of_h264(3)):
        sink.write(
            Shot(bytes(packet), Encoding.H264, 64, 48, day + number * S // 10, not number, start_ns=day - S // 2)
        )
    sink.close()
    with av.open(str(tmp_path / "out.mkv")) as container:
        times = [float(packet.pts * packet.time_base) for packet in container.demux(video=0) if packet.size]
    assert times == pytest.approx([0.5, 0.6, 0.7])


def units_of_h264(count: int) -> list[av.Packet]:
    context = CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt, context.time_base = 64, 48, "yuv420p", Fraction(1, 30)
    context.options = {"preset": "ultrafast", "tune": "zerolatency"}
    pictures = [VideoFrame(64, 48, "yuv420p") for _ in range(count)]
    for number, picture in enumerate(pictures):
        picture.pts = number
    return [packet for picture in pictures for packet in context.encode(picture)]
