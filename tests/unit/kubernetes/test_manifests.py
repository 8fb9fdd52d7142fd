"""What the chart renders is valid, and its parts agree with each other and with the programs that they start."""

from __future__ import annotations

import re
import tomllib
from pathlib import PurePosixPath
from typing import Any

import promql_parser
import pytest
import yaml
from chart import CHART, NEEDS_HELM, OPTIONS, ROOT, Release, render

from flowgimbal.client.cli import health, serve
from flowgimbal.client.cli.layers import configure
from flowgimbal.server.app import FAREWELL_SECONDS
from flowgimbal.server.config import host_and_port, is_local
from flowgimbal.server.metrics import Metrics
from flowgimbal.server.pipeline import LEAVE_SECONDS

kubernetes_validate = pytest.importorskip("kubernetes_validate")
pytestmark = NEEDS_HELM

OLDEST = re.fullmatch(r">=(1\.\d+)\.0-0", yaml.safe_load((CHART / "Chart.yaml").read_text())["kubeVersion"])[1]
NEWEST = kubernetes_validate.latest_version().rpartition(".")[0]


@pytest.fixture(scope="module", params=OPTIONS)
def release(request) -> Release:
    return render(OPTIONS[request.param])


def settings(release: Release) -> serve.Config:
    """What the server makes of the arguments that its pod gives."""
    command, *flags = release.pods["server"].container["args"]
    assert command == "serve"
    return configure(serve.Config, command, "", flags, {})


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_every_manifest_is_one(release: Release, version: str) -> None:
    assert release.manifests
    for manifest in release.manifests:
        if manifest["kind"] == "PodMonitor":  # the operator's, not Kubernetes'
            continue
        kubernetes_validate.validate(manifest, version, strict=True)


def test_no_two_have_one_name(release: Release) -> None:
    names = [(manifest["kind"], manifest["metadata"]["name"]) for manifest in release.manifests]
    assert len(set(names)) == len(names)


def test_pods_may_do_nothing(release: Release) -> None:
    # What the Pod Security Standard "restricted" asks for, and a root filesystem that cannot be written.
    for pod in release.pods.values():
        assert pod.spec["automountServiceAccountToken"] is False
        assert pod.spec["securityContext"]["runAsNonRoot"] is True
        assert pod.spec["securityContext"]["runAsUser"] >= 1000
        assert pod.spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod.container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert not {"hostNetwork", "hostPID", "hostIPC"} & pod.spec.keys()
        assert {kind for volume in pod.spec["volumes"] for kind in volume} <= {
            "name",
            "emptyDir",
            "secret",
            "configMap",
            "persistentVolumeClaim",
        }


def test_the_user_is_the_image_s(release: Release) -> None:
    user = re.search(r"^USER (\d+)$", (ROOT / "docker" / "Dockerfile.cpu").read_text(), re.MULTILINE)[1]
    assert release.pods["server"].spec["securityContext"]["runAsUser"] == int(user)


def test_what_is_mounted_is_there_and_what_is_read_is_mounted(release: Release) -> None:
    for pod in release.pods.values():
        mounts = pod.container["volumeMounts"]
        assert sorted(mount["name"] for mount in mounts) == sorted(volume["name"] for volume in pod.spec["volumes"])
        assert not any("subPath" in mount for mount in mounts), "what is mounted so does not change with its Secret"
        texts = pod.container.get("args", []) + pod.container.get("command", [])
        if pod.labels["app.kubernetes.io/component"] == "envoy":
            texts += [text for config in release.all("ConfigMap").values() for text in config["data"].values()]
        folders = [PurePosixPath(mount["mountPath"]) for mount in mounts]
        for path in re.findall(r"/(?:etc|tmp)/[\w./-]+", "\n".join(texts)):
            assert any(PurePosixPath(path).is_relative_to(folder) for folder in folders), path
            if path.startswith("/etc/envoy/"):
                assert any(PurePosixPath(path).name in config["data"] for config in release.all("ConfigMap").values())


def test_the_server_knows_its_flags(release: Release, request) -> None:
    config = settings(release)
    wanted: dict[str, Any] = yaml.safe_load((CHART / "values.yaml").read_text())["settings"]
    wanted |= OPTIONS[request.node.callspec.params["release"]].get("settings", {})
    assert {name: getattr(config, name) for name in wanted} == wanted
    assert config.decodes_apart == (config.decoders != "thread")


