"""Frames of every encoding as pixels."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from flowgimbal.client import CorruptFrame, Encoding, Frame, FrameStats, SteadyFrame, Unsupported
from flowgimbal.client.bench.content import encode, to_and_fro


def gradient(width: int, height: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    return np.stack([x * 3 % 200, y * 2 % 200, (x + y) % 200], -1).astype(np.uint8)


@pytest.mark.parametrize("encoding", [Encoding.JPEG, Encoding.I420, Encoding.NV12, Encoding.BGR8])
def test_what_is_encoded_looks_the_same(encoding):
    image = cv2.GaussianBlur(gradient(64, 48), (0, 0), 3)
    frame = encode(image, encoding)
    assert frame.image.shape == (48, 64, 3)
    assert np.abs(frame.image.astype(int) - image).mean() < 6


def test_red_first_and_gray():
    image = gradient(8, 6)
    np.testing.assert_array_equal(encode(image, Encoding.RGB8).image, image[:, :, ::-1])
    assert encode(image, Encoding.GRAY8).image.shape == (6, 8)
    with pytest.raises(ValueError, match="hevc"):
        encode(image, Encoding.HEVC)


@pytest.mark.parametrize("encoding", [Encoding.I420, Encoding.NV12])
@pytest.mark.parametrize(("width", "height", "stride"), [(7, 5, 0), (7, 5, 12), (6, 5, 9), (7, 4, 7)])
def test_odd_sizes_and_strides(encoding, width, height, stride):
    step = stride or width
    half = (step + 1) // 2 if encoding is Encoding.I420 else step + step % 2
    rows = (height + 1) // 2
    luma = np.full((height, step), 16, np.uint8)
    luma[:, :width] = 235
    chroma = np.full((rows * (2 if encoding is Encoding.I420 else 1), half), 128, np.uint8)
    image = Frame(luma.tobytes() + chroma.tobytes(), encoding, width, height, stride).image
    assert image.shape == (height, width, 3)
    assert image.min() >= 254


@pytest.mark.parametrize(
    "frame",
    [
        Frame(b"\xff\xd8 not a picture", Encoding.JPEG),
        Frame(b"", Encoding.JPEG),
        Frame(bytes(10), Encoding.BGR8, 4, 4),
        Frame(bytes(10), Encoding.I420, 4, 4),
        Frame(bytes(16), Encoding.GRAY8, 4, 4, 2),
    ],
)
def test_data_that_is_no_picture(frame):
    with pytest.raises(CorruptFrame):
        _ = frame.image


def test_a_picture_that_needs_a_stateful_decoder():
    with pytest.raises(Unsupported, match="h264"):
        _ = Frame(b"\0\0\0\1", Encoding.H264, 4, 4).image


def test_to_and_fro_never_jumps():
    frames = [Frame(bytes([i]), Encoding.JPEG) for i in range(4)]
    assert [frame.data[0] for frame in to_and_fro(frames, 9)] == [0, 1, 2, 3, 2, 1, 0, 1, 2]
    assert [frame.data[0] for frame in to_and_fro(frames[:1], 3)] == [0, 0, 0]


def test_points_go_to_the_raw_picture_and_back():
    turned = np.array([[1.05, -0.04, 12.0], [0.03, 1.04, -7.0], [1e-5, -2e-5, 1.0]])
    steady = SteadyFrame(1, 0, Encoding.GRAY8, 1280, 720, 0, b"", turned, FrameStats())
    for corner in ((0, 0), (1279, 0), (0, 719), (1279, 719)):
        there = steady.to_stable(corner)
        assert np.hypot(*np.subtract(there, corner)) > 5
        assert np.allclose(steady.to_raw(there), corner, atol=1e-6)
    assert np.allclose(steady.to_stable((0, 0)), (12, -7))
