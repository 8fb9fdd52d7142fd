"""The compiled road of sampling: it shows what cv2 shows, and reads and writes nothing but its planes."""

from __future__ import annotations

import _ctypes
import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowgimbal.engines import info, native
from flowgimbal.engines.sampling import hat_matrix

ROOT = Path(__file__).parents[3]
compiled = pytest.mark.skipif(bool(native.why_not()), reason=f"no compiled road: {native.why_not()}")


def looked_up(plane: np.ndarray, places: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """What cv2 finds there."""
    sides = zip(plane.shape, span, places.shape[:2], strict=True)
    down, across = (hat_matrix(side, length, count) for side, length, count in sides)
    x, y = (np.float32(down @ places[..., lane] @ across.T) for lane in (0, 1))
    return cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def seen(plane: np.ndarray, places: np.ndarray, span: tuple[float, float]) -> np.ndarray:
    """What the compiled road makes of it, the bytes around its output held against change."""
    around = np.full((plane.shape[0] + 2, plane.shape[1]), 99, np.uint8)
    native.sample(plane, places.astype(np.float32), span, around[1:-1])
    assert (around[[0, -1]] == 99).all()
    return around[1:-1]


@compiled
@settings(max_examples=200, deadline=None)
@given(
    width=st.integers(16, 200),
    height=st.integers(2, 90),
    vertices=st.tuples(st.integers(2, 9), st.integers(2, 13)),
    scale=st.floats(0.2, 3.0),
    turn=st.floats(-3.2, 3.2),
    bend=st.floats(0, 0.2),
    odd=st.booleans(),
    seed=st.integers(0, 99),
)
def test_shows_what_cv2_shows(width, height, vertices, scale, turn, bend, odd, seed):
    # Enlarged, made smaller, turned round, bent, and beyond the edges.
    rng = np.random.default_rng(seed)
    plane = cv2.GaussianBlur(rng.integers(0, 256, (height, width), np.uint8), (0, 0), 2)
    v, u = np.meshgrid(*(np.linspace(-0.5, 0.5, count) for count in vertices), indexing="ij")
    c, s = scale * np.cos(turn), scale * np.sin(turn)
    wanted = np.stack([c * u * width - s * v * height, s * u * width + c * v * height], -1)
    wanted += rng.normal(0, bend * height, wanted.shape)
    wanted += [width / 2 - 0.5, height / 2 - 0.5]
    span = (height - 0.5 * odd, width - 0.5 * odd)  # chroma of a picture of odd size
    difference = np.abs(seen(plane, wanted, span).astype(int) - looked_up(plane, wanted, span))
    assert difference.max() <= 2  # cv2 knows 32 places between two samples
    assert difference.mean() < 0.3


@compiled
def test_a_shift_by_whole_samples_is_exact_and_half_a_sample_is_the_mean():
    plane = np.random.default_rng(0).integers(0, 256, (40, 70), np.uint8)
    y, x = np.meshgrid([-0.5, 39.5], [-0.5, 69.5], indexing="ij")
    assert np.array_equal(seen(plane, np.stack([x, y], -1), (40, 70)), plane)
    moved = seen(plane, np.stack([x + 3, y - 2], -1), (40, 70))
    assert np.array_equal(moved[2:, :-3], plane[:-2, 3:])
    between = seen(plane, np.stack([x + 0.5, y], -1), (40, 70))[:, :-1].astype(float)
    assert np.abs(between - (plane[:, :-1].astype(float) + plane[:, 1:]) / 2).max() <= 0.5


@compiled
@pytest.mark.parametrize("far", [np.nan, np.inf, -np.inf, 3e38, -3e38, 40_000.0, -40_000.0, 16_383.9])
def test_places_that_are_none_read_nothing_else(far):
    plane = np.full((20, 64), 7, np.uint8)
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = rng.uniform(0, 20, (4, 5, 2))
        places[rng.random(places.shape) < 0.3] = far
        assert (seen(plane, places, (20, 64)) == 7).all()


@compiled
def test_rows_may_be_padded_and_the_padding_is_not_seen():
    padded = np.full((30, 80), 200, np.uint8)
    padded[:, :50] = 10
    y, x = np.meshgrid([-5.0, 35.0], [-5.0, 60.0], indexing="ij")
    assert (seen(padded[:, :50], np.stack([x, y], -1), (30, 50)) == 10).all()


@compiled
def test_takes_planes_of_bytes_of_a_size_that_it_knows():
    assert native.takes(np.zeros((2, 16), np.uint8))
    assert native.takes(np.zeros((30, 99), np.uint8)[:, :40])
    for shape in ((1, 16), (2, 15), (2, 16_385), (40, 40, 2)):
        assert not native.takes(np.zeros(shape, np.uint8))
    assert not native.takes(np.zeros((40, 80), np.uint8)[:, ::2])


def test_without_the_library_it_says_why_and_takes_nothing(monkeypatch, tmp_path):
    native.why_not.cache_clear()
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "sampling.library")
    try:
        assert "no C compiler" in native.why_not()
        assert not native.takes(np.zeros((40, 40), np.uint8))
        assert any(line.startswith("  sampling") and "OpenCV" in line for line in info.describe())
        native.why_not.cache_clear()
        native.LIBRARY.write_bytes(b"not a library")
        assert "does not load" in native.why_not()
        native.why_not.cache_clear()
        monkeypatch.setattr(native, "LIBRARY", Path(_ctypes.__file__))
        assert "does not load" in native.why_not()
    finally:
        native.why_not.cache_clear()