def test_ports_are_those_that_the_server_opens(release: Release) -> None:
    config = settings(release)
    ports = {port["name"]: port["containerPort"] for port in release.pods["server"].container["ports"]}
    (reached,) = [address for address in config.listen if not is_local(address)]
    assert ports == {"grpc": host_and_port("", reached)[1], "metrics": host_and_port("", config.metrics_listen)[1]}


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probes_ask_for_health_over_the_socket(release: Release, probe: str) -> None:
    found = release.pods["server"].container[probe]
    program, command, *flags = found["exec"]["command"]
    asked = configure(health.Config, command, "", flags, {})
    assert (program, command) == ("flowgimbal", "health")
    assert asked.server in settings(release).listen
    assert asked.server.startswith("unix:/tmp/"), "the one way in without TLS that others cannot reach"
    assert asked.timeout + 1 < found["timeoutSeconds"], "a program that is killed says nothing"


def test_a_server_has_its_time_to_start(release: Release, request) -> None:
    probe = release.pods["server"].container["startupProbe"]
    wanted = OPTIONS[request.node.callspec.params["release"]].get("startupSeconds", 60)
    assert probe["periodSeconds"] * probe["failureThreshold"] >= wanted
    assert release.pods["server"].deployment["spec"]["progressDeadlineSeconds"] > wanted


@pytest.mark.parametrize("grace", [None, 0, 0.5, 120])
def test_a_server_has_its_time_to_drain(grace: float | None) -> None:
    release = render({"settings": {"drain_grace_seconds": grace}} if grace is not None else {})
    pod = release.pods["server"]
    config = settings(release)
    assert grace is None or config.drain_grace_seconds == grace
    pause = pod.container["lifecycle"]["preStop"]["sleep"]["seconds"]
    needed = pause + config.drain_grace_seconds + LEAVE_SECONDS + FAREWELL_SECONDS
    assert needed <= pod.spec["terminationGracePeriodSeconds"] <= needed + 10
    assert pause < release.pods["envoy"].spec["terminationGracePeriodSeconds"]


