"""The pure parts of ``make quality``: what is kept, what is made, and what the page says of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from quality import clips, lossless, peers, pictures, plots, stills, synthetic, tables, variants
from quality.column import slug
from quality.errors import ColumnError, QualityError
from quality.figures import Figures, load, save
from quality.page import Page
from quality.process import run
from quality.store import Store

from flowgimbal.client.sources import VideoSource
from flowgimbal.client.steadiness.pan import slow


@dataclass
class Copier:
    """A column that copies its input, and counts."""

    name: str = "copier"
    delay: str = "0 frames"
    ours: bool = True
    suffix: str = ".mp4"
    skipped: int = 0
    key: str = "0123456789ab"
    reason: str = ""
    fails: str = ""
    runs: int = 0

    def missing(self) -> str:
        return self.reason

    def steady(self, source: Path, target: Path) -> None:
        self.runs += 1
        if self.fails:
            raise ColumnError(self.fails)
        target.write_bytes(source.read_bytes())


def figures(gain: float, **more: float) -> Figures:
    known = {"gain_db": gain, "fov": 0.9, "wobble": 1.0, "dist5": 0.98, "black": 0.0, "shake_in": 12.0, "frames": 150}
    return Figures(rate=30, sent=150, report=known | more, followed=[0, 1, 2], shown=[0, 0.5, 1])


@pytest.fixture
def clip(tmp_path):
    return clips.prepare(tmp_path, "walk", b"walk", lambda target: target.write_bytes(b"pictures"))


def test_a_column_runs_once_until_its_key_changes(clip):
    store, column = Store("measure"), Copier()
    for _ in range(2):
        assert store.figures(clip, column, lambda video, skipped: figures(7.0)).get("gain_db") == 7
    assert column.runs == 1
    column.key = "ba9876543210"
    other = Copier(name="copier-transformer1")
    store.video(clip, other)
    assert store.kept(clip, column) is None
    store.video(clip, column)
    assert column.runs == 2
    videos = sorted(path.name for path in clip.folder.glob("copier*"))
    assert videos == ["copier-ba9876543210.mp4", "copier-transformer1-0123456789ab.mp4"]


def test_figures_of_another_measure_are_not_taken(clip):
    column = Copier()
    Store("one").figures(clip, column, lambda video, skipped: figures(7.0))
    assert Store("other").figures(clip, column, lambda video, skipped: figures(8.0)).get("gain_db") == 8
    assert column.runs == 1


def test_a_peer_may_fail_on_a_clip_and_we_may_not(clip):
    store = Store("measure")
    peer = Copier(name="peer", ours=False, fails="too short")
    for _ in range(2):
        assert store.figures(clip, peer, lambda video, skipped: figures(1)).failed == "too short"
    assert peer.runs == 1
    with pytest.raises(ColumnError, match="copier on walk: broken"):
        store.figures(clip, Copier(fails="broken"), lambda video, skipped: figures(1))


def test_what_is_half_written_is_nothing(tmp_path):
    path = tmp_path / "figures.json"
    assert load(path) is None
    save(path, figures(3.0))
    assert load(path) == figures(3.0)
    path.write_text(path.read_text()[:40])
    assert load(path) is None


def test_a_folder_without_clips_is_named(tmp_path):
    with pytest.raises(QualityError, match="no such folder"):
        clips.find(tmp_path / "none")
    with pytest.raises(QualityError, match="no video"):
        clips.find(tmp_path)
    for name in ("b.mp4", "a.AVI", "notes.txt"):
        (tmp_path / name).touch()
    assert [path.name for path in clips.find(tmp_path)] == ["a.AVI", "b.mp4"]


def test_only_what_is_free_is_free(tmp_path):
    manifest = tmp_path / "MANIFEST.tsv"
    assert clips.origins(manifest) == {}
    manifest.write_text(
        "name\ttier\tsource\tlicence\nshaky/dog.mp4\tfree\there\tCC0\nshaky/cat.mp4\tunclear\tthere\t?\n"
    )
    found = clips.origins(manifest)
    assert found["dog"] == clips.Origin(True, "here", "CC0")
    assert not found["cat"].free


def test_every_variant_has_a_key_of_its_own():
    keys = [column.key for column in variants.OURS]
    names = [slug(column.name) for column in variants.OURS]
    assert len(set(keys)) == len(set(names)) == len(keys)
    assert all(len(key) == len(Copier.key) for key in keys)


def test_a_peer_that_is_not_there_says_so(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "")
    found = peers.peers(tmp_path / "no-python")
    assert len(found) == 5
    assert all(peer.missing() for peer in found)
    assert peers.described(tmp_path / "no-python") == []


def test_the_end_of_a_complaint_is_kept():
    with pytest.raises(ColumnError, match="ended with 3: so it is"):
        run(["sh", "-c", "echo 'so it is' >&2; exit 3"])


def test_the_pan_is_a_trapezoid_of_its_speed():
    path = synthetic.trapezoid()
    speeds = np.diff(path) * synthetic.RATE
    assert speeds.max() == pytest.approx(synthetic.SPEED, rel=1e-3)
    assert speeds.min() == pytest.approx(-synthetic.SPEED, rel=1e-3)
    assert path.max() == pytest.approx(450, rel=1e-3)
    assert np.abs(path[[0, 40, -1]]).max() < 0.01
    assert np.ptp(path[110:135]) < 0.01


def test_recorded_shake_is_fast_and_knows_its_clip():
    recorded = variants.ROOT / "engines/paths/recorded.npz"
    shake = synthetic.recorded_shake(recorded, "shaky/nus_fountain", 240)
    pixels = shake[:, :2] * synthetic.SIZE[0] / 2
    assert 2 < pixels.std() < 60
    assert slow(pixels, synthetic.RATE)[15:-15].std() < 0.5 * pixels.std()
    with pytest.raises(QualityError, match="no recorded path shaky/none"):
        synthetic.recorded_shake(recorded, "shaky/none", 240)


def test_coefficients_are_motion():
    shift = synthetic.homography(np.array([0.1, -0.05, 0, 0, 0, 0, 0, 0]))
    np.testing.assert_allclose(shift, [[1, 0, 64], [0, 1, -32], [0, 0, 1]], atol=1e-6)


def test_a_camera_that_turns_right_sees_what_is_right():
    photo = np.zeros((400, 900, 3), np.uint8)
    photo[:] = np.linspace(0, 200, 900)[None, :, None]
    frames = list(synthetic.panned(photo, np.array([0.0, 300.0]), np.zeros((2, 8))))
    assert frames[0].shape == (720, 1280, 3)
    assert frames[1].mean() > frames[0].mean() + 10
    still = list(synthetic.standing(photo, 2))
    assert np.abs(still[0].astype(float) - still[1]).mean() == pytest.approx(
        2 * synthetic.NOISE / np.sqrt(np.pi), rel=0.1
    )


def test_a_copy_loses_nothing(tmp_path):
    gray = np.random.default_rng(1).integers(16, 235, (20, 48, 64, 1), np.uint8)
    pictures_in = [cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR) for picture in gray]
    lossless.write(tmp_path / "all.mp4", 25, pictures_in)
    lossless.cut(tmp_path / "all.mp4", tmp_path / "some.mp4", 12)
    with VideoSource(tmp_path / "all.mp4") as before, VideoSource(tmp_path / "some.mp4") as after:
        assert after.format.rate == 25
        first, second = list(before.frames()), list(after.frames())
    assert len(second) == 12
    assert all(a[1].data == b[1].data for a, b in zip(first, second, strict=False))


def test_summary_names_the_worst_and_the_missing():
    good, gone = Copier(name="good"), Copier(name="gone", ours=False, reason="not installed")
    results = {"a": {"good": figures(10.0, dist5=0.99)}, "b": {"good": figures(6.0, black=0.004, frames=75)}}
    text = tables.summary([good, gone], results)
    assert "| **good** | 0 frames | 8.0 | 6.0 (b) | 0.900 | 1.00 | 0.980 | 0.002 | 0.004 | 75 % |" in text
    assert "| gone | 0 frames | not measured: not installed |" in text
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_a_failure_is_told():
    good, peer = Copier(name="good"), Copier(name="peer", ours=False)
    results = {"a": {"good": figures(10.0), "peer": Figures(failed="too short")}}
    assert "| a | 12.0 | 10.0 | failed |" in tables.by_clip([good, peer], results, "gain_db", 1)
    assert tables.failures(results) == ["peer on a: too short"]
    assert "failed on every clip" in tables.summary([peer], results)


def test_stillness_is_told():
    row = {"good": Figures(added=0.0412, trembling=0.0031, standing=0.02)}
    assert "| door | 0.020 | 0.041 / 0.003 |" in tables.stillness([Copier(name="good")], {"door": row})


def test_the_page_holds_every_table():
    column = Copier(name="good")
    results = {"a": {"good": figures(10.0)}}
    page = Page(
        machine="a machine",
        peers=["peer 1.0"],
        limit=150,
        columns=[column],
        results=results,
        pan={"good": figures(9.0, pan_kept=0.99, pan_overshoot=1.5, pan_lag_frames=2.0, pan_correlation=0.9991)},
        stillness={"door": {"good": Figures(added=0.03, standing=0.01)}},
        plots=[("a", "images/quality/path-a.svg")],
        stills=[("dog", "images/quality/dog.jpg")],
        origins={"dog": clips.Origin(True, "somewhere", "CC0")},
    )
    text = page.text()
    for part in (
        "a machine",
        "peer 1.0",
        "| **good** | 0.990 | 1.5 | 2.0 | 0.9991 |",
        "path-a.svg",
        "CC0; from somewhere",
    ):
        assert part in text
    assert "came to nothing" not in text


def test_a_plot_is_svg_with_a_line_a_column():
    lines = [plots.Line("filmed", "#000", [0, 5, -3]), plots.Line("<steady>", "#f00", [0, 1, 0])]
    root = ElementTree.fromstring(plots.plot("walk", 30, lines))
    assert len(root.findall("{http://www.w3.org/2000/svg}polyline")) == 2
    assert "<steady>" in "".join(root.itertext())


@pytest.mark.parametrize(("low", "high"), [(0, 5), (-310, 470), (0, 0.03), (-1, 1), (12.2, 14.9), (0, 1.21)])
def test_ticks_are_few_and_inside(low, high):
    found = plots.ticks(low, high)
    assert 2 <= len(found) <= 9
    assert low <= found[0]
    assert found[-1] <= high


def test_telling_clips_or_the_shakiest():
    named = {name: {"good": figures(1)} for name in (*pictures.TELLING, "other")}
    assert pictures.telling(named) == list(pictures.TELLING)
    foreign = {f"clip{i}": {"good": figures(1, shake_in=float(i))} for i in range(9)}
    assert pictures.telling(foreign) == [f"clip{i}" for i in range(4, 9)]


def test_the_shakiest_moment():
    path = np.zeros(60)
    path[40:46] = [0, 9, -9, 9, -9, 0]
    assert 38 <= stills.shakiest(list(path)) <= 42
    assert stills.shakiest([0.0, 1.0]) == 0


def test_a_strip_is_small():
    noise = np.random.default_rng(0).integers(0, 255, (540, 960, 3), np.uint8)
    data = stills.strip([("filmed", noise), ("steady", noise), ("steadier", noise)])
    assert len(data) < 200_000
    picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    assert picture.shape == (270, 1440, 3)


def test_results_are_made_again_when_what_makes_frames_changes():
    counted = {str(path.relative_to(variants.ROOT)) for path in variants._code()}
    engines = "engines/flowgimbal/engines"
    assert {
        f"{engines}/native/fit.c",
        f"{engines}/weights/int8/gate.onnx",
        f"{engines}/weights/forecast.npz",
    } <= counted
    assert not any("/training/" in path or "/half/" in path for path in counted)
