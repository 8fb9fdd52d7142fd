"""What comes back: every encoding in and out, order, sizes, the look-ahead's flush."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowgimbal.v1 import stabilizer_pb2 as pb

RAW = {
    pb.ENCODING_BGR8: lambda w, h: w * h * 3,
    pb.ENCODING_RGB8: lambda w, h: w * h * 3,
    pb.ENCODING_NV12: lambda w, h: w * h + 2 * ((w + 1) // 2) * ((h + 1) // 2),
    pb.ENCODING_I420: lambda w, h: w * h + 2 * ((w + 1) // 2) * ((h + 1) // 2),
    pb.ENCODING_GRAY8: lambda w, h: w * h,
}


@pytest.mark.parametrize("size", [(160, 96), (161, 97), (2, 2), (1, 1)])
@pytest.mark.parametrize("encoding", RAW, ids=pb.Encoding.Name)
def test_raw_frames_pass_untouched_at_strength_0(client, wire, encoding, size):
    rng = np.random.default_rng(1)
    pictures = [rng.bytes(RAW[encoding](*size)) for _ in range(3)]
    frames = [
        wire.frame(i, data, encoding=encoding, width=size[0], height=size[1], capture_time_ns=7 * i)
        for i, data in enumerate(pictures)
    ]
    returned = client.exchange([wire.lossless(smoothing_strength=0), *frames])
    assert [f.frame.data for f in returned] == pictures
    assert [(f.frame.frame_id, f.frame.capture_time_ns) for f in returned] == [(0, 0), (1, 7), (2, 14)]
    assert {(f.frame.encoding, f.frame.width, f.frame.height, f.frame.stride) for f in returned} == {
        (encoding, *size, 0)
    }
    assert [list(f.transform) for f in returned] == [[1, 0, 0, 0, 1, 0, 0, 0, 1]] * 3


@pytest.mark.parametrize("output", [*RAW, pb.ENCODING_JPEG], ids=pb.Encoding.Name)
@pytest.mark.parametrize("encoding", [pb.ENCODING_JPEG, pb.ENCODING_BGR8, pb.ENCODING_NV12], ids=pb.Encoding.Name)
def test_any_encoding_comes_back_as_any_other(client, wire, encoding, output):
    width, height = 160, 96
    if encoding == pb.ENCODING_JPEG:
        sent = wire.frame(1)
    else:
        sent = wire.frame(1, bytes(RAW[encoding](width, height)), encoding=encoding, width=width, height=height)
    (returned,) = client.exchange([wire.lossless(output_encoding=output), sent])
    assert returned.frame.encoding == output
    assert (returned.frame.width, returned.frame.height) == (width, height)
    if output == pb.ENCODING_JPEG:
        decoded = cv2.imdecode(np.frombuffer(returned.frame.data, np.uint8), cv2.IMREAD_COLOR)
        assert decoded.shape == (height, width, 3)
    else:
        assert len(returned.frame.data) == RAW[output](width, height)


def test_padded_rows_come_back_packed(client, wire):
    packed = wire.picture(50, 20)
    padded = np.zeros((20, 160), np.uint8)
    padded[:, :150] = packed.reshape(20, 150)
    sent = wire.frame(1, padded.tobytes(), encoding=pb.ENCODING_BGR8, width=50, height=20, stride=160)
    (returned,) = client.exchange([wire.lossless(smoothing_strength=0), sent])
    assert returned.frame.data == packed.tobytes()


@pytest.mark.parametrize("look_ahead", [0, 1, 15, 60])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_every_frame_comes_back_in_order(client, wire, look_ahead, count):
    ids = [3 * i + 10 for i in range(count)]
    returned = client.exchange([wire.lossless(look_ahead_frames=look_ahead), *(wire.gray(i) for i in ids)])
    assert [f.frame.frame_id for f in returned] == ids


def test_info_tells_what_was_resolved(client, wire):
    stream = client.stream(wire.lossless())
    info = stream.info()
    stream.half_close()
    assert stream.frames() == []
    assert info.stream_id
    assert info.latency_frames == info.config.look_ahead_frames == 15
    assert info.engine == "identity"
    assert info.config.output_quality == 90
    assert info.config.crop_policy == pb.CROP_POLICY_FIXED
    stream = client.stream(wire.config())
    assert stream.info().latency_frames == 0
    stream.half_close()
    assert stream.frames() == []


def test_latency_frames_is_enough_for_a_lock_step_client(client, wire):
    stream = client.stream(wire.lossless(look_ahead_frames=4))
    ahead = stream.info().latency_frames
    stream.send(*(wire.gray(i) for i in range(ahead)))
    for i in range(ahead, ahead + 5):
        stream.send(wire.gray(i))
        assert [f.frame.frame_id for f in stream.frames(1)] == [i - ahead]
    stream.half_close()
    assert len(stream.frames()) == ahead


def test_a_change_of_size_flushes_and_starts_anew(client, wire):
    small = [wire.gray(i, 64, 48) for i in range(5)]
    large = [wire.gray(i, 96, 80) for i in range(5, 10)]
    returned = client.exchange([wire.lossless(look_ahead_frames=3), *small, *large, wire.gray(10, 64, 48)])
    assert [f.frame.frame_id for f in returned] == list(range(11))
    assert [f.frame.width for f in returned] == [64] * 5 + [96] * 5 + [64]


def test_encodings_may_mix_in_one_stream(client, wire):
    returned = client.exchange([wire.lossless(), wire.frame(1), wire.gray(2), wire.frame(3)])
    encodings = [f.frame.encoding for f in returned]
    assert encodings == [pb.ENCODING_JPEG, pb.ENCODING_GRAY8, pb.ENCODING_JPEG]


def test_stats_add_up(client, wire):
    returned = client.exchange([wire.lossless(look_ahead_frames=2), *(wire.frame(i) for i in range(6))])
    for stats in (f.stats for f in returned):
        parts = stats.queue_ns + stats.decode_ns + stats.flow_ns + stats.warp_ns + stats.encode_ns
        assert stats.total_ns == parts
        assert min(stats.decode_ns, stats.flow_ns, stats.warp_ns, stats.encode_ns) > 0
        assert stats.frames_dropped == 0
    assert returned[-1].stats.frames_received == 6


def test_live_drops_the_oldest_and_counts_them(client, wire):
    frames = [wire.frame(i, wire.jpeg(1000, 900)) for i in range(40)]
    returned = client.exchange([wire.config(), *frames])
    ids = [f.frame.frame_id for f in returned]
    assert ids == sorted(ids)
    assert ids[-1] == 39
    last = returned[-1].stats
    assert (last.frames_received, last.frames_dropped) == (40, 40 - len(ids))


def test_server_info(client):
    info = client.stub.GetServerInfo(pb.GetServerInfoRequest())
    assert info.engine == "identity"
    assert info.version
    every = set(pb.Encoding.values()) - {pb.ENCODING_UNSPECIFIED}
    assert set(info.input_encodings) == every == set(info.output_encodings)
    assert (info.max_streams, info.max_frame_pixels, info.max_message_bytes) == (16, 1_000_000, 4_000_000)
    assert info.active_streams == 0
    assert info.idle_timeout_seconds == 30
