"""Values that cannot be meant are errors that name them, and the schema knows what the server knows."""

from __future__ import annotations

import json
from dataclasses import fields
from itertools import product
from typing import Any

import pytest
import yaml
from chart import CHART, NEEDS_HELM, render

from flowgimbal.server.config import ServeConfig

pytestmark = NEEDS_HELM

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
SETTINGS = SCHEMA["properties"]["settings"]["properties"]

# The chart's own business, and what a pod has no use for: pods are its processes, its image has no OpenTelemetry.
NOT_SET = {
    *("listen", "metrics_listen", "tls_certificate", "tls_key", "tls_client_ca", "tokens_file", "tokens", "insecure"),
    *("processes", "traces", "trace_frames"),
}

WRONG = [
    ({"setings": {}}, "setings"),
    ({"settings": {"max_stream": 3}}, "max_stream"),
    ({"settings": {"max_streams": 0}}, "/settings/max_streams"),
    ({"settings": {"max_streams": "3"}}, "/settings/max_streams"),
    ({"settings": {"engine": "abacus"}}, "/settings/engine"),
    ({"settings": {"listen": "0.0.0.0:1"}}, "listen"),
    ({"settings": {"drain_grace_seconds": None}}, "drain_grace_seconds"),
    ({"image": {"tag": ""}}, "/image/tag"),
    ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ({"replicas": "two"}, "/replicas"),
    ({"resources": {"limits": {"memory": "2GB"}}}, "/resources/limits/memory"),
    ({"resources": {"limit": {}}}, "limit"),
    ({"rollout": {"maxSurge": "a quarter"}}, "/rollout/maxSurge"),
    ({"preStopSeconds": 0}, "/preStopSeconds"),
    ({"startupSeconds": 1.5}, "/startupSeconds"),
    ({"engineCache": {"enabled": "yes"}}, "/engineCache/enabled"),
    ({"nodeSelector": {"gpu": True}}, "/nodeSelector/gpu"),
    ({"envoy": {"service": {"port": 70000}}}, "/envoy/service/port"),
    ({"autoscaling": {"streamsPerPod": 0}}, "/autoscaling/streamsPerPod"),
    ({"autoscaling": {"minReplicas": 11}}, "autoscaling.minReplicas"),
    ({"networkPolicy": {"clients": ["10.0.0.0/8"]}}, "/networkPolicy/clients"),
    ({"podMonitor": {"interval": "often"}}, "/podMonitor/interval"),
    ({"tls": {"secretName": "", "clientCertificates": True}, "insecure": True}, "tls.clientCertificates"),
    ({"tls": {"secretName": ""}}, "tls.secretName"),
    ({"tokens": {"secretName": ""}}, "tokens.secretName"),
]


@pytest.mark.parametrize(("values", "named"), WRONG, ids=[json.dumps(values) for values, _ in WRONG])
def test_a_wrong_value_is_refused_by_name(values: dict[str, Any], named: str) -> None:
    with pytest.raises(ValueError, match=f"{named}\\b"):
        render(values)


@pytest.mark.parametrize("choice", [*product([True, False], repeat=4)], ids=str)
def test_the_chart_refuses_what_the_server_would(choice: tuple[bool, ...]) -> None:
    tls, certificates, tokens, insecure = choice
    values = {
        "tls": {"secretName": "a" if tls else "", "clientCertificates": certificates},
        "tokens": {"secretName": "b" if tokens else ""},
        "insecure": insecure,
    }
    try:
        ServeConfig(
            listen=("0.0.0.0:1",),
            tls_certificate="a" if tls else "",
            tls_key="b" if tls else "",
            tls_client_ca="c" if certificates else "",
            tokens_file="d" if tokens else "",
            insecure=insecure,
        )
    except ValueError:
        with pytest.raises(ValueError, match=r"secretName|clientCertificates"):
            render(values)
    else:
        assert render(values).manifests


def test_settings_are_the_server_s() -> None:
    assert set(SETTINGS) == {field.name for field in fields(ServeConfig)} - NOT_SET


@pytest.mark.parametrize("name", SETTINGS)
def test_a_setting_is_bounded_as_the_server_bounds_it(name: str) -> None:
    (field,) = [field for field in fields(ServeConfig) if field.name == name]
    schema = SETTINGS[name]
    if "enum" in schema:
        assert schema["enum"] == list(field.metadata["choices"])
        return
    assert schema["type"] == {"int": "integer", "float": "number"}[str(field.type)]
    for bound, beyond in ((schema["minimum"], -1), (schema["maximum"], 1)):
        ServeConfig(**{name: bound})
        with pytest.raises(ValueError, match=f"^{name}: "):
            ServeConfig(**{name: bound + beyond})


def test_every_value_stands_in_the_file_and_nothing_is_open() -> None:
    def walk(schema: dict[str, Any], values: dict[str, Any], path: str) -> None:
        if "properties" not in schema:
            return
        assert schema["additionalProperties"] is False, path
        if path != "/settings":
            assert set(schema["properties"]) == set(values), path
        for key, below in schema["properties"].items():
            if isinstance(values.get(key), dict):
                walk(below, values[key], f"{path}/{key}")

    walk(SCHEMA, VALUES, "")
