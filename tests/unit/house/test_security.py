"""What SECURITY.md promises is held by tests that exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PROMISES = (ROOT / "SECURITY.md").read_text().partition("## What is promised")[2].partition("\n## ")[0]
ROWS = [row for row in PROMISES.splitlines() if row.startswith("| ")][1:]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split("|")[1].strip()[:40])
def test_every_promise_names_tests_that_are_there(row: str) -> None:
    promise, held_by = row.strip("| ").split(" | ")
    assert promise
    found = 0
    for file, names in re.findall(r"\]\((tests/[^)]+\.py)\)((?:[:,] `test_\w+`)*)", held_by):
        text = (ROOT / file).read_text()
        for name in re.findall(r"test_\w+", names):
            assert f"def {name}(" in text, f"{file} has no {name}"
            found += 1
    assert found, "no test is named"
