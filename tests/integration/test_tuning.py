"""Settings that change in mid-stream, over the socket."""

from __future__ import annotations

import av
import grpc
import numpy as np
import pytest
from av.codec.context import CodecContext

from flowgimbal.v1 import stabilizer_pb2 as pb

CODE = grpc.StatusCode


def tuning(key_frame: bool = False, **fields: object) -> pb.StreamRequest:
    return pb.StreamRequest(tuning=pb.Tuning(config=pb.StreamConfig(**fields), key_frame=key_frame))


def shown(f: pb.StabilizedFrame) -> float:
    """The part of the picture's width that is shown: one over the enlargement."""
    matrix = np.array(f.transform).reshape(3, 3)
    return float(1 / np.sqrt(np.linalg.det(matrix[:2, :2])))


def answers(client, *requests: pb.StreamRequest) -> tuple[list[pb.StreamInfo], list[pb.StabilizedFrame]]:
    stream = client.stream(*requests)
    stream.half_close()
    responses = list(stream.call)
    infos = [r.info for r in responses if r.WhichOneof("response") == "info"]
    return infos, [r.frame for r in responses if r.WhichOneof("response") == "frame"]


def test_what_is_set_replaces_and_the_rest_stays(client, wire):
    infos, frames = answers(
        client,
        wire.lossless(smoothing_strength=0.5, output_quality=70, look_ahead_frames=2),
        wire.frame(0),
        tuning(smoothing_strength=0.9),
        wire.frame(1),
        tuning(output_quality=20, look_ahead_frames=2),
        wire.frame(2),
    )
    assert [f.frame.frame_id for f in frames] == [0, 1, 2]
    settings = [(round(i.config.smoothing_strength, 3), i.config.output_quality) for i in infos]
    assert settings == [(0.5, 70), (0.9, 70), (0.9, 20)]
    assert len({i.stream_id for i in infos}) == 1
    sizes = [len(f.frame.data) for f in frames]
    assert sizes[2] < 0.8 * sizes[1]


@pytest.mark.parametrize(("before", "after"), [(0.05, 0.3), (0.3, 0.05), (0.2, 0.0)])
def test_the_crop_goes_over_softly(client, wire, before, after):
    sent = [wire.lossless(max_crop_ratio=before, look_ahead_frames=0), *(wire.gray(i) for i in range(10))]
    _, frames = answers(client, *sent, tuning(max_crop_ratio=after), *(wire.gray(i) for i in range(10, 100)))
    parts = [shown(f) for f in frames]
    assert np.allclose(parts[:10], 1 - before, atol=1e-3)
    assert np.allclose(parts[-10:], 1 - after, atol=1e-3)
    if after:  # a crop of nothing passes the picture untouched, at once
        assert np.abs(np.diff(parts)).max() < 0.15 * abs(after - before)
        assert np.all(np.diff(parts) * (before - after) >= -1e-9)


def test_a_crop_that_widens_never_shows_what_is_not_there(launch, connect, wire):
    """The real engine on a picture that moves: every corner of the output is found within the input."""
    server = launch(engine="cpu")
    rng = np.random.default_rng(1)
    world = wire.picture(640, 480, 7)[..., 0]
    sent = [wire.lossless(max_crop_ratio=0.02, smoothing_strength=1, look_ahead_frames=0)]
    for number in range(60):
        x, y = rng.integers(40, 60, 2)
        data = np.ascontiguousarray(world[y : y + 240, x : x + 320]).tobytes()
        if number in (20, 40):
            sent.append(tuning(max_crop_ratio=0.3 if number == 20 else 0.05))
        sent.append(wire.frame(number, data, encoding=pb.ENCODING_GRAY8, width=320, height=240))
    _, frames = answers(connect(server.address), *sent)
    for f in frames:
        back = np.linalg.inv(np.array(f.transform).reshape(3, 3))
        corners = back @ np.array([[0, 319, 0, 319], [0, 0, 239, 239], [1, 1, 1, 1]])
        corners = corners[:2] / corners[2]
        assert corners.min() > -1.5
        assert (corners[0].max(), corners[1].max()) < (320.5, 240.5)


