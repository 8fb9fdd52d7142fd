"""H.264 and H.265 through the socket: real encoders before the server, real decoders behind it."""

from __future__ import annotations

from fractions import Fraction
from itertools import islice

import av
import grpc
import numpy as np
import pytest
from av.codec.context import CodecContext
from av.video.frame import VideoFrame

from flowgimbal.client import Encoding
from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.key import is_key
from flowgimbal.v1 import stabilizer_pb2 as pb

ENCODINGS = {"h264": pb.ENCODING_H264, "hevc": pb.ENCODING_HEVC}
ENCODERS = {"h264": "libx264", "hevc": "libx265"}
QUIET = {"h264": {}, "hevc": {"x265-params": "log-level=none:pools=none"}}
COUNT = 30


def pictures(width: int = 320, height: int = 180, count: int = COUNT) -> list[VideoFrame]:
    with av.open(str(BUNDLED_CLIP)) as clip:
        return [frame.reformat(width, height, "yuv420p") for frame in islice(clip.decode(video=0), count)]


def encode(family: str, frames: list[VideoFrame], full: bool = False, **options: str) -> list[tuple[int, bytes]]:
    """(number in the order of presentation, access unit), in the order of decoding."""
    context = CodecContext.create(ENCODERS[family], "w")
    context.width, context.height, context.pix_fmt = frames[0].width, frames[0].height, "yuv420p"
    context.time_base = Fraction(1, 30)
    context.color_range = 2 if full else 1
    context.options = {"preset": "ultrafast", "crf": "16"} | QUIET[family] | options
    units = []
    for number, frame in enumerate([*frames, None]):
        if frame is not None:
            frame.pts, frame.time_base, frame.pict_type = number, context.time_base, 0
        units += [(packet.pts, bytes(packet)) for packet in context.encode(frame)]
    return units


def decode(family: str, units: list[bytes]) -> list[VideoFrame]:
    context = CodecContext.create(family, "r")
    return [frame for unit in [*units, None] for frame in context.decode(av.Packet(unit) if unit else None)]


def requests(wire, family: str, units: list[tuple[int, bytes]]) -> list[pb.StreamRequest]:
    return [
        wire.frame(number, unit, encoding=ENCODINGS[family], capture_time_ns=shown * 33_333_333)
        for number, (shown, unit) in enumerate(units)
    ]


def distance(ours: VideoFrame, theirs: VideoFrame) -> float:
    """Grey levels RMS, of the luma."""
    difference = ours.to_ndarray(format="gray").astype(float) - theirs.to_ndarray(format="gray")
    return float(np.sqrt(np.mean(difference**2)))


@pytest.mark.parametrize("family", ENCODINGS)
@pytest.mark.parametrize("b_frames", [False, True])
def test_units_in_units_out(client, wire, family, b_frames):
    frames = pictures()
    options = {"bf": "3", "preset": "fast"} if b_frames else {"tune": "zerolatency"}
    units = encode(family, frames, **options)
    assert b_frames == ([shown for shown, _ in units] != sorted(shown for shown, _ in units))
    # The identity engine at strength 0: what comes back is what was sent, but for the coding.
    sent = [wire.lossless(smoothing_strength=0, max_crop_ratio=0), *requests(wire, family, units)]
    steady = client.exchange(sent)
    assert len(steady) == COUNT
    assert [f.frame.capture_time_ns for f in steady] == [shown * 33_333_333 for shown in range(COUNT)]
    assert {f.frame.frame_id for f in steady} == set(range(COUNT))
    assert {(f.frame.encoding, f.frame.width, f.frame.height) for f in steady} == {(ENCODINGS[family], 320, 180)}
    shown = decode(family, [f.frame.data for f in steady])
    assert len(shown) == COUNT
    assert max(distance(a, b) for a, b in zip(shown, frames, strict=True)) < 4
    assert shown[0].key_frame


def test_units_of_one_family_become_those_of_another(client, wire):
    frames = pictures()
    units = encode("h264", frames, tune="zerolatency")
    steady = client.exchange([wire.lossless(output_encoding=pb.ENCODING_HEVC), *requests(wire, "h264", units)])
    assert len(decode("hevc", [f.frame.data for f in steady])) == COUNT


