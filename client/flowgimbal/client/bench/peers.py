"""What stabilizing costs, decoding and encoding apart: ours beside the stabilizers that users have.

All of them get the same pictures on the same machine, in turns, so that its other work touches all alike; each figure
is the median of the rounds. FFmpeg's filters are run over a file of JPEGs, and what it takes to decode that is taken
away; Python packages are timed around their own calls.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

from flowgimbal.client.errors import FlowgimbalError
from flowgimbal.client.frame import Frame

ROUNDS = 3

_PACKAGE = """
import json, resource, sys, time
import cv2
{setup}
video = cv2.VideoCapture(sys.argv[1])
pictures = []
while (got := video.read())[0]:
    pictures.append(got[1])
base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
began, wall = time.process_time(), time.perf_counter()
for picture in pictures:
    {call}
spent, wall = time.process_time() - began, time.perf_counter() - wall
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([spent, wall, peak - base]))
"""
_PACKAGES = {
    "vidstab": ("from vidstab import VidStab; one = VidStab()", "one.stabilize_frame(input_frame=picture)", "30"),
    "vidgear": (
        "from vidgear.gears.stabilizer import Stabilizer; one = Stabilizer()",
        "one.stabilize(picture)",
        "25",
    ),
}


class PeerError(FlowgimbalError):
    """A peer is not there or failed; says which and why."""


@dataclass(frozen=True)
class Cost:
    """Of stabilizing a clip. Per frame, but for the memory."""

    cpu_seconds: float
    wall_seconds: float
    memory_mib: float  # more than before it began; for FFmpeg, that of the process
    delay: str  # frames


Run = Callable[[], Cost]


def package(name: str, python: str, file: Path, count: int) -> Cost:
    """A package of PyPI, under the interpreter ``python``, on pictures that are decoded already."""
    setup, call, delay = _PACKAGES[name]
    done = subprocess.run(
        [python, "-W", "ignore", "-c", _PACKAGE.format(setup=setup, call=call), str(file)],
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise PeerError(f"{name}: {_last_line(done.stderr)}")
    spent, wall, memory = json.loads(done.stdout.splitlines()[-1])
    return Cost(spent / count, wall / count, memory, delay)


def ffmpeg(program: str, filters: Sequence[str], delay: str, file: Path, count: int) -> Cost:
    """FFmpeg's ``filters``, one run each, less what decoding alone takes in each."""
    with tempfile.TemporaryDirectory() as folder:
        idle = _measured([program, *_reading(file)], folder)
        runs = [_measured([program, *_reading(file, each)], folder) for each in filters]
    cpu, wall = (sum(run[i] - idle[i] for run in runs) / count for i in (0, 1))
    return Cost(cpu, wall, max(run[2] for run in runs), delay)


def measure(frames: Sequence[Frame], python: str, ours: Run) -> Iterator[tuple[str, Cost | str]]:
    """Name and cost of each, ours first; for a peer that cannot be run, the reason."""
    with tempfile.TemporaryDirectory(prefix="flowgimbal-") as folder:
        file = Path(folder) / "clip.mjpeg"
        file.write_bytes(b"".join(frame.data for frame in frames))
        program = shutil.which("ffmpeg") or "ffmpeg"
        count = len(frames)
        runs: dict[str, Run] = {
            "flowgimbal": ours,
            "ffmpeg deshake": partial(ffmpeg, program, ["deshake"], "0", file, count),
            "ffmpeg vidstab, two passes": partial(
                ffmpeg, program, ["vidstabdetect", "vidstabtransform"], "all", file, count
            ),
            **{f"{name} (PyPI)": partial(package, name, python, file, count) for name in _PACKAGES},
        }
        costs: dict[str, list[Cost]] = {name: [] for name in runs}
        reasons: dict[str, str] = {}
        for _ in range(ROUNDS):
            for name, run in runs.items():
                if name not in reasons:
                    try:
                        costs[name].append(run())
                    except (PeerError, OSError) as error:
                        reasons[name] = str(error)
    for name, found in costs.items():
        yield name, reasons.get(name) or _median(found)


def figures(found: Sequence[tuple[str, Cost | str]]) -> dict[str, object]:
    """For a program: the costs, and how ours compares (below 1: ours is less)."""
    own = next(cost for _, cost in found if isinstance(cost, Cost))
    return {
        name: {**asdict(cost), "cpu_ratio": round(own.cpu_seconds / cost.cpu_seconds, 3)}
        if isinstance(cost, Cost)
        else {"missing": cost}
        for name, cost in found
    }


def lines(found: Sequence[tuple[str, Cost | str]]) -> Iterator[str]:
    """For a person."""
    own = next(cost for _, cost in found if isinstance(cost, Cost))
    yield f"{'stabilizing alone':<28} CPU ms    ours /   fps     MiB  delay, frames"
    for name, cost in found:
        if isinstance(cost, str):
            yield f"{name:<28} not measured: {cost}"
            continue
        yield (
            f"{name:<28} {cost.cpu_seconds * 1e3:6.1f}   {own.cpu_seconds / cost.cpu_seconds:6.2f}  "
            f"{1 / cost.wall_seconds:6.0f}  {cost.memory_mib:6.0f}  {cost.delay}"
        )


def _median(costs: Sequence[Cost]) -> Cost:
    return Cost(
        statistics.median(cost.cpu_seconds for cost in costs),
        statistics.median(cost.wall_seconds for cost in costs),
        max(cost.memory_mib for cost in costs),  # a process tells its peak: the later rounds add nothing to ours
        costs[0].delay,
    )


def _reading(file: Path, act: str = "") -> list[str]:
    """FFmpeg's arguments: ``file`` through the filter ``act`` to nowhere."""
    source = ["-v", "error", "-nostdin", "-f", "mjpeg", "-framerate", "30", "-i", str(file)]
    return [*source, *(["-vf", act] if act else []), "-f", "null", "-"]


def _measured(command: Sequence[str], folder: str) -> tuple[float, float, float]:
    """CPU seconds, seconds and MiB of a process. Raises PeerError, OSError."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as complaints:
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=complaints)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            complaints.seek(0)
            raise PeerError(f"{Path(command[0]).name}: {_last_line(complaints.read().decode(errors='replace'))}")
    return used.ru_utime + used.ru_stime, time.perf_counter() - began, used.ru_maxrss / 1024


def own_memory() -> float:
    """Peak of this process so far [MiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _last_line(text: str) -> str:
    return (text.strip().splitlines() or ["it said nothing"])[-1]
