"""Sources of ``flowgimbal live``: they go away and come back, are held back, and their metadata goes along."""

from __future__ import annotations

import asyncio
import threading
from itertools import count

import av
import pytest

from flowgimbal.client import Encoding, StreamSettings
from flowgimbal.client.errors import MediaError
from flowgimbal.client.live.backlog import Backlog
from flowgimbal.client.live.intake import Intake
from flowgimbal.client.live.metadata import Metadata
from flowgimbal.client.live.relay import Relay
from flowgimbal.client.sources.choose import live_source
from flowgimbal.client.sources.opening import session_description
from flowgimbal.client.sources.unit import Klv, Unit

S = 1_000_000_000


def unit(number: int, key: bool = True, time_ns: int | None = None) -> Unit:
    return Unit(bytes([number]), Encoding.H264, 64, 48, time_ns, key)


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
