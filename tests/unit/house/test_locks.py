"""What the images install is pinned, with hashes, within what pyproject.toml asks for."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from locks import LOCKS, Pin, lock, normalized, pins
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[3]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
BASE = PYPROJECT["project"]["dependencies"]
GPU = PYPROJECT["project"]["optional-dependencies"]["gpu"]
HASH = "0" * 64


def asked(file: str) -> list[str]:
    lines = [line.partition("#")[0].strip() for line in (LOCKS / file).read_text().splitlines()]
    return [line for line in lines if line]


def outside(requirements: list[str], pinned: dict[str, Pin]) -> list[str]:
    """The requirements that a lock does not fulfil."""
    found = []
    for text in requirements:
        wanted = Requirement(text)
        pin = pinned.get(normalized(wanted.name))
        if pin is None or not wanted.specifier.contains(pin.version, prereleases=True):
            found.append(f"{text}: {pin.version if pin else 'not pinned'}")
    return found


@pytest.mark.parametrize(
    ("name", "requirements"),
    [
        ("cpu", BASE),
        ("gpu", BASE + GPU),
        ("build", PYPROJECT["build-system"]["requires"] + asked("build.in")),
        ("tools", asked("tools.in")),
    ],
)
def test_what_is_asked_for_is_pinned_within_its_range(name: str, requirements: list[str]) -> None:
    assert outside(requirements, lock(name)) == []


@pytest.mark.parametrize("file", sorted(LOCKS.glob("*.txt")), ids=lambda file: file.stem)
def test_every_pin_has_hashes(file: Path) -> None:
    assert [pin.name for pin in lock(file.stem).values() if not pin.sha256] == []


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_everything_is_installed_on_every_machine(name: str) -> None:
    assert [pin.name for pin in lock(name).values() if pin.marker] == []


def test_both_images_have_the_same_base() -> None:
    cpu, gpu = lock("cpu"), lock("gpu")
    assert {name: gpu.get(name) for name in cpu} == cpu


@pytest.mark.parametrize("name", ["cpu", "gpu", "build"])
def test_what_the_pinned_need_is_pinned_too(name: str) -> None:
    # As far as it is installed here; `install.sh` runs `pip check` over the rest.
    pinned = lock(name)
    found = []
    for package in pinned:
        try:
            needs = metadata.requires(package) or []
        except metadata.PackageNotFoundError:
            continue
        needs = [need for need in needs if not (m := Requirement(need).marker) or m.evaluate({"extra": ""})]
        found += [f"{package}: {need}" for need in needs if normalized(Requirement(need).name) not in pinned]
    assert found == []


def test_a_lock_out_of_range_is_found() -> None:
    assert outside(["numpy>=2", "av"], pins("numpy==1.26.4")) == ["numpy>=2: 1.26.4", "av: not pinned"]


def test_pins_are_read_over_lines_and_comments() -> None:
    hashes = f"    --hash=sha256:{HASH} \\\n    --hash=sha256:{HASH}\n"
    text = f"# a\nOne_A==1.0 ; python_version < '3.13' \\\n{hashes}    # via b\n"
    assert pins(text) == {"one-a": Pin("one-a", "1.0", "python_version < '3.13'", (HASH, HASH))}


@pytest.mark.parametrize(
    "text", ["av", "av>=1", "-e .", "av @ https://example.org/av.whl", "av==1 --hash=md5:00", "av==1\nAv==1"]
)
def test_what_is_no_pin_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"pin|SHA-256"):
        pins(text)