@pytest.fixture
def compiling():
    spec = importlib.util.spec_from_file_location("compile_sampling", ROOT / "engines" / "compile_sampling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


can_compile = pytest.mark.skipif(
    not shutil.which("cc") or platform.machine() != "x86_64", reason="no C compiler for x86-64 here"
)


@compiled
def test_a_library_of_another_version_is_not_called(monkeypatch):
    native.why_not.cache_clear()
    monkeypatch.setattr(native, "REVISION", native.REVISION + 1)
    try:
        assert "another version" in native.why_not()
    finally:
        native.why_not.cache_clear()


@compiled
def test_a_span_beyond_the_plane_writes_nothing_beyond_it():
    places = np.zeros((3, 4, 2))
    assert (seen(np.full((20, 40), 7, np.uint8), places, (40, 80)) == 7).all()


@compiled
def test_a_mesh_that_zigzags_through_a_tall_plane_shows_what_cv2_shows():
    plane = np.random.default_rng(0).integers(0, 256, (9000, 64), np.uint8)
    plane = cv2.GaussianBlur(plane, (0, 0), 3)
    places = np.zeros((2, 5, 2))
    places[..., 0], places[..., 1] = np.linspace(0, 63, 5), [0, 8999, 0, 8999, 0]
    difference = np.abs(seen(plane, places, (9000, 64)).astype(int) - looked_up(plane, places, (9000, 64)))
    assert difference.max() <= 2


@can_compile
def test_compiles_without_a_warning_and_twice_the_same(compiling, monkeypatch, tmp_path):
    monkeypatch.setenv("CFLAGS", "-Wall -Wextra -Werror")
    source = ROOT / "engines/flowgimbal/engines/native/sampling.c"
    for name in ("first", "second"):
        assert compiling.compiled(source, tmp_path / name) == ""
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    load = f"import ctypes; print(ctypes.CDLL({str(tmp_path / 'first')!r}).usable())"
    assert subprocess.run([sys.executable, "-c", load], capture_output=True, check=True).stdout.strip() in (b"0", b"1")


class Building:
    """The hook as hatchling runs it, over a source tree of its own."""

    def __init__(self, compiling, tmp_path: Path) -> None:
        self.folder = tmp_path / "engines" / compiling.NATIVE
        self.folder.mkdir(parents=True)
        shutil.copy(ROOT / "engines" / compiling.NATIVE / "sampling.c", self.folder)
        self.hook = compiling.CompiledSampling(str(tmp_path), {}, None, None, "", "wheel")
        self.data = {"artifacts": [], "force_include": {}, "pure_python": True}

    def run(self, version: str) -> list[str]:
        """Names in the source tree afterwards."""
        self.hook.initialize(version, self.data)
        return sorted(path.name for path in self.folder.iterdir())


@pytest.fixture
def building(compiling, tmp_path):
    return Building(compiling, tmp_path)


@can_compile
def test_a_wheel_gets_the_library_and_the_source_tree_does_not(building):
    assert building.run("standard") == ["sampling.c"]
    ((made, inside),) = building.data["force_include"].items()
    assert Path(made).stat().st_size
    assert inside == "flowgimbal/engines/native/sampling.library"
    assert not building.data["pure_python"]
    assert building.data["tag"].startswith("py3-none-linux")
    building.hook.finalize("standard", building.data, "")
    assert not Path(made).exists()


@can_compile
def test_an_editable_installation_gets_it_beside_its_source(building):
    assert building.run("editable") == ["sampling.c", "sampling.library"]
    assert building.data == {"artifacts": [], "force_include": {}, "pure_python": True}


@pytest.mark.parametrize("version", ["standard", "editable"])
@pytest.mark.parametrize(("compiler", "told"), [("no-such-compiler", "no C compiler"), ("false", "false failed")])
def test_without_a_compiler_the_package_is_built_all_the_same(building, monkeypatch, capsys, compiler, told, version):
    monkeypatch.setenv("CC", compiler)
    assert building.run(version) == ["sampling.c"]
    assert building.data == {"artifacts": [], "force_include": {}, "pure_python": True}
    assert told in capsys.readouterr().err


@can_compile
def test_a_folder_that_takes_nothing_ends_no_installation(compiling, building, monkeypatch, capsys):
    def refuse(*_: object) -> None:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(compiling.shutil, "copy", refuse)
    assert building.run("editable") == ["sampling.c"]
    assert "read-only file system" in capsys.readouterr().err
