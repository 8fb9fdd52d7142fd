"""The command line as a user runs it: in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from flowgimbal.client.assets import BUNDLED_CLIP

DEADLINE = 90


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "flowgimbal.client.cli", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("FLOWGIMBAL_")}


@pytest.fixture
def flowgimbal(tmp_path):
    """Runs a command in an empty folder; ``.returncode``, ``.stdout``, ``.stderr`` of what it did."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*arguments),
            cwd=tmp_path,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def steady(tmp_path_factory) -> Path:
    """The bundled clip after ``flowgimbal stabilize`` with its defaults."""
    out = tmp_path_factory.mktemp("stabilized") / "steady.mp4"
    done = subprocess.run(
        command("stabilize", BUNDLED_CLIP, out),
        env=environment(),
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return out


class Program:
    """A running program, its complaints read line by line."""

    def __init__(self, *command: object, feed: bool = False) -> None:
        self.process = subprocess.Popen(
            [*map(str, command)],
            stdin=subprocess.PIPE if feed else subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self._news = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        for line in self.process.stderr:
            with self._news:
                self.said.append(line.rstrip())
                self._news.notify_all()

    def count(self, words: str) -> int:
        return sum(words in line for line in self.said)

    def wait_for(self, words: str, count: int = 1) -> None:
        with self._news:
            assert self._news.wait_for(lambda: self.count(words) >= count, DEADLINE), f"no {words!r} in {self.said}"

    def end(self, number: int = signal.SIGTERM) -> int:
        self.process.send_signal(number)
        return self.exit_code()

    def exit_code(self) -> int:
        code = self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)
        return code


@pytest.fixture
def run():
    """Starts programs that end with the test."""
    with ExitStack() as stack:

        def start(*command: object) -> Program:
            program = Program(*command)
            stack.callback(program.process.stderr.close)
            stack.callback(program.reader.join, DEADLINE)  # what it started may write there for a moment longer
            stack.callback(program.process.wait)
            stack.callback(program.process.kill)
            return program

        yield start


RTSP_SERVER = """
import sys
import gi
gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
from gi.repository import GLib, Gst, GstRtspServer
Gst.init(None)
server = GstRtspServer.RTSPServer()
server.set_service(sys.argv[1])
factory = GstRtspServer.RTSPMediaFactory()
factory.set_launch(f"( filesrc location={sys.argv[2]} ! qtdemux ! h264parse ! rtph264pay name=pay0 pt=96 )")
factory.set_shared(True)
server.get_mount_points().add_factory("/camera", factory)
assert server.attach(None)
sys.stderr.write("ready\\n")
GLib.MainLoop().run()
"""
SYSTEM_PYTHON = "/usr/bin/python3"


def has_rtsp_server() -> bool:
    check = [SYSTEM_PYTHON, "-c", RTSP_SERVER.partition("Gst.init")[0]]
    return Path(SYSTEM_PYTHON).exists() and not subprocess.run(check, capture_output=True, check=False).returncode


@pytest.fixture
def rtsp_server(run):
    """Starts GStreamer's RTSP server on a port: the bundled clip at ``/camera``, from its beginning for each reader."""
    if not has_rtsp_server():
        pytest.skip("needs Debian's python3-gi and gir1.2-gst-rtsp-server-1.0")

    def start(port: int) -> Program:
        server = run(SYSTEM_PYTHON, "-c", RTSP_SERVER, port, BUNDLED_CLIP)
        server.wait_for("ready")
        return server

    return start