@pytest.mark.parametrize("full", [False, True])
def test_colours_keep_their_meaning(client, wire, full):
    (frame,) = pictures(count=1)
    frame = frame.reformat(dst_color_range=2 if full else 1, src_color_range=1)
    frame.color_range = 2 if full else 1
    units = encode("h264", [frame], full, tune="zerolatency")
    same = client.exchange([wire.lossless(max_crop_ratio=0), *requests(wire, "h264", units)])
    (shown,) = decode("h264", [same[0].frame.data])
    assert (shown.color_range == 2) is full  # narrow is what a stream that says nothing means
    assert distance(shown, frame) < 4
    still = client.exchange(
        [wire.lossless(max_crop_ratio=0, output_encoding=pb.ENCODING_JPEG), *requests(wire, "h264", units)]
    )
    (jpeg,) = decode("mjpeg", [still[0].frame.data])
    expected = frame.reformat(format="bgr24").to_ndarray().astype(float)
    found = jpeg.reformat(format="bgr24", src_color_range=2, dst_color_range=2).to_ndarray().astype(float)
    assert np.abs(found - expected).mean() < 4


def test_a_jpeg_becomes_h264(client, wire):
    sent = [wire.lossless(output_encoding=pb.ENCODING_H264, max_crop_ratio=0), *(wire.frame(i) for i in range(3))]
    steady = client.exchange(sent)
    assert [(f.frame.encoding, f.frame.width) for f in steady] == [(pb.ENCODING_H264, 160)] * 3
    shown = decode("h264", [f.frame.data for f in steady])
    assert len(shown) == 3
    assert shown[0].color_range == 2
    expected = wire.picture().astype(float)
    found = shown[0].reformat(format="bgr24", src_color_range=2, dst_color_range=2).to_ndarray().astype(float)
    assert np.abs(found - expected).mean() < 6


@pytest.mark.parametrize("size", [(161, 96), (97, 55)])
def test_odd_sizes_are_kept(client, wire, size):
    sent = [wire.lossless(output_encoding=pb.ENCODING_H264), *(wire.gray(i, *size) for i in range(2))]
    shown = decode("h264", [f.frame.data for f in client.exchange(sent)])
    assert [(frame.width, frame.height) for frame in shown] == [size] * 2


def test_rate_and_key_frames_are_as_wished(client, wire):
    frames = pictures(640, 360, 60)
    units = encode("h264", frames, tune="zerolatency")
    sizes = {}
    for rate in (300_000, 3_000_000):
        wish = wire.lossless(output_bit_rate=rate, key_frame_interval=10)
        steady = client.exchange([wish, *requests(wire, "h264", units)])
        shown = decode("h264", [f.frame.data for f in steady])
        assert [number for number, frame in enumerate(shown) if frame.key_frame] == list(range(0, 60, 10))
        sizes[rate] = 8 * sum(len(f.frame.data) for f in steady) / 2
        assert 0.5 * rate < sizes[rate] < 1.5 * rate


@pytest.mark.parametrize("target", ENCODINGS)
@pytest.mark.parametrize("family", ENCODINGS)
def test_user_data_travels_with_its_picture(client, wire, family, target):
    """In the syntax of the one that comes back: a unit's kind in one standard is another's in the other."""
    units = encode(family, pictures(count=6), tune="zerolatency")
    headers = {"h264": b"\0\0\0\1\x06", "hevc": b"\0\0\0\1\x4e\x01"}
    notes = [b"\x05\x11" + bytes(range(20, 36)) + bytes([65 + i]) + b"\x80" for i in range(6)]
    marked = [(shown, headers[family] + note + unit) for (shown, unit), note in zip(units, notes, strict=True)]
    wish = wire.lossless(look_ahead_frames=3, output_encoding=ENCODINGS[target])
    steady = client.exchange([wish, *requests(wire, family, marked)])
    for f, note in zip(steady, notes, strict=True):
        assert headers[target] + note in f.frame.data
    assert len(decode(target, [f.frame.data for f in steady])) == 6
    assert is_key(steady[0].frame.data, Encoding(target))