def test_everything_finds_its_pods(release: Release) -> None:
    labels = {name: pod.labels for name, pod in release.pods.items()}
    ports = {name: {port["name"] for port in pod.container["ports"]} for name, pod in release.pods.items()}

    def component(selector: dict[str, str]) -> str:
        (found,) = [name for name in labels if selector.items() <= labels[name].items()]
        return found

    for deployment in release.all("Deployment").values():
        component(deployment["spec"]["selector"]["matchLabels"])
        for spread in deployment["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            selector = spread["labelSelector"]["matchLabels"]
            assert component(selector) == component(deployment["spec"]["selector"]["matchLabels"])
    for service in release.all("Service").values():
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= ports[
            component(service["spec"]["selector"])
        ]
    budgets = release.all("PodDisruptionBudget").values()
    assert {component(budget["spec"]["selector"]["matchLabels"]) for budget in budgets} == set(labels)
    for monitor in release.all("PodMonitor").values():
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        assert endpoint["port"] in ports[component(monitor["spec"]["selector"]["matchLabels"])]
    for policy in release.all("NetworkPolicy").values():
        component(policy["spec"]["podSelector"]["matchLabels"])


def test_the_network_lets_through_what_is_needed_alone(release: Release) -> None:
    policies = release.all("NetworkPolicy")
    ways = {policy["metadata"]["labels"]["app.kubernetes.io/component"]: policy["spec"] for policy in policies.values()}
    assert set(ways) == set(release.pods)
    for name, way in ways.items():
        assert set(way["policyTypes"]) == {"Ingress", "Egress"}
        inside = {port["containerPort"] for port in release.pods[name].container["ports"]}
        opened = {port["port"] for rule in way["ingress"] for port in rule["ports"]}
        assert 50051 in opened <= inside
    assert ways["server"]["egress"] == []
    if "envoy" in ways:
        (streams, *_) = [rule for rule in ways["server"]["ingress"] if rule["ports"] == [{"port": 50051}]]
        (only,) = streams["from"]
        assert only["podSelector"]["matchLabels"]["app.kubernetes.io/component"] == "envoy"


def test_a_servers_service_has_no_address_of_its_own(release: Release) -> None:
    assert release.all("Service")["flowgimbal-servers"]["spec"]["clusterIP"] == "None"


def test_streams_are_counted_to_scale() -> None:
    metrics = Metrics()
    gauges = {family.name for family in metrics.registry.collect() if family.type == "gauge"}
    for name in ("cpu", "gpu"):
        values = OPTIONS[name] | {"autoscaling": {**OPTIONS[name].get("autoscaling", {}), "enabled": True}}
        release = render(values)
        (scaler,) = release.all("HorizontalPodAutoscaler").values()
        target = release.all("Deployment")[scaler["spec"]["scaleTargetRef"]["name"]]
        assert "replicas" not in target["spec"], "an upgrade would set back what the autoscaler chose"
        (metric,) = scaler["spec"]["metrics"]
        assert metric["pods"]["metric"]["name"] in gauges
        # A stream that comes before the new pod does has a place.
        assert int(metric["pods"]["target"]["averageValue"]) < settings(release).max_streams


def test_the_adapter_is_told_of_what_scales() -> None:
    rules = yaml.safe_load((CHART / "adapter-rules.yaml").read_text())["rules"]["custom"]
    (scaler,) = render(OPTIONS["all"]).all("HorizontalPodAutoscaler").values()
    asked = [metric["pods"]["metric"]["name"] for metric in scaler["spec"]["metrics"]]
    assert [rule["seriesQuery"].partition("{")[0] for rule in rules] == asked
    for rule in rules:
        promql_parser.parse(rule["seriesQuery"])
        labels = set(re.findall(r'(\w+)!=""', rule["seriesQuery"]))
        assert set(rule["resources"]["overrides"]) == labels
        query = rule["metricsQuery"]
        for part, value in {".Series": asked[0], ".LabelMatchers": 'pod=~"a|b"', ".GroupBy": "pod"}.items():
            query = query.replace(f"<<{part}>>", value)
        promql_parser.parse(query)


def test_a_card_s_use_scales_if_wished() -> None:
    (scaler,) = render(OPTIONS["all"]).all("HorizontalPodAutoscaler").values()
    asked = {metric["pods"]["metric"]["name"]: metric["pods"]["target"] for metric in scaler["spec"]["metrics"]}
    assert asked["DCGM_FI_DEV_GPU_UTIL"] == {"type": "AverageValue", "averageValue": "80"}


def test_monitored_pods_are_those_of_the_alerts() -> None:
    (monitor,) = render(OPTIONS["all"]).all("PodMonitor").values()
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert endpoint["relabelings"] == [{"targetLabel": "job", "replacement": "flowgimbal"}]
    assert 'job="flowgimbal"' in (ROOT / "docker" / "monitoring" / "alerts.yaml").read_text()


@pytest.mark.parametrize("name", ["cpu", "gpu"])
def test_the_memory_is_enough_for_the_longest_look_ahead(name: str) -> None:
    release = render(OPTIONS[name])
    config, resources = settings(release), release.pods["server"].container["resources"]
    pictures = config.max_streams * 61 * config.max_frame_pixels * 3
    assert pictures + (300 << 20) <= int(resources["limits"]["memory"].removesuffix("Gi")) << 30
    assert "cpu" not in resources["limits"]


def test_a_card_is_asked_for() -> None:
    pod = render(OPTIONS["gpu"]).pods["server"]
    assert pod.container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod.container["image"] == "flowgimbal:gpu"
    (cache,) = [mount["mountPath"] for mount in pod.container["volumeMounts"] if mount["name"] == "cache"]
    plans = re.search(r"FLOWGIMBAL_ENGINE_CACHE=(\S+)", (ROOT / "docker" / "Dockerfile.gpu").read_text())[1]
    assert PurePosixPath(plans).is_relative_to(cache)


def test_a_claim_takes_the_place_of_the_pod_s_own_cache() -> None:
    volumes = render(OPTIONS["all"]).pods["server"].spec["volumes"]
    assert {"name": "cache", "persistentVolumeClaim": {"claimName": "plans"}} in volumes


def test_envoy_does_here_what_it_does_elsewhere() -> None:
    (config,) = render(OPTIONS["insecure"]).all("ConfigMap").values()
    ours = yaml.safe_load(config["data"]["envoy.yaml"])["static_resources"]
    plain = yaml.safe_load((ROOT / "docker" / "envoy" / "envoy.yaml").read_text())["static_resources"]

    def parts(found: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        (listener,), (cluster,) = found["listeners"], found["clusters"]
        (chain,) = listener["filter_chains"]
        return listener, chain["filters"][0]["typed_config"], cluster

    listener, manager, cluster = parts(plain)
    own_listener, own_manager, own_cluster = parts(ours)
    same = "per_connection_buffer_limit_bytes"
    assert own_listener[same] == listener[same]
    assert {**own_manager} == {
        **manager,
        "use_remote_address": True,
        "http2_protocol_options": own_manager["http2_protocol_options"],
    }
    own = {"load_assignment", "typed_extension_protocol_options", "health_checks"}
    assert {k: v for k, v in own_cluster.items() if k not in own} == {k: v for k, v in cluster.items() if k not in own}
    assert own_cluster["health_checks"] == [{**cluster["health_checks"][0], "interval": "1s"}]


def test_envoy_finds_the_servers_by_name(release: Release) -> None:
    for config in release.all("ConfigMap").values():
        (cluster,) = yaml.safe_load(config["data"]["envoy.yaml"])["static_resources"]["clusters"]
        (group,) = cluster["load_assignment"]["endpoints"]
        (one,) = group["lb_endpoints"]
        address = one["endpoint"]["address"]["socket_address"]
        service, namespace, _ = address["address"].split(".", 2)
        (port,) = release.all("Service")[service]["spec"]["ports"]
        assert (namespace, address["port_value"]) == ("video", port["port"])


def test_the_chart_is_the_release_s() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["appVersion"] == version
