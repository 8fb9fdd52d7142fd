"""A plan is loaded for what it was built for, or not at all."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from flowgimbal.engines.gpu.cache import PlanCache, PlanKey, default_folder

KEY = PlanKey.of("flow", b"network", "tensorrt 11.4.0", "NVIDIA H100 (9.0)")


def test_what_was_stored_is_loaded(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path / "plans")
    assert cache.load(KEY) is None
    assert cache.why_not(KEY) == "not built yet"
    cache.store(KEY, b"plan")
    assert cache.load(KEY) == b"plan"
    assert cache.why_not(KEY) == ""
    assert not list((tmp_path / "plans").glob(".*"))


@pytest.mark.parametrize("field", ["network", "onnx", "builder", "card", "precision"])
def test_a_plan_for_anything_else_is_not(tmp_path: Path, field: str) -> None:
    cache = PlanCache(tmp_path)
    cache.store(KEY, b"plan")
    assert cache.load(dataclasses.replace(KEY, **{field: "another"})) is None


def test_why_names_plans_for_others(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.store(KEY, b"plan")
    other = dataclasses.replace(KEY, card="NVIDIA L4 (8.9)")
    assert cache.why_not(other) == "not built for this card and version (1 for others)"


def test_damage_is_found(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.store(KEY, b"plan")
    (tmp_path / f"{KEY.stem}.plan").write_bytes(b"plam")
    assert "damaged" in cache.why_not(KEY)
    assert cache.load(KEY) is None
    (tmp_path / f"{KEY.stem}.json").write_text("{")
    assert "unreadable" in cache.why_not(KEY)
    (tmp_path / f"{KEY.stem}.json").write_text("[]")
    assert "unreadable" in cache.why_not(KEY)


def test_a_renamed_plan_is_found_out(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    cache.store(KEY, b"plan")
    other = dataclasses.replace(KEY, card="NVIDIA L4 (8.9)")
    for suffix in (".plan", ".json"):
        (tmp_path / f"{KEY.stem}{suffix}").rename(tmp_path / f"{other.stem}{suffix}")
    assert cache.why_not(other) == "labelled for another card, version or network"
    assert json.loads((tmp_path / f"{other.stem}.json").read_text())["key"]["card"] == KEY.card


def test_timings_are_kept_by_card_and_version(tmp_path: Path) -> None:
    cache = PlanCache(tmp_path)
    assert cache.timings("tensorrt 11", "A") == b""
    cache.store_timings("tensorrt 11", "A", b"learned")
    assert cache.timings("tensorrt 11", "A") == b"learned"
    assert cache.timings("tensorrt 11", "B") == b""


def test_the_folder_is_the_users_choice(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FLOWGIMBAL_ENGINE_CACHE", raising=False)
    assert default_folder() == tmp_path / "flowgimbal" / "engines"
    monkeypatch.setenv("FLOWGIMBAL_ENGINE_CACHE", str(tmp_path / "own"))
    assert default_folder() == tmp_path / "own"