@pytest.mark.parametrize("family", ENCODINGS)
@pytest.mark.parametrize("rate", [10, 60])
def test_the_bit_rate_is_met_at_other_frame_rates(client, wire, family, rate):
    shown = pictures(count=100)
    sent = [wire.lossless(output_bit_rate=500_000, output_encoding=ENCODINGS[family], look_ahead_frames=0)]
    for number in range(4 * rate):
        picture = shown[number % len(shown)]
        data = picture.to_ndarray(format="yuv420p").tobytes()
        size = {"width": picture.width, "height": picture.height}
        time_ns = number * 1_000_000_000 // rate
        sent.append(wire.frame(number, data, encoding=pb.ENCODING_I420, capture_time_ns=time_ns, **size))
    steady = client.exchange(sent)
    late = [f.frame.data for f in steady[2 * rate :]]
    assert 0.5 * 500_000 < 8 * sum(map(len, late)) / 2 < 1.5 * 500_000


def test_a_live_stream_may_begin_in_mid_air_and_lose_and_damage_units(client, wire):
    units = encode("h264", pictures(count=60), tune="zerolatency", g="20")
    stream = client.stream(wire.config(look_ahead_frames=0))
    stream.info()
    lost, damaged = {25, 26, 33}, {28, 45}
    returned = []
    for number, request in enumerate(requests(wire, "h264", units)):
        if number < 7 or number in lost:
            if number < 7 and number > 2:
                stream.send(request)  # before the first key frame: nothing can be made of them
            continue
        if number in damaged:
            data = bytearray(request.frame.data)
            data[len(data) // 2 :] = b"\x55" * (len(data) - len(data) // 2)
            request.frame.data = bytes(data)
        stream.send(request)
        # A damaged unit may give a picture or none: each other one is waited for by name, for a live server takes
        # the newest picture, and what lies unread is what it would leave out.
        while number >= 20 and number not in damaged and (not returned or returned[-1].frame.frame_id < number):
            returned.append(next(stream.call).frame)
    stream.half_close()
    returned += stream.frames()
    ids = [f.frame.frame_id for f in returned]
    assert ids == sorted(ids)
    assert ids[0] == 20
    assert set(range(20, 60)) - lost - damaged <= set(ids)
    last = returned[-1].stats
    assert last.frames_received == last.frames_dropped + len(ids)
    assert len(decode("h264", [f.frame.data for f in returned])) == len(ids)


def test_a_live_stream_that_is_too_fast_loses_pictures_and_no_reference(launch, connect, wire):
    server = launch(engine="cpu")
    frames = pictures(1280, 720, 60)
    units = encode("h264", frames, tune="zerolatency")
    stream = connect(server.address).stream(wire.config(look_ahead_frames=0, smoothing_strength=0, max_crop_ratio=0))
    stream.info()
    returned = []
    for begin in range(0, 60, 6):
        stream.send(*requests(wire, "h264", units)[begin : begin + 6])
        returned += stream.frames(1)
    stream.half_close()
    returned += stream.frames()
    ids = [f.frame.frame_id for f in returned]
    assert ids == sorted(ids)
    assert len(ids) < 60
    assert returned[-1].stats.frames_dropped == 60 - len(ids)
    # Were a unit left out, what follows would be decoded from the wrong picture.
    for f, shown in zip(returned, decode("h264", [f.frame.data for f in returned]), strict=True):
        assert distance(shown, frames[f.frame.frame_id]) < 8, f.frame.frame_id


def test_a_new_size_begins_a_new_sequence(client, wire):
    small = encode("h264", pictures(160, 96, 5), tune="zerolatency")
    large = encode("h264", pictures(320, 192, 5), tune="zerolatency")
    steady = client.exchange([wire.lossless(look_ahead_frames=2), *requests(wire, "h264", small + large)])
    sizes = [(f.frame.width, f.frame.height) for f in steady]
    assert sizes == [(160, 96)] * 5 + [(320, 192)] * 5
    assert [frame.width for frame in decode("h264", [f.frame.data for f in steady])] == [160] * 5 + [320] * 5


def test_a_lossless_stream_ends_at_a_damaged_unit(client, wire):
    units = [unit for _, unit in encode("h264", pictures(count=3), tune="zerolatency")]
    stream = client.stream(
        wire.lossless(), *(wire.frame(i, d, encoding=pb.ENCODING_H264) for i, d in enumerate([*units, b"nothing"]))
    )
    refusal = stream.error()
    assert (refusal.code, refusal.info.reason) == (grpc.StatusCode.DATA_LOSS, "FRAME_UNDECODABLE")
    assert "key frame" in refusal.message
