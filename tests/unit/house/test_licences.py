"""No licence is unknown or goes badly with ours; what an image holds is held against its lock (.ci/bom.py)."""

from __future__ import annotations

import re
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from bom import complaints, complete, libraries
from licences import Licences, is_allowed, table
from locks import Pin, lock, normalized
from packaging.licenses import canonicalize_license_expression
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
TABLE = table()
EVERY = [*TABLE.packages.items()] + [item for inside in TABLE.bundled.values() for item in inside.items()]
SMALL = Licences({"one": "MIT"}, {"one": {"libtwo": "GPL-2.0-or-later"}}, frozenset({"MIT"}), frozenset(), frozenset())
PINNED = {"one": Pin("one", "1.0", "", ("0" * 64,))}


@pytest.mark.parametrize(("name", "expression"), EVERY, ids=[name for name, _ in EVERY])
def test_licence_is_an_spdx_expression(name: str, expression: str) -> None:
    assert canonicalize_license_expression(expression) == expression


@pytest.mark.parametrize(
    ("image", "allowed"), [("cpu", TABLE.permissive), ("gpu", TABLE.permissive | TABLE.gpu_only)], ids=["cpu", "gpu"]
)
def test_pinned_packages_are_allowed(image: str, allowed: frozenset[str]) -> None:
    assert [name for name in lock(image) if not is_allowed(TABLE.packages.get(name, "unknown"), allowed)] == []


@pytest.mark.parametrize("package", TABLE.bundled)
def test_bundled_libraries_are_allowed(package: str) -> None:
    allowed = TABLE.permissive | TABLE.bundled_only
    assert [name for name, said in TABLE.bundled[package].items() if not is_allowed(said, allowed)] == []


def test_no_package_of_the_table_is_pinned_nowhere() -> None:
    assert TABLE.packages.keys() == lock("gpu").keys()


def test_base_install_of_today_is_in_the_table() -> None:
    # What `pip install flowgimbal` brings, of whatever release is here: newer ones than the images' may need more.
    found, todo = set(), ["flowgimbal"]
    while todo:
        for text in metadata.requires(todo.pop()) or []:
            need = Requirement(text)
            name = normalized(need.name)
            if name not in found and (need.marker is None or need.marker.evaluate({"extra": ""})):
                found.add(name)
                todo.append(name)
    allowed = {name for name in found if is_allowed(TABLE.packages.get(name, "unknown"), TABLE.permissive)}
    assert found - allowed == set()


@pytest.mark.parametrize("expression", ["", "GPL-2.0-only", "AGPL-3.0-or-later", "MIT AND SSPL-1.0", "MIT AND"])
def test_other_licences_are_not_allowed(expression: str) -> None:
    assert not is_allowed(expression, TABLE.permissive | TABLE.bundled_only | TABLE.gpu_only)


def test_one_of_two_is_enough() -> None:
    assert is_allowed("GPL-2.0-only OR MIT AND BSD-2-Clause", frozenset({"MIT", "BSD-2-Clause"}))


def listed(**changes: Any) -> dict[str, Any]:
    return {"components": [{"name": "One", "version": "1.0", "licenses": [{"license": {"id": "MIT"}}], **changes}]}


@pytest.mark.parametrize(
    ("bom", "said"),
    [
        ({"components": []}, "one is pinned and not there"),
        ({"components": [*listed()["components"], *listed(name="x")["components"]]}, "x is there and not pinned"),
        (listed(version="1.1"), "one is 1.1, pinned is 1.0"),
        (listed(licenses=[]), "one: an unknown licence is not allowed"),
        (listed(licenses=[{"license": {"name": "of ours"}}]), "one: an unknown licence is not allowed"),
        (listed(licenses=[{"expression": "AGPL-3.0-only"}]), "one: AGPL-3.0-only is not allowed"),
        (
            listed(licenses=[{"expression": "BSD-2-Clause"}]),
            "one is under 'BSD-2-Clause', docker/licences.toml says 'MIT'",
        ),
        (listed(components=[{"name": "liba"}]), "one carries liba: an unknown licence is not allowed"),
        (
            listed(components=[{"name": "libtwo", "licenses": [{"expression": "GPL-2.0-or-later"}]}]),
            "one carries libtwo: GPL-2.0-or-later is not allowed",
        ),
    ],
)
def test_what_does_not_fit_the_lock_is_found(bom: dict[str, Any], said: str) -> None:
    assert said in complaints(bom, PINNED, SMALL, frozenset())


def test_what_fits_is_not_complained_about() -> None:
    assert complaints(listed(), PINNED, SMALL, frozenset()) == []


def test_what_metadata_leave_out_is_completed(tmp_path: Path) -> None:
    (tmp_path / "one.libs").mkdir()
    (tmp_path / "one.libs" / "libtwo-0123abcd.so.7.1").write_bytes(b"")
    bom = listed(licenses=[{"license": {"name": "MIT, more or less"}}])
    complete(bom, tmp_path, SMALL)
    (one,) = bom["components"]
    assert one["purl"] == "pkg:pypi/one@1.0"
    assert one["licenses"] == [{"expression": "MIT", "acknowledgement": "concluded"}]
    (two,) = one["components"]
    assert (two["name"], two["version"], two["licenses"][0]["expression"]) == ("libtwo", "7.1", "GPL-2.0-or-later")
    assert two["hashes"][0]["content"].startswith("e3b0c442")


@pytest.mark.parametrize(
    ("file", "name", "version"),
    [
        ("libx264-d6533a8d.so.165", "libx264", "165"),
        ("libxcb-shape-7716c890.so.0.0.0", "libxcb-shape", "0.0.0"),
        ("libgfortran-040039e1-0352e75f.so.5.0.0", "libgfortran", "5.0.0"),
        ("libopenblasp-r0-59ffcd50.3.15.so", "libopenblasp-r0", "3.15"),
        ("libscipy_openblas64_-32a4b2a6.so", "libscipy_openblas64_", None),
        ("libcrypto-5409cd36.so.1.1.1k", "libcrypto", "1.1.1k"),
    ],
)
def test_a_library_is_known_by_its_file(tmp_path: Path, file: str, name: str, version: str | None) -> None:
    (tmp_path / "one.libs").mkdir()
    (tmp_path / "one.libs" / file).write_bytes(b"")
    (found,) = libraries(tmp_path, "one", SMALL)
    assert (found["name"], found.get("version")) == (name, version)


def test_every_file_of_our_wheel_has_a_licence() -> None:
    text = (ROOT / "docs" / "licences.md").read_text().partition("## In our own wheel")[2].partition("\n## ")[0]
    patterns = [p for row in re.findall(r"(?m)^\| (`.+?) \|", text) for p in re.findall(r"`(.+?)`", row)]
    roots = [ROOT / root for root in ("proto", "engines", "server", "client")]
    files = {
        str(file.relative_to(root))
        for root in roots
        for file in (root / "flowgimbal").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert [file for file in sorted(files) if not any(fnmatch(file, pattern) for pattern in patterns)] == []
    assert [pattern for pattern in patterns if not any(fnmatch(file, pattern) for file in files)] == []
