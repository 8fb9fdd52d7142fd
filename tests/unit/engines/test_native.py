"""The compiled roads: how they come into an installation, and what is said where they did not."""

from __future__ import annotations

import _ctypes
import importlib.util
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from both_roads import compiled_alone

from flowgimbal.engines import info, native, onnx_flow
from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.native import fit, sampling
from flowgimbal.engines.onnx_flow import OnnxFlow

ROOT = Path(__file__).parents[3]
SOURCES = sorted(path.name for path in (ROOT / "engines/flowgimbal/engines/native").glob("*.[ch]"))


def forget() -> None:
    """The library is looked for anew."""
    for cached in (native.why_not, native._library, onnx_flow.flow_times):
        cached.cache_clear()


def test_without_the_library_it_says_why_and_takes_nothing(monkeypatch, tmp_path):
    forget()
    monkeypatch.setattr(native, "LIBRARY", tmp_path / "native.library")
    try:
        assert "no C compiler" in native.why_not()
        assert not sampling.takes(np.zeros((40, 40), np.uint8))
        assert not fit.takes((44, 80))
        assert onnx_flow.forms() == ["fp32", "int8"]
        with pytest.raises(EngineError, match="no C compiler"):
            OnnxFlow("int8, compiled between")
        assert any(
            line.startswith("  compiled library not used") and "no C compiler" in line for line in info.describe()
        )
        forget()
        native.LIBRARY.write_bytes(b"not a library")
        assert "does not load" in native.why_not()
        forget()
        monkeypatch.setattr(native, "LIBRARY", Path(_ctypes.__file__))
        assert "does not load" in native.why_not()
    finally:
        forget()


@pytest.fixture
def compiling():
    spec = importlib.util.spec_from_file_location("compile_native", ROOT / "engines" / "compile_native.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


can_compile = pytest.mark.skipif(
    not shutil.which("cc") or platform.machine() != "x86_64", reason="no C compiler for x86-64 here"
)


@compiled_alone
def test_a_library_of_another_version_is_not_called(monkeypatch):
    forget()
    monkeypatch.setattr(native, "REVISION", native.REVISION + 1)
    try:
        assert "another version" in native.why_not()
    finally:
        forget()


@can_compile
def test_compiles_without_a_warning_and_twice_the_same(compiling, monkeypatch, tmp_path):
    monkeypatch.setenv("CFLAGS", "-Wall -Wextra -Werror")
    folder = ROOT / "engines/flowgimbal/engines/native"
    for name in ("first", "second"):
        assert compiling.compiled(folder, tmp_path / name) == ""
    assert (tmp_path / "first").read_bytes() == (tmp_path / "second").read_bytes()
    load = f"import ctypes; print(ctypes.CDLL({str(tmp_path / 'first')!r}).usable())"
    assert subprocess.run([sys.executable, "-c", load], capture_output=True, check=True).stdout.strip() in (b"0", b"1")


class Building:
    """The hook as hatchling runs it, over a source tree of its own."""

    def __init__(self, compiling, tmp_path: Path) -> None:
        self.folder = tmp_path / "engines" / compiling.NATIVE
        self.folder.mkdir(parents=True)
        for name in SOURCES:
            shutil.copy(ROOT / "engines" / compiling.NATIVE / name, self.folder)
        self.hook = compiling.CompiledLibrary(str(tmp_path), {}, None, None, "", "wheel")
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
    assert building.run("standard") == SOURCES
    ((made, inside),) = building.data["force_include"].items()
    assert Path(made).stat().st_size
    assert inside == "flowgimbal/engines/native/native.library"
    assert not building.data["pure_python"]
    assert building.data["tag"].startswith("py3-none-linux")
    building.hook.finalize("standard", building.data, "")
    assert not Path(made).exists()


@can_compile
def test_an_editable_installation_gets_it_beside_its_source(building):
    assert building.run("editable") == sorted([*SOURCES, "native.library"])
    assert building.data == {"artifacts": [], "force_include": {}, "pure_python": True}


@pytest.mark.parametrize("version", ["standard", "editable"])
@pytest.mark.parametrize(("compiler", "told"), [("no-such-compiler", "no C compiler"), ("false", "false failed")])
def test_without_a_compiler_the_package_is_built_all_the_same(building, monkeypatch, capsys, compiler, told, version):
    monkeypatch.setenv("CC", compiler)
    assert building.run(version) == SOURCES
    assert building.data == {"artifacts": [], "force_include": {}, "pure_python": True}
    assert told in capsys.readouterr().err


@can_compile
def test_a_folder_that_takes_nothing_ends_no_installation(compiling, building, monkeypatch, capsys):
    def refuse(*_: object) -> None:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(compiling.shutil, "copy", refuse)
    assert building.run("editable") == SOURCES
    assert "read-only file system" in capsys.readouterr().err
