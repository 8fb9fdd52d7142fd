"""The four source roots, each with its own part of the one namespace package."""

from __future__ import annotations

import subprocess
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SUBPACKAGES = [
    "proto/flowgimbal/v1",
    "engines/flowgimbal/engines",
    "server/flowgimbal/server",
    "client/flowgimbal/client",
]
ROOTS = [Path(package).parent for package in SUBPACKAGES]


@pytest.mark.parametrize("root", ROOTS, ids=str)
def test_namespace_package_stays_open(root: Path) -> None:
    # An __init__.py here would hide the other three roots.
    assert (ROOT / root).is_dir()
    assert not (ROOT / root / "__init__.py").exists()


@pytest.mark.parametrize("root", ROOTS, ids=str)
def test_each_root_has_one_subpackage(root: Path) -> None:
    found = {str(path.parent.relative_to(ROOT)) for path in (ROOT / root).glob("*/__init__.py")}
    assert found == {package for package in SUBPACKAGES if Path(package).parent == root}


@pytest.mark.parametrize("package", SUBPACKAGES)
def test_subpackage_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()
    assert (ROOT / package / "__init__.py").is_file()


@pytest.mark.parametrize("package", SUBPACKAGES)
def test_every_folder_with_modules_is_a_package(package: str) -> None:
    folders = {module.parent for module in (ROOT / package).rglob("*.py")}
    assert [str(folder.relative_to(ROOT)) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_build_names_all_roots() -> None:
    hatch = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]
    assert hatch["dev-mode-dirs"] == [root.parent.name for root in ROOTS]
    assert hatch["targets"]["wheel"]["packages"] == [str(root) for root in ROOTS]


def test_no_machine_paths_in_tracked_files() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout: nothing is tracked")
    # Binary files too: an exporter writes the paths of its sources into a network's file.
    pattern = r"/(work|farm|root|home/[a-z]+|tmp/bash_jobs|opt/wheels|opt/pypi)(/|\.)"
    grep = ["git", "grep", "--text", "--name-only", "--extended-regexp", pattern]
    found = subprocess.run(grep, cwd=ROOT, capture_output=True, text=True, check=False)
    assert found.returncode == 1, f"name a folder of one machine: {found.stdout}{found.stderr}"
