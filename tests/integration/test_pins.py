"""Parts of the picture that stay put, over the socket."""

from __future__ import annotations

import numpy as np
import pytest

from flowgimbal.v1 import stabilizer_pb2 as pb

WIDTH, HEIGHT = 320, 240
HUD = (21, 17, 120, 60)  # odd on purpose: half-size planes have no such pixel


def pins(*regions: tuple[int, int, int, int]) -> pb.Pins:
    return pb.Pins(regions=[pb.Region(x=x, y=y, width=w, height=h) for x, y, w, h in regions])


def inside(picture: np.ndarray, region: tuple[int, int, int, int] = HUD) -> np.ndarray:
    x, y, width, height = region
    return picture[y : y + height, x : x + width]


def shaken(wire, count: int, hud: np.ndarray | None = None) -> list[np.ndarray]:
    """A scene that shakes by 4 pixels, a display burnt into it."""
    world = wire.picture(400, 300, 3)
    pictures = []
    for number in range(count):
        x = 40 + (number % 2) * 4
        picture = world[30 : 30 + HEIGHT, x : x + WIDTH].copy()
        if hud is not None:
            inside(picture)[:] = hud
        pictures.append(picture)
    return pictures


def sent_raw(wire, picture: np.ndarray, number: int, encoding: pb.Encoding) -> pb.StreamRequest:
    import cv2

    data = picture
    if encoding == pb.ENCODING_I420:
        data = cv2.cvtColor(picture, cv2.COLOR_BGR2YUV_I420)
    elif encoding == pb.ENCODING_GRAY8:
        data = picture[..., 0]
    return wire.frame(number, np.ascontiguousarray(data).tobytes(), encoding=encoding, width=WIDTH, height=HEIGHT)


@pytest.mark.parametrize("encoding", [pb.ENCODING_BGR8, pb.ENCODING_I420, pb.ENCODING_GRAY8])
def test_pinned_parts_come_back_as_they_were(launch, connect, wire, encoding):
    rng = np.random.default_rng(0)
    hud = rng.integers(0, 255, (HUD[3], HUD[2], 3), dtype=np.uint8)
    client = connect(launch(engine="cpu").address)
    requests = [sent_raw(wire, picture, number, encoding) for number, picture in enumerate(shaken(wire, 40, hud))]
    config = wire.lossless(look_ahead_frames=0, smoothing_strength=1, pins=pins(HUD, (300, 230, 500, 500)))
    frames = client.exchange([config, *requests])
    moved = np.array([f.transform for f in frames]).reshape(-1, 3, 3)[:, 0, 2]
    assert np.abs(np.diff(moved[20:])).min() > 2  # it is steadied around the display
    rows = HEIGHT * 3 // 2 if encoding == pb.ENCODING_I420 else HEIGHT
    for request, f in zip(requests, frames, strict=True):
        raw, steady = (
            np.frombuffer(data, np.uint8).reshape(rows, WIDTH, -1) for data in (request.frame.data, f.frame.data)
        )
        assert np.array_equal(inside(raw), inside(steady))
        assert np.array_equal(raw[230:HEIGHT, 300:], steady[230:HEIGHT, 300:])
    assert not np.array_equal(inside(raw, (180, 100, 60, 60)), inside(steady, (180, 100, 60, 60)))


def test_a_display_does_not_hold_the_measured_motion(launch, connect, wire):
    """A burnt-in display that covers most of the picture stands still; with it pinned, the scene's motion is found."""
    x, y, width, height = big = (0, 0, 320, 150)
    rng = np.random.default_rng(0)
    display = np.kron(rng.integers(0, 255, (15, 32, 1)), np.ones((10, 10, 3))).astype(np.uint8)
    pictures = shaken(wire, 40)
    for picture in pictures:
        picture[y : y + height, x : x + width] = display
    client = connect(launch(engine="cpu").address)
    requests = [sent_raw(wire, picture, number, pb.ENCODING_BGR8) for number, picture in enumerate(pictures)]

    def countered(**fields: object) -> float:
        frames = client.exchange([wire.lossless(look_ahead_frames=0, smoothing_strength=1, **fields), *requests])
        moved = np.array([f.transform for f in frames]).reshape(-1, 3, 3)[:, 0, 2]
        return float(np.median(np.abs(np.diff(moved[20:]))))

    assert countered() < 1
    assert countered(pins=pins(big)) > 3


def test_pins_come_and_go_while_it_runs(launch, connect, wire):
    client = connect(launch(engine="cpu").address)
    pictures = shaken(wire, 60)
    requests = [sent_raw(wire, picture, number, pb.ENCODING_BGR8) for number, picture in enumerate(pictures)]
    change = [pb.StreamRequest(tuning=pb.Tuning(config=pb.StreamConfig(pins=p))) for p in (pins(HUD), pins())]
    stream = client.stream(
        wire.lossless(look_ahead_frames=0, smoothing_strength=1),
        *requests[:30],
        change[0],
        *requests[30:45],
        change[1],
        *requests[45:],
    )
    stream.half_close()
    responses = list(stream.call)
    infos = [r.info for r in responses if r.WhichOneof("response") == "info"]
    assert [len(info.config.pins.regions) for info in infos] == [0, 1, 0]
    frames = [r.frame.frame.data for r in responses if r.WhichOneof("response") == "frame"]
    same = [
        np.array_equal(inside(picture), inside(np.frombuffer(data, np.uint8).reshape(picture.shape)))
        for picture, data in zip(pictures, frames, strict=True)
    ]
    assert same[30:45] == [True] * 15
    assert not any(same[20:30] + same[45:])


def test_everything_pinned_is_no_failure(launch, connect, wire):
    client = connect(launch(engine="cpu").address)
    requests = [sent_raw(wire, p, i, pb.ENCODING_BGR8) for i, p in enumerate(shaken(wire, 10))]
    frames = client.exchange([wire.lossless(look_ahead_frames=0, pins=pins((0, 0, WIDTH, HEIGHT))), *requests])
    for request, f in zip(requests, frames, strict=True):
        assert f.frame.data == request.frame.data
