"""Proves the engines on this machine's card: opens each, holds it against the CPU's, times it, prints a table.

python tests/gpu/check.py [--engine NAME ...] [--size NAME ...] [--quick] [--out FILE]

Runs from a plain copy of the repository, without network, with any Python that has numpy, OpenCV, pycuda and ONNX
Runtime; an engine whose module is missing is left out, and the reason printed. Exit code 1 if an engine that could be
opened does not agree with the CPU's, 3 if none could be opened.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np

with suppress(ImportError):
    import torch  # noqa: F401  # brings cuDNN and cuBLAS to machines where nothing else does

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), *(str(ROOT / part) for part in ("proto", "engines", "server", "client"))]

from flowgimbal.engines.engine import Engine, EngineError  # noqa: E402
from flowgimbal.engines.gpu.opening import GPU_ENGINES, Ground, find, open_gpu  # noqa: E402
from flowgimbal.engines.onnx import DEFAULT_WARP, OnnxEngine  # noqa: E402
from flowgimbal.engines.onnx_flow import OnnxFlow  # noqa: E402
from flowgimbal.engines.picture import Layout, Picture  # noqa: E402
from flowgimbal.engines.shapes import COLUMNS, RAW, ROWS, TAPS  # noqa: E402
from flowgimbal.engines.timeline import BINS  # noqa: E402
from flowgimbal.server.settings import Settings  # noqa: E402
from flowgimbal.server.stabilizer import Stabilizer  # noqa: E402
from flowgimbal.server.warp import vertices  # noqa: E402

CLIP = ROOT / "client" / "flowgimbal" / "client" / "assets" / "bundled.mp4"
SIZES = {"720p": (1280, 720), "1080p": (1920, 1080), "2160p": (3840, 2160)}
STREAMS = 16
SERVERS = (1, 2, 4, 8)
MOST_PIXELS = 0.05  # between the transforms of two engines
MOST_LEVELS = 1.0  # grey levels RMS between their pictures


@dataclass(frozen=True)
class Parity:
    """The largest differences from the CPU engine on a real clip."""

    pixels: float
    levels: float

    @property
    def holds(self) -> bool:
        """Whether they are as small as promised."""
        return self.pixels <= MOST_PIXELS and self.levels <= MOST_LEVELS


@dataclass(frozen=True)
class Timing:
    """Of frames of one size. Units: milliseconds, frames per second."""

    there_p50: float  # flow, warp and sampling, the frame on the card already and staying there
    there_p99: float
    whole_p50: float  # with the frame's way up and down
    whole_p99: float
    rate_there: float  # of sixteen streams
    rate_whole: float


def clip(frames: int) -> list[Picture]:
    """The bundled clip's first frames, as they come out of a camera's JPEG."""
    video = cv2.VideoCapture(str(CLIP))

    def read() -> Iterator[np.ndarray]:
        while True:
            there, frame = video.read()
            if not there:
                return
            yield frame

    pictures = [_planar(frame) for frame in islice(read(), frames)]
    if len(pictures) < frames:
        raise SystemExit(f"{CLIP} has {len(pictures)} readable frames of {frames}: OpenCV without video support?")
    return pictures


def parity(engine: Engine, pictures: Sequence[Picture], look_ahead: int) -> Parity:
    """Both engines on the same pictures."""
    width, height = pictures[0].size
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float).T
    pixels = levels = 0.0
    both = (_steady(each, pictures, look_ahead) for each in (engine, OnnxEngine(OnnxFlow("fp32"))))
    for ours, theirs in zip(*both, strict=True):
        places = [(matrix @ corners)[:2] / (matrix @ corners)[2] for matrix, _ in (ours, theirs)]
        pixels = max(pixels, float(np.abs(places[0] - places[1]).max()))
        for mine, other in zip(ours[1].planes, theirs[1].planes, strict=True):
            levels = max(levels, float(np.sqrt(np.mean((mine.astype(np.float32) - other) ** 2))))
    return Parity(pixels, levels)


def timing(engine: Any, size: tuple[int, int], rounds: int) -> Timing:
    """What a frame of that size costs, alone and in company."""
    frame = cv2.resize(np.random.default_rng(5).integers(0, 256, (90, 160, 3), np.uint8), size)
    pictures = [_planar(np.roll(frame, step, 1)) for step in (0, 4)]
    held = [engine.hold(picture) for picture in pictures]
    window, cover = np.zeros((TAPS, 2, ROWS, COLUMNS), np.float32), np.ones(RAW + BINS, np.float32)
    conditions = np.array([0.8, 0.0, 0.0, -0.57], np.float32)
    mesh = (vertices(ROWS, COLUMNS) * 0.9 + 0.05).astype(np.float32)

    def there(step: int, memory: Any) -> Any:
        memory = engine.measure(held[step % 2], memory).memory
        engine.warp(window, cover, conditions)
        engine.sample_there(held[step % 2], mesh)
        return memory

    def whole(step: int, memory: Any) -> Any:
        up = engine.hold(pictures[step % 2])
        memory = engine.measure(up, memory).memory
        engine.warp(window, cover, conditions)
        engine.sample(up, mesh)
        return memory

    alone = [_latencies(work, rounds) for work in (there, whole)]
    rates = [_rate(work, rounds) for work in (there, whole)]
    return Timing(*(float(np.percentile(each, q)) for each in alone for q in (50, 99)), *rates)


def report(name: str, ground: Ground, engine: Any, sizes: Sequence[str], *, quick: bool) -> tuple[list[str], bool]:
    """Markdown on one engine, and whether it agrees with the CPU's."""
    pictures = clip(12 if quick else 90)
    agreements = {look_ahead: parity(engine, pictures, look_ahead) for look_ahead in (0, 5)}
    lines = [f"### `{name}`: {ground.module_version} on {ground.card}", ""]
    lines += [
        f"* look-ahead {look_ahead}: transforms within {p.pixels:.3f} px (bar {MOST_PIXELS}), pictures within "
        f"{p.levels:.2f} grey levels RMS (bar {MOST_LEVELS}): {'held' if p.holds else '**NOT HELD**'}"
        for look_ahead, p in agreements.items()
    ]
    lines += [
        "",
        "| size | on the card p50 / p99 | up and down too p50 / p99 | 16 streams on the card | up and down too |",
    ]
    lines += ["|---|---|---|---|---|"]
    for size in sizes:
        t = timing(engine, SIZES[size], 20 if quick else 300)
        lines.append(
            f"| {size} | {t.there_p50:.2f} / {t.there_p99:.2f} ms | {t.whole_p50:.2f} / {t.whole_p99:.2f} ms "
            f"| {t.rate_there:.0f} fps | {t.rate_whole:.0f} fps |"
        )
    lines += [
        "",
        "Bars, for an H100: 2.0 ms at 1080p (p99, on the card); 1,500 fps of 1080p (16 streams, on the card).",
    ]
    lines += ["", f"Card, driver, memory in use and at all: {_card()}"]
    return lines, all(p.holds for p in agreements.values())


