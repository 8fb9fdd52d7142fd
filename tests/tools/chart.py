"""The chart in docker/kubernetes, for tests: values that try its options, and what it makes of them."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

NEEDS_HELM = pytest.mark.skipif(
    find_spec("helm_python") is None,
    reason="needs Helm's code: helm-python-sdk, which has no wheel for every platform",
)
ROOT = Path(__file__).parents[2]
CHART = ROOT / "docker" / "kubernetes"

OPTIONS: dict[str, dict[str, Any]] = {
    "cpu": {},
    "gpu": yaml.safe_load((CHART / "values-gpu.yaml").read_text()),
    "direct": {"envoy": {"enabled": False}, "networkPolicy": {"clients": [{"podSelector": {}}], "monitoring": []}},
    "insecure": {"insecure": True, "tls": {"secretName": ""}, "tokens": {"secretName": ""}},
    "mutual": {"tls": {"clientCertificates": True, "serverName": "video.example"}, "tokens": {"secretName": ""}},
    "all": {
        "image": {"repository": "registry.example/video/flowgimbal", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "registry"}],
        "settings": {
            "max_streams": 7,
            "max_observers": 2,
            "max_connections": 100,
            "max_frame_pixels": 9437184,
            "max_message_bytes": 67108864,
            "idle_timeout_seconds": 2.5,
            "drain_grace_seconds": 0.5,
            "engine": "cpu",
            "flow": "dis",
            "warp": "homography",
            "decoders": "process",
            "log_format": "text",
            "log_level": "debug",
        },
        "tls": {"clientCertificates": True},
        "rollout": {"maxSurge": "25%", "maxUnavailable": 1},
        "engineCache": {"enabled": True, "existingClaim": "plans"},
        "runtimeClassName": "nvidia",
        "nodeSelector": {"kubernetes.io/arch": "amd64"},
        "tolerations": [{"key": "video", "operator": "Exists"}],
        "envoy": {"service": {"type": "LoadBalancer", "port": 443, "annotations": {"a.example/b": "c"}}},
        "autoscaling": {"enabled": True, "gpuUtilization": 80},
        "networkPolicy": {"clients": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]},
        "podMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
        "clusterDomain": "video.example",
    },
}


class Release:
    """The manifests of a release."""

    def __init__(self, text: str) -> None:
        self.manifests: list[dict[str, Any]] = [found for found in yaml.safe_load_all(text) if found]

    def all(self, kind: str) -> dict[str, dict[str, Any]]:
        return {each["metadata"]["name"]: each for each in self.manifests if each["kind"] == kind}

    @property
    def pods(self) -> dict[str, SimpleNamespace]:
        """By component: the pod's specification, its only container, its labels, and the Deployment."""
        found = {}
        for deployment in self.all("Deployment").values():
            template = deployment["spec"]["template"]
            labels = template["metadata"]["labels"]
            (container,) = template["spec"]["containers"]
            found[labels["app.kubernetes.io/component"]] = SimpleNamespace(
                spec=template["spec"], container=container, labels=labels, deployment=deployment
            )
        return found


def render(values: dict[str, Any]) -> Release:
    """A release called flowgimbal in the namespace video; ValueError with Helm's words where the chart refuses them."""
    tool = Path(__file__).with_name("render_chart.py")
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        json.dump(values, file)
        file.flush()
        done = subprocess.run(
            [sys.executable, tool, file.name], capture_output=True, text=True, timeout=60, check=False
        )
    if done.returncode:
        raise ValueError(done.stderr)
    return Release(done.stdout)