def test_strength_changes_while_it_runs(launch, connect, wire):
    server = launch(engine="cpu")
    world = wire.picture(400, 300, 3)[..., 0]
    sent = [wire.lossless(smoothing_strength=0, look_ahead_frames=0)]
    for number in range(80):
        x = 40 + (number % 2) * 4
        data = np.ascontiguousarray(world[30:270, x : x + 320]).tobytes()
        if number == 30:
            sent.append(tuning(smoothing_strength=1))
        sent.append(wire.frame(number, data, encoding=pb.ENCODING_GRAY8, width=320, height=240))
    _, frames = answers(connect(server.address), *sent)
    transforms = np.array([f.transform for f in frames]).reshape(-1, 3, 3)
    assert np.array_equal(transforms[:30], np.broadcast_to(np.eye(3), (30, 3, 3)))
    # From then on the picture's shake of four pixels is countered.
    moved = np.diff(transforms[60:, 0, 2])
    assert np.abs(moved).mean() > 1.5


@pytest.mark.parametrize(("before", "after"), [(0, 5), (5, 0), (3, 12), (12, 3)])
def test_the_look_ahead_changes_and_no_frame_is_lost(launch, connect, wire, before, after):
    server = launch(engine="cpu")
    world = wire.picture(400, 300, 3)[..., 0]
    sent = [wire.lossless(look_ahead_frames=before, smoothing_strength=1)]
    for number in range(60):
        x = 40 + (number % 2) * 4
        data = np.ascontiguousarray(world[30:270, x : x + 320]).tobytes()
        if number == 30:
            sent.append(tuning(look_ahead_frames=after))
        sent.append(wire.frame(number, data, encoding=pb.ENCODING_GRAY8, width=320, height=240))
    infos, frames = answers(connect(server.address), *sent)
    assert [info.latency_frames for info in infos] == [before, after]
    assert [f.frame.frame_id for f in frames] == list(range(60))
    # The picture does not jump where the look-ahead changes: what is shown moves no more than elsewhere.
    shifts = np.array([f.transform for f in frames]).reshape(-1, 3, 3)[:, 0, 2]
    shown = np.abs(np.diff(shifts - 4 * (np.arange(60) % 2)))
    assert shown[25:40].max() <= max(0.5, 1.5 * shown[15:25].max())


def test_a_key_frame_comes_when_asked_for(client, wire):
    sent = [wire.lossless(output_encoding=pb.ENCODING_H264, look_ahead_frames=0), *(wire.frame(i) for i in range(5))]
    _, frames = answers(client, *sent, tuning(key_frame=True), *(wire.frame(i) for i in range(5, 10)))
    decoder = CodecContext.create("h264", "r")
    pictures = [picture for f in frames for picture in decoder.decode(av.Packet(f.frame.data))]
    assert [number for number, picture in enumerate(pictures) if picture.key_frame] == [0, 5]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"smoothing_strength": 2.0}, "VALUE_OUT_OF_RANGE"),
        ({"mode": pb.MODE_LIVE}, "TUNING_FIXED"),
        ({"look_ahead_frames": 99}, "VALUE_OUT_OF_RANGE"),
        ({"pins": pb.Pins(regions=[pb.Region(x=1, y=1, width=0, height=9)])}, "VALUE_OUT_OF_RANGE"),
        ({"pins": pb.Pins(regions=[pb.Region(x=1, y=1, width=9, height=9)] * 17)}, "VALUE_OUT_OF_RANGE"),
        ({"output_encoding": pb.ENCODING_I420}, "TUNING_FIXED"),
    ],
)
def test_refusals(client, wire, change, reason):
    refusal = client.stream(wire.lossless(), tuning(**change)).error()
    assert (refusal.code, refusal.info.reason) == (CODE.INVALID_ARGUMENT, reason)


def test_tuning_is_not_the_first_message(client):
    refusal = client.stream(tuning()).error()
    assert (refusal.code, refusal.info.reason) == (CODE.INVALID_ARGUMENT, "FIRST_MESSAGE_NOT_CONFIG")
