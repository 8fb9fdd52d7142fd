"""Servers that die, hang or drain under ``flowgimbal live``."""

from __future__ import annotations

import signal
import subprocess
from itertools import pairwise

import av
import psutil
import pytest
from e2e.command import COMMAND
from e2e.live.programs import live, needs_ffmpeg, publish
from e2e.live.recordings import grown, lines_of
from e2e.ports import free_port, udp_port

from flowgimbal.client.assets import BUNDLED_CLIP


@needs_ffmpeg
def test_a_killed_server_is_awaited(run, tmp_path):
    port, source, sidecar = free_port(), udp_port(), tmp_path / "s.jsonl"
    address = f"127.0.0.1:{port}"
    server = run(*COMMAND, "serve", "--listen", address)
    server.wait_for("serving")
    program = live(run, "--source", f"rtp://127.0.0.1:{source}", "--sink", sidecar, "--server", address)
    publish(run, "-f", "rtp", f"rtp://127.0.0.1:{source}")
    grown(sidecar, 20)
    server.end(signal.SIGKILL)
    program.wait_for("the server is gone")
    before = len(lines_of(sidecar))
    second = run(*COMMAND, "serve", "--listen", address)
    second.wait_for("serving")
    program.wait_for("the server is back")
    lines = grown(sidecar, before + 20)
    assert program.end() == 0
    assert second.end() == 0
    assert [program.count(words) for words in ("the server is gone", "the server is back")] == [1, 1]
    times = [line["time_ns"] for line in lines]
    assert all(after > before for before, after in pairwise(times))


def test_a_server_that_hangs_is_given_up(run, tmp_path):
    """It answers no ping: nothing else tells of it, since its connections stay open."""
    address, sidecar = f"127.0.0.1:{free_port()}", tmp_path / "s.jsonl"
    server = run(*COMMAND, "serve", "--listen", address, "--engine", "identity")
    server.wait_for("serving")
    program = live(run, "--source", "test:", "--server", address, "--sink", sidecar)
    before = len(grown(sidecar, 20))
    server.process.send_signal(signal.SIGSTOP)
    program.wait_for("the server is gone")
    server.process.send_signal(signal.SIGCONT)
    program.wait_for("the server is back")
    grown(sidecar, before + 20)
    assert program.count("the server is gone") == 1
    assert program.end() == 0


def test_a_second_signal_does_not_wait_for_a_server_that_hangs(run, tmp_path):
    address, sidecar = f"127.0.0.1:{free_port()}", tmp_path / "s.jsonl"
    server = run(*COMMAND, "serve", "--listen", address)
    server.wait_for("serving")
    program = live(run, "--source", "test:", "--sink", sidecar, "--server", address)
    grown(sidecar, 10)
    server.process.send_signal(signal.SIGSTOP)
    program.process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        program.process.wait(1)
    assert program.end(signal.SIGINT) == 130
    assert program.said[-1] == "flowgimbal live: interrupted"


@needs_ffmpeg
def test_one_signal_is_enough_where_no_server_is_left(run, tmp_path):
    address, sidecar, movie = f"127.0.0.1:{free_port()}", tmp_path / "s.jsonl", tmp_path / "s.mp4"
    server = run(*COMMAND, "serve", "--listen", address, "--engine", "identity")
    server.wait_for("serving")
    program = live(run, "--source", "test:", "--sink", sidecar, "--sink", movie, "--server", address)
    grown(sidecar, 20)
    server.end(signal.SIGKILL)
    program.wait_for("the server is gone")
    assert program.end() == 0
    assert program.count("ending without what is on its way") == 1
    with av.open(str(movie)) as container:  # an .mp4 without its end cannot be read
        assert sum(1 for _ in container.decode(video=0)) >= 15


def test_a_drained_server_is_followed_by_another_at_once(run, tmp_path):
    """The one that drains ends the stream well; the one that answers next has to be sent all since the key frame."""
    address, sidecar, movie = f"127.0.0.1:{free_port()}", tmp_path / "s.jsonl", tmp_path / "s.mkv"
    supervisor = run(*COMMAND, "serve", "--listen", address, "--processes", 2, "--engine", "identity")
    supervisor.wait_for("processes=2")
    program = live(run, "--source", BUNDLED_CLIP, "--server", address, "--sink", sidecar, "--sink", movie)
    grown(sidecar, 20)
    workers = psutil.Process(supervisor.process.pid).children()
    serving = max(workers, key=lambda one: sum(one.cpu_times()[:2]))
    serving.terminate()
    program.wait_for("drains: moving on")
    assert program.exit_code() == 0
    times = [line["time_ns"] for line in lines_of(sidecar)]
    assert times == sorted(set(times))
    assert len(times) > 100  # all of the 125 but those that came while there was no server
    assert supervisor.end() == 0
