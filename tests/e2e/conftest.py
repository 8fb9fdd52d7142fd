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
TESTS = str(Path(__file__).parents[1])
if TESTS not in sys.path:  # for what the tests of a folder share
    sys.path.insert(0, TESTS)


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


RTSP_SERVER = ("/usr/bin/python3", Path(TESTS) / "tools" / "rtsp_server.py")
"""The system's Python has the bindings of its packages."""


def has_rtsp_server() -> bool:
    if not Path(RTSP_SERVER[0]).exists():
        return False
    return not subprocess.run([*RTSP_SERVER, "--help"], capture_output=True, check=False).returncode


@pytest.fixture
def rtsp_server(run):
    """Starts GStreamer's RTSP server on a port: the bundled clip at ``/camera``, from its beginning for each reader."""
    if not has_rtsp_server():
        pytest.skip("needs Debian's python3-gi and gir1.2-gst-rtsp-server-1.0")

    def start(port: int) -> Program:
        server = run(*RTSP_SERVER, port, "--clip", BUNDLED_CLIP)
        server.wait_for("ready")
        return server

    return start
