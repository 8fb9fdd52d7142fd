from __future__ import annotations

import both_roads
import cv2
import numpy as np
import pytest

from flowgimbal.engines.native import sampling as compiled
from flowgimbal.engines.picture import Layout, Picture
from flowgimbal.engines.sampling import Sampler, hat_matrix
from flowgimbal.server.warp import vertices

road = both_roads.both(compiled)


def mesh(rows: int = 5, cols: int = 7) -> np.ndarray:
    return vertices(rows, cols).astype(np.float32)


def ramp(width: int, height: int, step: float = 1.0) -> np.ndarray:
    """Each pixel tells its column: a picture on which a move can be read off."""
    return np.repeat((np.arange(width) * step).astype(np.uint8)[None], height, axis=0)


@pytest.mark.parametrize("size", [(64, 48), (65, 47), (200, 3), (1, 1)])
def test_a_mesh_that_changes_nothing_returns_the_picture(size):
    rng = np.random.default_rng(0)
    width, height = size
    half = (height + 1) // 2, (width + 1) // 2
    luma = rng.integers(0, 255, (height, width), dtype=np.uint8)
    cb, cr = (rng.integers(0, 255, half, dtype=np.uint8) for _ in range(2))
    pictures = [
        Picture(Layout.BGR, (rng.integers(0, 255, (height, width, 3), dtype=np.uint8),)),
        Picture(Layout.YUV, (luma, cb, cr), (2, 2)),
        Picture(Layout.NV12, (luma, np.dstack([cb, cr])), (2, 2)),
        Picture(Layout.GRAY, (luma,)),
    ]
    sampler = Sampler()
    for picture in pictures:
        out = sampler.sample(picture, mesh())
        for before, after in zip(picture.planes, out.planes, strict=True):
            assert after.shape == before.shape
            assert np.abs(after.astype(int) - before).max() <= 1


def test_a_move_moves_luma_and_chroma_alike():
    width, height, move = 128, 64, 8
    picture = Picture(Layout.YUV, (ramp(width, height), *(ramp(width // 2, height // 2, 2),) * 2), (2, 2))
    moved = mesh()
    moved[..., 0] += move / width
    luma, cb, cr = Sampler().sample(picture, moved).planes
    inside = slice(0, width - 2 * move)
    assert np.array_equal(luma[0, inside], picture.planes[0][0, inside] + move)
    for chroma in (cb, cr):
        assert np.array_equal(chroma[0, : width // 2 - move], picture.planes[1][0, : width // 2 - move] + move)
    assert luma[0, -1] == width - 1  # the edge is repeated


def test_a_curved_mesh_is_sampled_bilinearly():
    rng = np.random.default_rng(1)
    width, height = 96, 72
    bent = mesh() + rng.normal(0, 0.01, mesh().shape).astype(np.float32)
    picture = cv2.GaussianBlur(rng.integers(0, 255, (height, width), dtype=np.uint8), (0, 0), 3)
    out = Sampler().sample(Picture(Layout.GRAY, (picture,)), bent).planes[0]
    u = (np.arange(width) + 0.5) / width * (bent.shape[1] - 1)
    v = (np.arange(height) + 0.5) / height * (bent.shape[0] - 1)
    at = [np.empty((height, width), np.float32) for _ in range(2)]
    for i in range(height):
        for j in range(width):
            y, x = int(v[i]), int(u[j])
            b, a = v[i] - y, u[j] - x
            point = (1 - b) * ((1 - a) * bent[y, x] + a * bent[y, x + 1]) + b * (
                (1 - a) * bent[y + 1, x] + a * bent[y + 1, x + 1]
            )
            at[0][i, j] = point[0] * width - 0.5
            at[1][i, j] = point[1] * height - 0.5
    expected = cv2.remap(picture, at[0], at[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    assert np.abs(out.astype(int) - expected).max() <= 1


def test_one_sampler_serves_changing_sizes_and_strided_planes():
    sampler = Sampler()
    for width, height in ((64, 300), (300, 64), (64, 300)):
        padded = np.zeros((height, width + 9), np.uint8)
        padded[:, :width] = 77
        out = sampler.sample(Picture(Layout.GRAY, (padded[:, :width],)), mesh(9, 17))
        assert out.planes[0].shape == (height, width)
        assert (out.planes[0] == 77).all()


@pytest.mark.parametrize(("samples", "span", "count"), [(10, 10, 2), (10, 9.5, 5), (1, 0.5, 3), (640, 640, 17)])
def test_hat_weights_sum_to_one(samples, span, count):
    assert np.allclose(hat_matrix(samples, span, count).sum(axis=1), 1, atol=1e-5)
