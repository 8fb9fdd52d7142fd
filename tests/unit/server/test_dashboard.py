"""The dashboard asks, in PromQL, for metrics and labels that a server has."""

from __future__ import annotations

import itertools
import json
import re
import sys
from pathlib import Path
from typing import Any

import promql_parser
import pytest

from flowgimbal.server.metrics import Metrics

BOARD = json.loads((Path(__file__).parents[3] / "docker" / "monitoring" / "dashboard.json").read_text())
PANELS = {panel["title"]: panel for panel in BOARD["panels"]}
QUERIES = [(title, target["expr"]) for title, panel in PANELS.items() for target in panel["targets"]]
GRAFANA = {"$__rate_interval": "1m", "$instance": ".*"}


@pytest.fixture(scope="module")
def labels() -> dict[str, set[str]]:
    """The names of a server's samples, each with its labels and those that Prometheus adds."""
    metrics = Metrics()
    metrics.engine("identity", "0")
    metrics.refused.labels("DRAINING")
    found: dict[str, set[str]] = {}
    for family in metrics.registry.collect():
        for sample in family.samples:
            found.setdefault(sample.name, {"job", "instance"}).update(sample.labels)
    return found


def parse(query: str) -> Any:
    for variable, value in GRAFANA.items():
        query = query.replace(variable, value)
    assert "$" not in query
    return promql_parser.parse(query)


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_query_asks_for_what_a_server_has(title: str, query: str, labels: dict[str, set[str]]) -> None:
    parse(query)
    if not sys.platform.startswith("linux"):
        labels = labels | {name: {"job", "instance"} for name in re.findall(r"\bprocess_\w+", query)}
    names = re.findall(r"\b(\w+)\{", query)
    assert names
    assert set(names) <= labels.keys()
    known = set.intersection(*(labels[name] for name in names))
    grouped = {label for group in re.findall(r"\bby \(([^)]*)\)", query) for label in group.split(", ")}
    assert grouped <= known
    assert set(re.findall(r"[{,]\s*(\w+)=", query)) == {"job", "instance"}, "as the alerts ask, and as one chooses"


@pytest.mark.parametrize(("title", "query"), QUERIES)
def test_counters_are_asked_for_their_rates(title: str, query: str) -> None:
    for name in re.findall(r"\b(\w+_(?:total|sum|count|bucket))\{", query):
        assert re.search(rf"rate\({name}\{{[^}}]*\}}\[\$__rate_interval\]\)", query)


@pytest.mark.parametrize("title", PANELS)
def test_legend_shows_what_tells_the_lines_apart(title: str) -> None:
    for target in PANELS[title]["targets"]:
        grouped = set(re.findall(r"\bby \(([^)]*)\)", target["expr"]))
        shown = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
        assert target["legendFormat"]
        assert {frozenset(group.split(", ")) - {"le"} for group in grouped} <= {frozenset(shown)}


def test_panels_say_what_they_show_and_lie_beside_each_other() -> None:
    assert len({panel["id"] for panel in BOARD["panels"]}) == len(PANELS) == len(BOARD["panels"])
    assert all(panel["description"] for panel in BOARD["panels"])
    places = [panel["gridPos"] for panel in BOARD["panels"]]
    assert all(place["x"] + place["w"] <= 24 for place in places)
    for one, other in itertools.combinations(places, 2):
        beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert beside or above


def test_what_an_operator_asks_for_is_there() -> None:
    shown = {name for _, query in QUERIES for name in re.findall(r"\b(\w+)\{", query)}
    ours = {family.name for family in Metrics().registry.collect() if family.name.startswith("flowgimbal_")}
    assert {name for name in ours if not any(asked.startswith(name) for asked in shown)} == set()
