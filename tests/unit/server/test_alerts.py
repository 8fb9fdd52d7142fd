"""The alert rules are PromQL, and ask for metrics and stages that a server has."""

from __future__ import annotations

import re
from pathlib import Path

import promql_parser
import pytest
import yaml

from flowgimbal.server.job import STAGES
from flowgimbal.server.metrics import Metrics

MONITORING = Path(__file__).parents[3] / "docker" / "monitoring"
RULES = yaml.safe_load((MONITORING / "alerts.yaml").read_text())["groups"][0]["rules"]
SCRAPE = yaml.safe_load((MONITORING / "prometheus.yaml").read_text())


@pytest.fixture(scope="module")
def samples() -> set[str]:
    metrics = Metrics()
    metrics.engine("identity", "0")
    return {sample.name for family in metrics.registry.collect() for sample in family.samples}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_rule_asks_for_what_a_server_has(rule: dict[str, object], samples: set[str]) -> None:
    expression = str(rule["expr"])
    names = set(re.findall(r"\bflowgimbal_\w+", expression))
    assert names or 'up{job="flowgimbal"}' in expression
    assert names <= samples
    assert set(re.findall(r'stage="(\w+)"', expression)) <= set(STAGES)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_rule_says_why(rule: dict[str, dict[str, str]]) -> None:
    assert rule["annotations"]["summary"]
    assert rule["annotations"]["reason"]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_rule_compares(rule: dict[str, str]) -> None:
    # Without a comparison a rule would fire whenever its metrics exist; bad grammar does not parse.
    expression = promql_parser.parse(rule["expr"])
    assert str(expression.op) in {"==", ">", "unless"}


def test_names_are_unique() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)


def test_example_loads_the_rules_under_the_job_they_name() -> None:
    assert [(MONITORING / name).is_file() for name in SCRAPE["rule_files"]] == [True]
    assert [job["job_name"] for job in SCRAPE["scrape_configs"]] == ["flowgimbal"]
