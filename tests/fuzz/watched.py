"""A server process that is watched: what it logs, and what it holds."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass
from typing import Any

import psutil

_PATHS_THAT_ARE_NO_TEXT = ("Invalid encoding on", "Unexpected [UnicodeDecodeError]", "Failed sending error status")
"""What gRPC logs of calls whose path is no UTF-8, before any code of ours is asked."""


@dataclass(frozen=True, slots=True)
class Held:
    """What a process and its children hold; memory [MiB]."""

    memory: float
    threads: int
    descriptors: int

    def __str__(self) -> str:
        return f"{self.memory:.0f} MiB, {self.threads} threads, {self.descriptors} descriptors"


class Watched:
    """``python -m flowgimbal.server`` on a free port."""

    def __init__(self, *flags: str) -> None:
        command = [sys.executable, "-m", "flowgimbal.server", "--listen", "127.0.0.1:0", "--log-format", "json", *flags]
        environment = os.environ | {"GRPC_VERBOSITY": "NONE"}  # as `flowgimbal serve`: the core's lines are no faults
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, errors="replace", env=environment)
        self.faults: list[str] = []
        """Errors that it logged."""
        self.ended: dict[str, int] = {}
        """Streams that ended, by outcome."""
        self.address = ""
        self._ps = psutil.Process(self.process.pid)
        self._serving = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._serving.wait(60) or not self.address:
            raise RuntimeError(f"the server did not start: {self.faults}")

    def held(self) -> Held:
        """What it holds now."""
        family = [self._ps, *self._ps.children(recursive=True)]
        memory = sum(one.memory_info().rss for one in family) / 2**20
        return Held(memory, sum(one.num_threads() for one in family), sum(one.num_fds() for one in family))

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self.process.poll() is None

    def stop(self) -> int:
        """Ask it to end; its exit code, -9 if it had to be killed."""
        self.process.terminate()
        try:
            code = self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            code = self.process.wait()
        self._reader.join()
        if self.process.stderr is not None:
            self.process.stderr.close()
        return code

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            # gRPC prints some tracebacks by itself; a crash is told by the exit code.
            with contextlib.suppress(ValueError):
                self._note(json.loads(line))
        self._serving.set()

    def _note(self, line: dict[str, Any]) -> None:
        if line["logger"] == "grpc._cython.cygrpc" and line["message"].startswith(_PATHS_THAT_ARE_NO_TEXT):
            return
        if line["level"] in ("error", "critical"):
            self.faults.append(json.dumps(line))
        elif line["message"] == "serving":
            self.address = str(line["addresses"])
            self._serving.set()
        elif line["message"] == "stream ended":
            self.ended[line["outcome"]] = self.ended.get(line["outcome"], 0) + 1
