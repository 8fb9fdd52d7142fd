"""What the soak of ``flowgimbal live`` makes of what it sees."""

from __future__ import annotations

import os
import socket
from fractions import Fraction
from pathlib import Path

import av
import pytest
from bars import delay_kept, nothing_grew, pictures_kept
from roads import TICKS, clock_offset, cut, timed, times
from tap import Passed, Tap, delays
from watch import Held, Watch

RATE = 30
STEP = TICKS // RATE


def passed(numbers: range, delay: float = 0.0, growth: float = 0.0) -> list[Passed]:
    """Pictures of a steady camera; ``growth`` is what the delay gains [s/s]."""
    return [Passed(n * STEP, n / RATE * (1 + growth) + delay) for n in numbers]


def test_delays_are_those_of_the_same_picture():
    """Stamps begin anywhere, may be rounded by a tick, and pictures are lost at both ends and between."""
    before = passed(range(900))
    after = [Passed(one.stamp - 20 * STEP - one.stamp % 2, one.at) for one in passed(range(20, 890), delay=0.02)]
    del after[100:110]
    found = delays(before, after, RATE)
    assert len(found) == 860
    assert [delay for _, delay in found] == pytest.approx([0.02] * 860)


def test_a_tap_passes_on_what_it_notes():
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as camera,
    ):
        end.bind(("127.0.0.1", 0))
        end.settimeout(10)
        tap = Tap(end.getsockname()[1])
        stamps = [2**32 - STEP, 2**32 - STEP, 0, STEP]
        for marker, stamp in zip((0, 0x80, 0x80, 0x80), stamps, strict=True):
            packet = bytes([0x80, marker | 96, 0, 0]) + stamp.to_bytes(4) + bytes(4) + b"picture"
            camera.sendto(packet, ("127.0.0.1", tap.port))
            assert end.recv(2000) == packet
        assert [one.stamp for one in tap.passed[:2]] == [0, STEP]  # the last may be noted in a moment


def movie(path: Path, begin: int, numbers: range) -> Path:
    """Pictures of one brightness each, a key frame every ten, their times from ``begin`` on [1/90000 s]."""
    with av.open(str(path), "w", format="mpegts") as out:
        stream = out.add_stream("libx264", rate=RATE, options={"preset": "ultrafast", "g": "10", "bf": "0", "crf": "1"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, TICKS)
        for number in numbers:
            picture = av.VideoFrame(64, 48, "yuv420p")
            for plane in picture.planes:
                plane.update(bytes([16 + number]) * plane.buffer_size)
            picture.pts, picture.time_base = begin + number * STEP, Fraction(1, TICKS)
            out.mux(stream.encode(picture))
        out.mux(stream.encode())
    return path


def test_two_recordings_are_laid_over_each_other_by_their_pictures(tmp_path):
    recorded = movie(tmp_path / "recorded.ts", 90_000, range(100))
    received = movie(tmp_path / "received.ts", 7_000_000, range(30, 100))
    assert clock_offset(received, recorded) == 90_000 - 7_000_000
    other = movie(tmp_path / "other.ts", 0, range(150, 200))
    with pytest.raises(ValueError, match="no picture in common"):
        clock_offset(other, recorded)


def test_a_part_begins_with_a_key_frame_and_its_times_at_zero(tmp_path):
    recorded = movie(tmp_path / "recorded.ts", 90_000, range(100))
    part, zero = cut(recorded, 1.0, tmp_path / "part.mkv")
    first = [time for time, _ in timed(part)]
    assert (zero - 90_000) % (10 * STEP) == 0
    assert 30 <= len(first) < 42
    assert first[0] == 0
    assert len(times(recorded)) == 100


def met(bars) -> list[bool]:
    return [bar.met for bar in bars]


def test_what_is_lost_and_what_goes_back_is_told():
    sent, read = passed(range(3600)), [n * STEP for n in range(3600)]
    whole = passed(range(3600), delay=0.05)
    assert met(pictures_kept(sent, whole, read)) == [True, True, True]
    assert met(pictures_kept(sent, whole[::2], read[::2])) == [False, False, True]
    assert met(pictures_kept(sent, whole, read[:1000] + read[1100:])) == [True, False, True]
    assert met(pictures_kept(sent, whole, read[1800:])) == [True, True, True]
    whole[2000] = Passed(whole[1999].stamp, whole[2000].at)
    assert met(pictures_kept(sent, whole, read)) == [True, True, False]


def test_a_delay_that_grows_is_told():
    sent = passed(range(9000))
    assert met(delay_kept(sent, passed(range(9000), delay=0.03), 300)) == [True]
    assert met(delay_kept(sent, passed(range(9000), delay=0.03, growth=1e-3), 300)) == [False]


@pytest.mark.parametrize(
    ("last", "verdict"),
    [
        ((105.0, 21, 25), [False, True, True]),
        ((101.0, 23, 25), [True, False, True]),
        ((101.0, 22, 26), [True, True, False]),
    ],
)
def test_what_grows_is_told(last, verdict):
    watch = Watch(os.getpid())
    watch.samples = [Held(n, 100.0, 20, 25) for n in range(18)] + [Held(n, *last) for n in range(18, 20)]
    assert met(nothing_grew(watch)) == verdict
