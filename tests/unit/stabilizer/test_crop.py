"""Crop and warp geometry."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowgimbal.server.crop import Crop, Cropper
from flowgimbal.server.warp import Warp, vertices


def field(x: float, y: float) -> np.ndarray:
    return np.stack([np.full((5, 7), x), np.full((5, 7), y)])


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=60), st.sampled_from(list(Crop)), st.floats(0.01, 0.5))
def test_the_picture_never_ends_inside_the_frame(path: list[float], policy: Crop, ratio: float) -> None:
    cropper = Cropper(policy, ratio)
    for x in path:
        allowed, extent = cropper.limit(field(x * ratio, -x * ratio), 1 / 30)
        mesh = Warp.from_offset(allowed, extent).mesh
        if policy is not Crop.NONE:
            assert mesh.min() >= -1e-6
            assert mesh.max() <= 1 + 1e-6
        assert extent >= 1 - ratio - 1e-9


def test_dynamic_opens_gently_and_closes_slowly() -> None:
    cropper = Cropper(Crop.DYNAMIC, 0.2)
    extents = [cropper.limit(field(0.2, 0), 1 / 30)[1] for _ in range(60)]
    assert extents[0] > 0.98
    assert extents[-1] == pytest.approx(0.8)
    assert max(np.abs(np.diff(extents))) < 0.02
    back = [cropper.limit(field(0, 0), 1 / 30)[1] for _ in range(30)]
    assert 0.8 < back[-1] < 0.85


def test_transform_takes_raw_pixels_to_steady_pixels() -> None:
    warp = Warp.from_offset(field(0.1, 0.0), 0.9)  # content moves right by 5 % of the width, then is enlarged
    moved = warp.transform(200, 100) @ np.array([99.5, 49.5, 1])
    assert moved[:2] / moved[2] == pytest.approx([99.5 + 10 / 0.9, 49.5], abs=1e-3)


def test_still_is_identity() -> None:
    assert np.array_equal(Warp.still().transform(640, 480), np.eye(3))
    assert vertices(2, 2)[1, 1] == pytest.approx([1, 1])
