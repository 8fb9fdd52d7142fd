"""The parts of ``flowgimbal live``, each alone."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from fractions import Fraction
from itertools import count, pairwise

import av
import pytest
from av.codec.context import CodecContext
from av.video.frame import VideoFrame

from flowgimbal.client import Encoding, StreamSettings
from flowgimbal.client.errors import MediaError
from flowgimbal.client.key import is_key
from flowgimbal.client.live import backlog as backlogs
from flowgimbal.client.live import fan as fans
from flowgimbal.client.live.backlog import Backlog
from flowgimbal.client.live.clock import JUMP_NS, SourceClock
from flowgimbal.client.live.fan import Fan
from flowgimbal.client.live.intake import Intake
from flowgimbal.client.live.metadata import Metadata
from flowgimbal.client.live.relay import Relay
from flowgimbal.client.sinks.mux import MuxSink
from flowgimbal.client.sinks.shot import Shot
from flowgimbal.client.sources.choose import live_source
from flowgimbal.client.sources.opening import session_description
from flowgimbal.client.sources.pace import paced
from flowgimbal.client.sources.unit import Klv, Unit

S = 1_000_000_000


def unit(number: int, key: bool = True, time_ns: int | None = None) -> Unit:
    return Unit(bytes([number]), Encoding.H264, 64, 48, time_ns, key)


def test_the_clock_is_the_sources_own_while_it_runs_on():
    clock = SourceClock()
    times = [5 * S, 5 * S + 40_000_000, 5 * S + 20_000_000, 6 * S]  # with pictures out of order
    assert [clock.stamp(t, now) for now, t in enumerate(times)] == times


def test_a_restarted_clock_goes_on_where_it_was():
    clock = SourceClock()
    clock.stamp(90 * S, 1 * S)
    clock.restart()
    assert clock.stamp(0, 4 * S) == 93 * S
    assert clock.stamp(1 * S, 5 * S) == 94 * S


def test_a_jump_is_bridged_by_the_time_that_passed():
    clock = SourceClock()
    clock.stamp(0, 0)
    assert clock.stamp(JUMP_NS + 2, S // 25) == S // 25
    assert clock.stamp(JUMP_NS + 2 + S, 2 * S) == S // 25 + S
    assert clock.stamp(None, 3 * S) == S // 25 + 2 * S


def test_units_without_a_time_get_this_machines():
    clock = SourceClock()
    assert [clock.stamp(None, now) for now in (7, 9, 9)] == [7, 9, 10]


def test_recorded_units_are_held_back_until_their_time():
    now, slept = [100 * S], []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        now[0] += round(seconds * 1e9)

    times = [0, None, S // 2, S // 4, S]
    units = [unit(number, time_ns=time_ns) for number, time_ns in enumerate(times)]
    units[4] = replace(units[4], time_ns=9 * S, decode_ns=S)
    assert [u.data[0] for u in paced(units, lambda: now[0], sleep)] == [0, 1, 2, 3, 4]
    assert slept == [0.5, 0.5]


def test_the_backlog_holds_what_a_new_server_needs():
    woken: list[None] = []
    backlog = Backlog(lambda: woken.append(None))
    for number, key in enumerate([True, False, False]):
        backlog.put((number, unit(number, key)))
    assert [backlog.take() for _ in range(4)] == [(0, unit(0)), (1, unit(1, False)), (2, unit(2, False)), None]
    backlog.rewind()
    assert backlog.take() == (0, unit(0))
    backlog.put((3, unit(3)))
    assert backlog.take() == (3, unit(3))
    assert backlog.take() is None
    assert backlog.lost == 2
    assert not backlog.ended
    backlog.end()
    assert backlog.ended
    assert len(woken) == 5


def test_the_backlog_is_bounded_without_key_frames(monkeypatch):
    monkeypatch.setattr(backlogs, "MAX_UNITS", 3)
    backlog = Backlog(lambda: None)
    for number in range(6):
        backlog.put((number, unit(number, key=not number)))
        if number < 2:
            backlog.take()
    assert [backlog.take() for _ in range(4)] == [(3, unit(3, False)), (4, unit(4, False)), (5, unit(5, False)), None]
    assert backlog.lost == 1


def test_what_was_given_up_is_followed_by_a_key_frame():
    backlog = Backlog(lambda: None)
    backlog.put((0, unit(0)))
    backlog.put((1, unit(1, False)))
    backlog.take()
    backlog.skip()
    backlog.put((2, unit(2, False)))
    backlog.rewind()
    assert backlog.take() is None
    assert backlog.lost == 2
    backlog.put((3, unit(3)))
    backlog.put((4, unit(4, False)))
    assert [backlog.take(), backlog.take()] == [(3, unit(3)), (4, unit(4, False))]


def put_all(backlog: Backlog, count: int) -> threading.Thread:
    """Puts units from a thread of their own, a key frame at every tenth."""

    def put() -> None:
        for number in range(count):
            backlog.put((number, unit(number, key=number % 10 == 0)))
        backlog.end()

    thread = threading.Thread(target=put, daemon=True)
    thread.start()
    return thread


def test_a_lossless_backlog_holds_the_source_back_and_loses_nothing():
    news = threading.Event()
    backlog = Backlog(news.set, lossless=True)
    source = put_all(backlog, 60)
    taken = []
    while not backlog.ended:
        assert news.wait(30)
        news.clear()
        while stamped := backlog.take():
            taken.append(stamped[0])
            if taken[-1] == 25 and taken.count(25) == 1:
                backlog.rewind()  # another server: what it needs goes first
    source.join(30)
    assert taken == [*range(26), *range(20, 60)]
    assert backlog.lost == 0


def test_a_source_that_is_held_back_is_let_go():
    backlog = Backlog(lambda: None, lossless=True)
    source = put_all(backlog, 3)
    source.join(0.1)
    assert source.is_alive()
    assert backlog.waiting == 1
    backlog.let_go()
    source.join(30)
    assert not source.is_alive()


def test_a_source_is_not_held_back_over_what_was_given_up():
    backlog = Backlog(lambda: None, lossless=True)
    source = put_all(backlog, 12)
    while not backlog.waiting:
        assert source.is_alive()
    backlog.skip()
    source.join(0.1)
    assert source.is_alive()
    assert backlog.take() == (10, unit(10))
    source.join(30)
    assert backlog.take() == (11, unit(11, False))


def test_a_clock_that_steps_back_goes_on():
    clock = SourceClock()
    now = iter(range(0, 100 * S, S))
    assert [clock.stamp(t, next(now)) for t in (8 * S, 9 * S, 9 * S - S // 2, 0, S)] == [
        8 * S,
        9 * S,
        9 * S - S // 2,  # pictures may be reordered
        9 * S - S // 2 + S,  # another sender on the port
        9 * S - S // 2 + 2 * S,
    ]
    assert clock.stamp(1 << 63, 90 * S) < 1 << 62


class BrokenError(Exception):
    """What a library throws."""


@pytest.mark.parametrize("ends", [True, False])
def test_what_a_source_throws_does_not_end_it_unsaid(monkeypatch, caplog, ends):
    caplog.set_level("INFO")
    monkeypatch.setattr("flowgimbal.client.live.intake.RETRY_SECONDS", (0.01, 0.01))
    opened: list[None] = []

    class Thrower(Flaky):
        def units(self):
            opened.append(None)
            yield unit(len(opened), time_ns=0)
            if len(opened) < 3:
                raise BrokenError("odd")
            threading.Event().wait()

    def source():
        thrower = Thrower([], 0)
        thrower.ends = ends
        return thrower

    backlog = Backlog(lambda: None)
    intake = Intake(source, backlog)
    intake.start()
    if ends:
        intake.join(10)
        assert "odd" in str(intake.failure)
    else:
        for _ in range(1000):
            if intake.units == 3:
                break
            threading.Event().wait(0.01)
        assert intake.units == 3
        assert intake.failure is None
    assert ends or "the source failed: BrokenError('odd')" in caplog.text


class Flaky:
    """A source that can be opened, gives two units, and fails, ``times`` times; then it gives one more."""

    ends = False

    def __init__(self, log: list[str], times: int) -> None:
        self.log, self.times = log, times

    def __enter__(self):
        self.log.append("open")
        return self

    def __exit__(self, *_):
        self.log.append("close")

    def units(self):
        yield unit(len(self.log), time_ns=0)
        if self.log.count("open") <= self.times:
            raise MediaError("gone")
        threading.Event().wait()


def test_a_source_that_goes_away_is_opened_again(monkeypatch, caplog):
    monkeypatch.setattr("flowgimbal.client.live.intake.RETRY_SECONDS", (0.001, 0.002))
    log: list[str] = []
    came = threading.Semaphore(0)
    backlog = Backlog(came.release)
    with caplog.at_level("INFO", "flowgimbal.client"):
        intake = Intake(lambda: Flaky(log, 3), backlog)
        intake.start()
        for _ in range(4):
            assert came.acquire(timeout=30)
    assert log == ["open", "close"] * 3 + ["open"]
    assert intake.units == 4
    assert intake.failure is None
    said = [record.message for record in caplog.records]
    assert sum("the source is gone: gone" in line for line in said) == 3
    assert sum("the source is back" in line for line in said) == 3


def test_a_source_that_cannot_be_opened_at_first_is_a_failure(tmp_path):
    ended = threading.Event()
    intake = Intake(lambda: live_source(str(tmp_path / "none.mp4")), Backlog(ended.set))
    intake.start()
    assert ended.wait(30)
    intake.join(30)
    assert "none.mp4: cannot be opened" in str(intake.failure)


class Ending(Flaky):
    """A source of three units."""

    ends = True

    def units(self):
        yield from (unit(number, not number, number * S) for number in range(3))


class Endless(Flaky):
    """A source that gives units as fast as they are taken, for ever."""

    def units(self):
        for number in count():
            self.log.append("unit")
            yield unit(number % 256, not number % 10, number * S)


def test_a_source_that_is_held_back_is_neither_silent_nor_in_the_way():
    news = threading.Event()
    intake = Intake(lambda: Endless([], 0), Backlog(news.set, lossless=True))
    intake.start()
    assert news.wait(30)
    while intake.units < 2:
        assert intake.is_alive()
    assert intake.last_unit is None
    intake.join(0.1)
    assert intake.units == 2
    intake.stop()
    intake.join(30)
    assert not intake.is_alive()


async def test_a_lossless_relay_without_a_server_ends_when_told():
    log: list[str] = []
    relay = Relay(lambda: Endless(log, 0), [], "127.0.0.1:1", StreamSettings(mode="lossless"))
    running = asyncio.ensure_future(relay.run())
    while log.count("unit") < 2:  # noqa: ASYNC110 - a thread reads it
        await asyncio.sleep(0.01)
    relay.stop()
    await asyncio.wait_for(running, 60)
    while log[-1] != "close":  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_lossless_relay_sends_all_that_a_fast_source_gives(address, echo):
    class Many(Ending):
        def units(self):
            yield from (unit(number % 256, not number % 100, number * S) for number in range(1000))

    relay = Relay(lambda: Many([], 0), [], address, StreamSettings(mode="lossless"))
    await relay.run()
    assert [frame.frame_id for frame in echo.frames] == [*range(1000)]
    assert (relay.returned, relay.dropped, relay.unsent) == (1000, 0, 0)


async def test_the_last_frames_are_counted_even_if_a_server_drops_them(address, echo):
    echo.lost = 2
    relay = Relay(lambda: Ending([], 0), [], address, StreamSettings())
    await relay.run()
    assert (relay.returned, relay.dropped, relay.unsent) == (2, 1, 0)


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


def test_a_session_description_is_read_by_ffmpeg(tmp_path):
    path = tmp_path / "x.sdp"
    path.write_text(session_description("127.0.0.1", 45678, "H265"))
    options = {"protocol_whitelist": "file,udp,rtp", "analyzeduration": "0"}
    with av.open(str(path), format="sdp", options=options, timeout=(0.2, 0.2)) as container:
        (stream,) = container.streams.video
        assert stream.codec_context.name == "hevc"
    assert "IN IP6 ::1" in session_description("::1", 5600, "H264")


def test_folders_and_devices(tmp_path):
    with pytest.raises(MediaError, match="there is no picture in it"), live_source(str(tmp_path)):
        pass
    with pytest.raises(MediaError, match="cannot be opened as a camera"), live_source("/dev/video99"):
        pass
    with pytest.raises(MediaError, match="write rtp://HOST:PORT"), live_source("rtp://nowhere"):
        pass


def test_metadata_goes_out_with_the_first_picture_that_is_not_older():
    metadata = Metadata()
    assert metadata.take(0) is None  # a source without any
    metadata.put(0, ())
    metadata.put(40, (Klv(-5, b"a"), Klv(0, b"b")))
    metadata.put(80, (Klv(0, b"c"),))
    metadata.put(120, (Klv(0, b"d"),))
    assert metadata.take(0) == ()
    assert metadata.take(80) == (Klv(-45, b"a"), Klv(-40, b"b"), Klv(0, b"c"))  # the picture at 40 was dropped
    for time_ns, name in ((40, b"a"), (80, b"c"), (120, b"d")):
        metadata.put(time_ns, (Klv(0, name),))  # a new server is sent all again
    assert metadata.take(200) == (Klv(-80, b"d"),)
    for time_ns in range(1000, 3001):
        metadata.put(time_ns, (Klv(0, b"e"),))
    assert len(metadata.take(4000)) == 1000
