"""What an access unit says of itself, held against what FFmpeg's encoders were told."""

from __future__ import annotations

from fractions import Fraction

import pytest
from av.codec.context import CodecContext
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st

from flowgimbal.server.codecs.access_unit import H264, HEVC, NotAnAccessUnit, read
from flowgimbal.server.codecs.bits import Bits, OutOfBits

SYNTAX = {"libx264": H264, "libx265": HEVC}
QUIET = {"libx264": {}, "libx265": {"x265-params": "log-level=none:pools=none"}}


def units(encoder: str, width: int, height: int, layout: str = "yuv420p", **options: str) -> list[bytes]:
    context = CodecContext.create(encoder, "w")
    context.width, context.height, context.pix_fmt = width, height, layout
    context.time_base = Fraction(1, 30)
    context.options = QUIET[encoder] | {"preset": "ultrafast"} | options
    frames = []
    for number in range(3):
        frame = VideoFrame(width, height, layout)
        for plane in frame.planes:
            plane.update(bytes([40 * number + 20]) * plane.buffer_size)
        frame.pts = number
        frames.append(frame)
    return [bytes(packet) for frame in [*frames, None] for packet in context.encode(frame)]


@pytest.mark.parametrize("encoder", SYNTAX)
@pytest.mark.parametrize("size", [(64, 64), (1920, 1080), (130, 98), (1280, 720), (176, 144), (258, 66)])
def test_the_size_stands_in_the_key_frame_alone(encoder, size):
    key, *others = units(encoder, *size, tune="zerolatency")
    assert read(key, SYNTAX[encoder]).size == size
    assert [read(other, SYNTAX[encoder]).size for other in others] == [None, None]


@pytest.mark.parametrize(
    ("encoder", "layout", "options"),
    [
        ("libx264", "yuv444p", {"tune": "zerolatency"}),
        ("libx264", "yuv422p", {"preset": "slow", "tune": "zerolatency"}),
        ("libx264", "yuv420p", {"x264-params": "interlaced=1:bframes=0:sync-lookahead=0:rc-lookahead=0"}),
        ("libx264", "yuv420p", {"x264-params": "cqm=jvt"}),
        ("libx264", "gray", {"tune": "zerolatency"}),
        ("libx265", "yuv444p", {"tune": "zerolatency"}),
        ("libx265", "yuv420p10le", {"tune": "zerolatency"}),
        ("libx265", "yuv420p", {"x265-params": "log-level=none:pools=none:temporal-layers=3"}),
    ],
)
def test_other_profiles(encoder, layout, options):
    key, *_ = units(encoder, 322, 180, layout, **options)
    assert read(key, SYNTAX[encoder]).size == (322, 180)


@pytest.mark.parametrize("encoder", SYNTAX)
def test_user_data_is_found_whole(encoder):
    key = units(encoder, 64, 64, tune="zerolatency")[0]
    header = {"libx264": b"\x06", "libx265": b"\x4e\x01"}[encoder]
    message = b"\x05\x14" + bytes(range(100, 120)) + b"\x80"
    unit = b"\0\0\0\1" + header + message
    assert SYNTAX[encoder].sei_unit(message) == unit
    plain = read(key, SYNTAX[encoder])
    marked = read(unit + key, SYNTAX[encoder])
    assert marked.user_data == (message, *plain.user_data)
    assert (unit + key)[marked.slice_at :] == key[plain.slice_at :]


def test_other_layers_say_nothing_of_the_base_layer():
    key = units("libx265", 64, 64, tune="zerolatency")[0]
    place = key.index(b"\0\0\1\x42\x01")  # the sequence parameter set
    other = b"\0\0\1\x42\x09" + b"\xff" * 40  # one of layer 1, of another form
    assert read(key[:place] + other + key[place:], HEVC).size == read(key[:place] + key[place:], HEVC).size == (64, 64)
    assert read(key + other, HEVC).size == (64, 64)
    after = key.index(b"\0\0\1", place + 3)
    assert read(key[:after] + other + key[after:], HEVC).size == (64, 64)


@pytest.mark.parametrize("encoder", SYNTAX)
def test_what_is_no_access_unit_is_told_apart(encoder):
    key = units(encoder, 64, 64, tune="zerolatency")[0]
    syntax = SYNTAX[encoder]
    whole = read(key, syntax)
    delimiters = {"libx264": b"\0\0\1\x09\xf0", "libx265": b"\0\0\1\x46\x01\x50"}[encoder] * 300
    for damaged in (b"", b"\0\0\1", b"\xff\xd8" + key, key[: whole.slice_at], key[4:], delimiters + key):
        with pytest.raises(NotAnAccessUnit):
            read(damaged, syntax)
    for length in range(whole.slice_at):
        with pytest.raises(NotAnAccessUnit):
            read(key[:length], syntax)


@pytest.mark.parametrize("encoder", SYNTAX)
@pytest.mark.parametrize("before", [0, 6])
def test_what_comes_before_the_first_slice_is_bounded(encoder, before):
    key = units(encoder, 64, 64, tune="zerolatency")[0]
    padded = key[:before] + bytes(1 << 20) + key[before:]
    with pytest.raises(NotAnAccessUnit, match="start code" if before == 0 else "no slice in its first 1048576 bytes"):
        read(padded, SYNTAX[encoder])


@given(st.binary(max_size=300))
def test_the_parser_survives_anything(tail):
    for syntax, header in ((H264, b"\x67"), (HEVC, b"\x42\x01")):
        for data in (tail, b"\0\0\1" + tail, b"\0\0\1" + header + tail + b"\0\0\1\x65\x01\x01\x01"):
            try:
                unit = read(data, syntax)
            except NotAnAccessUnit:
                continue
            assert unit.size is None or min(unit.size) > 0


def test_exp_golomb():
    bits = Bits(bytes([0b1_010_011_0, 0b0100_0010, 0b1_1000000]))
    assert [bits.unsigned() for _ in range(4)] == [0, 1, 2, 3]
    assert bits.signed() == -2
    with pytest.raises(OutOfBits):
        Bits(b"\0" * 20).unsigned()