def through_stream(name: str) -> list[str]:
    """Sixteen live 1080p streams of 30 fps through servers and back: a table, by how many servers."""
    try:
        import cameras
    except ImportError as error:  # it takes more packages than the engines do
        return [f"not run: {error}"]
    rows = []
    for servers in SERVERS:
        try:
            rows.append(cameras.row(servers, asyncio.run(cameras.measure(name, servers))))
        except Exception as error:  # noqa: BLE001  # the other rows are worth having
            why = " ".join(str(error).split())[-300:]
            rows.append(f"| {servers} | not run: {type(error).__name__}: {why} | | | | |")
    return [*cameras.HEADING, *rows]


def main(arguments: Sequence[str] | None = None, opened: Callable[..., Any] = open_gpu, found: Any = find) -> int:
    """Check every engine that can be opened."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--engine", action="append", choices=GPU_ENGINES, help="default: all of them, each in turn")
    parser.add_argument("--size", action="append", choices=SIZES, help="to time; default: all of them, each in turn")
    parser.add_argument("--quick", action="store_true", help="fewer frames: does it run at all?")
    parser.add_argument("--out", type=Path, help="write the tables there, too")
    args = parser.parse_args(arguments)
    lines, verdicts = [], []
    for name in args.engine or GPU_ENGINES:
        try:
            ground = found(name)
            began = time.monotonic()
            engine = opened(name, DEFAULT_WARP)
        except EngineError as error:
            _say(f"{name}: not here: {error}")
            continue
        _say(f"{name}: opened in {time.monotonic() - began:.1f} s")
        try:
            section, held = report(name, ground, engine, args.size or list(SIZES), quick=args.quick)
            engine.close()
            if not args.quick:
                section += ["", f"{STREAMS} live streams of 1080p30 through `Stream`, JPEG both ways:", ""]
                section += through_stream(name)
        except EngineError as error:
            section, held = [f"### `{name}`: **FAILED**: {error}"], False
        verdicts.append(held)
        lines += [*section, ""]
        _say("\n".join(section))
    if args.out:
        args.out.write_text("\n".join(lines))
    return 3 if not verdicts else 0 if all(verdicts) else 1


def _steady(engine: Engine, pictures: Sequence[Picture], look_ahead: int) -> Iterator[tuple[np.ndarray, Picture]]:
    width, height = pictures[0].size
    stabilizer = Stabilizer(engine, Settings(look_ahead=look_ahead), width, height)
    held = [engine.hold(picture) for picture in pictures]
    warps = [stabilizer.decide(stabilizer.measure(one, i * 33_333_333)) for i, one in enumerate(held)]
    for one, warp in zip(held, [*(warp for warp in warps if warp), *stabilizer.flush()], strict=True):
        yield warp.transform(width, height), engine.sample(one, warp.mesh)


def _latencies(work: Callable[[int, Any], Any], rounds: int) -> list[float]:
    memory, spent = None, []
    for step in range(rounds + 5):
        began = time.perf_counter()
        memory = work(step, memory)
        spent.append((time.perf_counter() - began) * 1e3)
    return spent[5:]  # the first ones allocate and record graphs


def _rate(work: Callable[[int, Any], Any], rounds: int) -> float:
    together = threading.Barrier(STREAMS + 1)

    def stream() -> None:
        memory = None
        try:
            for step in range(5):
                memory = work(step, memory)
        except BaseException:
            together.abort()
            raise
        together.wait()
        for step in range(rounds):
            memory = work(step, memory)

    with ThreadPoolExecutor(STREAMS) as threads:
        done = [threads.submit(stream) for _ in range(STREAMS)]
        with suppress(threading.BrokenBarrierError):  # then one of the streams has the reason
            together.wait()
        began = time.perf_counter()
        for one in sorted(done, key=lambda one: isinstance(one.exception(), threading.BrokenBarrierError)):
            one.result()
        return STREAMS * rounds / (time.perf_counter() - began)


def _planar(frame: np.ndarray) -> Picture:
    height, width = frame.shape[:2]
    planes = cv2.cvtColor(frame, cv2.COLOR_BGR2YUV_I420)
    quarter = height * width // 4
    flat = planes.reshape(-1)[height * width :]
    chroma = [flat[i * quarter : (i + 1) * quarter].reshape(height // 2, width // 2) for i in (0, 1)]
    return Picture(Layout.YUV, (planes[:height], *chroma), (2, 2))


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def _card() -> str:
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.used,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"not told: {error}"


if __name__ == "__main__":
    sys.exit(main())
