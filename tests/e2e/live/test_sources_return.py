"""Sources that freeze, go away, lose packets or change: the stream goes on."""

from __future__ import annotations

import signal
import socket
import threading
from itertools import pairwise

import av
import numpy as np
import pytest
from e2e.live.programs import live, needs_ffmpeg, publish
from e2e.live.recordings import grown, lines_of
from e2e.ports import free_port, udp_port

pytestmark = needs_ffmpeg


def test_a_source_of_which_nothing_comes_is_told(run, tmp_path):
    source = udp_port()
    program = live(run, "--source", f"rtp://127.0.0.1:{source}", "--sink", tmp_path / "steady.mkv")
    publish(run, "-flags:v", "+global_header", "-f", "rtp", f"rtp://127.0.0.1:{source}")  # parameter sets aside
    program.wait_for("has to send its parameter sets")


def test_a_frozen_and_a_restarted_source_come_back(run, tmp_path):
    port, sidecar = udp_port(), tmp_path / "s.jsonl"
    program = live(run, "--source", f"udp://127.0.0.1:{port}", "--sink", sidecar)
    target = ("-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316")
    first = publish(run, *target)
    grown(sidecar, 20)
    first.process.send_signal(signal.SIGSTOP)
    program.wait_for("the source has given nothing for 2 s")
    first.process.send_signal(signal.SIGCONT)
    program.wait_for("the source gives pictures again")
    before = len(lines_of(sidecar))
    grown(sidecar, before + 20)
    first.end(signal.SIGKILL)
    program.wait_for("the source has given nothing for 2 s", 2)
    publish(run, *target)  # its clock begins at zero again
    program.wait_for("the source gives pictures again", 2)
    before = len(lines_of(sidecar))
    lines = grown(sidecar, before + 20)
    assert program.end() == 0
    times = [line["time_ns"] for line in lines]
    assert all(after > before for before, after in pairwise(times))
    assert max(np.diff(times)) < 20e9
    assert program.count("gives pictures again") == 2


def test_another_sender_is_taken_up(run, tmp_path):
    """Each begins with numbers of its own, half of which look like old ones to a reader that knows the one before."""
    port, sidecar = udp_port(), tmp_path / "s.jsonl"
    program = live(run, "--source", f"rtp://127.0.0.1:{port}", "--sink", sidecar)
    seen = 0
    for _ in range(5):
        sender = publish(run, "-f", "rtp", f"rtp://127.0.0.1:{port}")
        seen = len(grown(sidecar, seen + 20))
        sender.end(signal.SIGKILL)
    assert program.count("gone") == 0
    lines = lines_of(sidecar)
    assert all(after["time_ns"] > before["time_ns"] for before, after in pairwise(lines))
    assert program.end() == 0


class LossyRoad(threading.Thread):
    """Forwards datagrams from one port to another, and loses two of a hundred."""

    def __init__(self, source: int, target: int) -> None:
        super().__init__(daemon=True)
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", source))
        self._target = ("127.0.0.1", target)
        self._luck = np.random.default_rng(5)
        self.lost = 0
        self.start()

    def run(self) -> None:
        while True:
            datagram = self._socket.recv(65536)
            if self._luck.random() < 0.02:
                self.lost += 1
            else:
                self._socket.sendto(datagram, self._target)


def test_lost_packets_cost_pictures_and_not_the_stream(run, tmp_path):
    road, source, sidecar, movie = udp_port(), udp_port(), tmp_path / "s.jsonl", tmp_path / "s.mkv"
    program = live(run, "--source", f"rtp://127.0.0.1:{source}", "--sink", sidecar, "--sink", movie)
    lossy = LossyRoad(road, source)
    publish(run, "-f", "rtp", f"rtp://127.0.0.1:{road}")
    lines = grown(sidecar, 150)
    assert lossy.lost > 10
    assert program.end() == 0
    assert lines[-1]["stats"]["frames_received"] >= 150
    assert program.count("gone") == 0
    with av.open(str(movie)) as container:
        assert sum(1 for _ in container.decode(video=0)) >= 150


@pytest.mark.parametrize("transport", ["tcp", "udp"])
def test_rtsp_is_read_from_a_server_that_restarts(run, rtsp_server, tmp_path, transport):
    port, sidecar = free_port(), tmp_path / "s.jsonl"

    server = rtsp_server(port)
    url = f"rtsp://127.0.0.1:{port}/camera"
    program = live(run, "--source", url, "--rtsp-transport", transport, "--sink", sidecar)
    before = len(grown(sidecar, 20))
    server.end(signal.SIGKILL)
    program.wait_for("the source is gone")
    rtsp_server(port)
    program.wait_for("the source is back")
    lines = grown(sidecar, before + 20)
    assert all(after["time_ns"] > before["time_ns"] for before, after in pairwise(lines))
    assert program.end() == 0
