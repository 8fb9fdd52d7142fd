"""A shaky file goes in, a steady file comes out: through the real service, judged by its pixels."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.sources import VideoSource
from flowgimbal.client.steadiness import compare
from flowgimbal.client.steadiness.gray import gray_frames

LEAST_GAIN_DB = 11.0
"""What the shipped networks must gain with the default settings: the mean that is asked of them over all clips."""

LEAST_FIELD_OF_VIEW = 0.86


@pytest.fixture(scope="module")
def report(steady):
    with VideoSource(BUNDLED_CLIP) as source:
        rate = float(source.format.rate)
    return compare(gray_frames(BUNDLED_CLIP), gray_frames(steady), rate)


def test_the_bundled_clip_is_really_shaky(report):
    assert report.frames == 125
    assert report.shake_in > 15


def test_it_is_steadier_and_shows_no_border(report):
    assert report.gain_db >= LEAST_GAIN_DB
    assert report.black == 0
    assert report.fov is not None
    assert report.fov >= LEAST_FIELD_OF_VIEW
    assert report.wobble <= 1.15


def test_same_frames_same_size_same_times(steady):
    with VideoSource(BUNDLED_CLIP) as before, VideoSource(steady) as after:
        assert (after.format.width, after.format.height) == (before.format.width, before.format.height)
        assert after.format.rate == before.format.rate
        sent = [ticks * before.format.time_base for ticks, _ in before.frames()]
        returned = [ticks * after.format.time_base for ticks, _ in after.frames()]
    assert returned == sent


def test_the_frames_are_in_order(steady):
    """Each returned picture is most like the picture that was sent in its place."""
    raw, result = list(gray_frames(BUNDLED_CLIP)), list(gray_frames(steady))
    for i in range(10, 120, 10):
        likeness = {k: _inliers(raw[k], result[i]) for k in (i - 6, i, i + 6)}
        assert max(likeness, key=likeness.__getitem__) == i, likeness


def _inliers(a: np.ndarray, b: np.ndarray) -> int:
    """Features that one homography explains: most for two views of one moment."""
    sift = cv2.SIFT_create(1000)
    (points_a, marks_a), (points_b, marks_b) = sift.detectAndCompute(a, None), sift.detectAndCompute(b, None)
    pairs = cv2.BFMatcher().knnMatch(marks_a, marks_b, 2)
    good = [best for best, second in pairs if best.distance < 0.7 * second.distance]
    p = np.float32([points_a[match.queryIdx].pt for match in good])
    q = np.float32([points_b[match.trainIdx].pt for match in good])
    _, mask = cv2.findHomography(p, q, cv2.RANSAC, 1.0)
    return int(mask.sum())


def test_evaluate_says_the_same(flowgimbal, steady, report):
    done = flowgimbal("evaluate", BUNDLED_CLIP, steady, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["gain_db"] == pytest.approx(report.gain_db)


def test_without_look_ahead_by_the_classical_flow(flowgimbal, tmp_path):
    out = tmp_path / "out.mkv"
    done = flowgimbal("stabilize", BUNDLED_CLIP, out, "--look-ahead-frames", "0", "--flow", "dis")
    assert (done.returncode, done.stderr) == (0, "")
    assert sum(1 for _ in gray_frames(out)) == 125
