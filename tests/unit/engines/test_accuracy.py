"""How exact flow is said to be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.engines.onnx_flow import OnnxFlow
from flowgimbal.engines.training import accuracy


def test_flow_files_are_read_and_others_refused(tmp_path: Path) -> None:
    truth = np.arange(24, dtype="<f4").reshape(3, 4, 2)
    truth[0, 0] = 1e10  # Middlebury's unknown
    file = tmp_path / "a_flow.flo"
    file.write_bytes(np.float32(202021.25).tobytes() + np.array([4, 3], "<i4").tobytes() + truth.tobytes())
    read = accuracy.read_flo(file)
    assert np.isnan(read[:, 0, 0]).all()
    assert read[1, 2, 3] == truth[2, 3, 1]
    file.write_bytes(b"PIEH")
    with pytest.raises(ValueError, match="not a"):
        accuracy.read_flo(file)


def test_accuracy_between_real_frames_is_what_the_flow_leaves_in_grey_levels(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").symlink_to(BUNDLED_CLIP)
    pairs = list(accuracy.filmed(tmp_path, 3))
    assert [frame.shape for frame in pairs[0]] == [(352, 640)] * 2
    network, nothing = accuracy.by_meter(OnnxFlow()), lambda first, _: np.zeros((2, *first.shape), np.float32)
    for first, second in pairs:
        assert accuracy.unlike(nothing, first, second).mean() == pytest.approx(
            np.abs(first.astype(float) - second).mean()
        )
        assert accuracy.unlike(network, first, second).mean() < 0.7 * accuracy.unlike(nothing, first, second).mean()


def test_accuracy_counts_the_known_cells_in_pixels_of_the_full_picture() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (352, 640), np.uint8)
    truth = np.full((2, 88, 160), 3.0, np.float32)
    truth[:, :, :80] = np.nan
    found = accuracy.errors(lambda first, _: np.zeros((2, *first.shape), np.float32), (picture, picture, truth))
    assert found == pytest.approx(np.sqrt(18))
    assert 44 * 39 <= len(found) <= 44 * 40
