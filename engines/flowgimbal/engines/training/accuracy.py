"""How exact flow is, beside DIS: ``flowgimbal train accuracy --photos DIR`` prints a table.

Rendered pairs of 640x352 from photos that training never sees (clean, with growing motion; then with everything that
makes matching hard), and pairs with published ground truth (Middlebury ``.flo``). The network and DIS see what the
server gives them, a picture of about 320x180; DIS at full size costs more and is there for scale. Errors are taken on
the cells of the network's flow, in pixels of the full picture; between real frames, whose motion nobody knows, in grey
levels that the second, sampled along those cells' flow, is away from the first.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from flowgimbal.engines.dis import PRESETS, DisFlow
from flowgimbal.engines.engine import FlowMeter, flow_size
from flowgimbal.engines.onnx_flow import OnnxFlow
from flowgimbal.engines.training.flow import HELD_OUT
from flowgimbal.engines.training.scenes import SceneMaker, load_photos
from flowgimbal.engines.training.videos import load_video

SIZE = (640, 352)
FILMED = 4  # pairs of each clip
FLO_MAGIC = 202021.25

Gray = NDArray[np.uint8]
Flow = NDArray[np.float32]  # (2, rows, columns), NaN where the truth is not known
Sample = tuple[Gray, Gray, Flow]
Method = Callable[[Gray, Gray], Flow]
Task = Callable[[Method], NDArray[np.float64]]  # what is wrong with a method's flow, place by place


def rendered(maker: SceneMaker, pairs: int) -> Iterator[Sample]:
    """Pairs of one kind of scene; cells whose content leaves the picture have no truth."""
    generator = torch.Generator().manual_seed(7)
    for _ in range(pairs):
        pair = maker.draw(1, generator)
        first, second = (np.round(p[0, 0].numpy() * 255).astype(np.uint8) for p in (pair.first, pair.second))
        flow = np.array(pair.flow[0].numpy())
        rows, columns = flow.shape[1:]
        y, x = np.mgrid[:rows, :columns].astype(np.float32)
        at_x, at_y = x + flow[0] * columns / first.shape[1], y + flow[1] * rows / first.shape[0]
        flow[:, (at_x < 0) | (at_y < 0) | (at_x > columns - 1) | (at_y > rows - 1)] = np.nan
        yield first, second, flow


def published(folder: Path) -> Iterator[tuple[str, Sample]]:
    """The ``.flo`` files of a folder, each with the two pictures whose names begin alike, by name."""
    for file in sorted(folder.glob("*.flo")):
        stem = file.stem.split("_flow")[0]
        pictures = sorted(p for p in folder.glob(f"{stem}_*.png") if "flow" not in p.name)
        if len(pictures) == 2:
            first, second = (cv2.imread(str(p), cv2.IMREAD_GRAYSCALE) for p in pictures)
            if first is None or second is None:
                raise ValueError(f"{pictures[0]} or {pictures[1]} is not a picture that OpenCV reads")
            yield stem, (first.astype(np.uint8), second.astype(np.uint8), read_flo(file))


def read_flo(file: Path) -> Flow:
    """A Middlebury flow file (Baker et al., IJCV 2011), unknown flow as NaN. ValueError if it is none."""
    content = file.read_bytes()
    if len(content) < 12 or np.frombuffer(content, "<f4", 1)[0] != np.float32(FLO_MAGIC):
        raise ValueError(f"{file} is not a .flo file")
    width, height = np.frombuffer(content, "<i4", 2, 4)
    flow = np.frombuffer(content, "<f4", int(width) * int(height) * 2, 12).reshape(height, width, 2).copy()
    flow[np.abs(flow).max(2) > 1e9] = np.nan
    return np.ascontiguousarray(flow.transpose(2, 0, 1))


def by_meter(meter: FlowMeter) -> Method:
    """Flow as the server measures it, in pixels of the full picture."""

    def measure(first: Gray, second: Gray) -> Flow:
        size = flow_size(first.shape[1], first.shape[0])
        small = [np.asarray(cv2.resize(p, size, interpolation=cv2.INTER_AREA), np.uint8) for p in (first, second)]
        _, memory = meter.flow(small[0], None)
        field, _ = meter.flow(small[1], memory)
        if field is None:
            raise ValueError("the meter remembers nothing of the first picture")
        scale = np.array([first.shape[1] / size[0], first.shape[0] / size[1]], np.float32)
        return np.asarray(field.flow * scale[:, None, None], np.float32)

    return measure


def by_dis(preset: str) -> Method:
    """DIS at full size."""
    dis = cv2.DISOpticalFlow.create(PRESETS[preset])

    def measure(first: Gray, second: Gray) -> Flow:
        return np.ascontiguousarray(dis.calc(first, second, None).transpose(2, 0, 1))  # type: ignore[call-overload]

    return measure


def filmed(folder: Path, pairs: int) -> Iterator[tuple[Gray, Gray]]:
    """Neighbouring frames of SIZE of each clip of a folder."""
    width, height = SIZE
    for file in sorted(p for p in folder.iterdir() if p.is_file()):
        frames = load_video(file, height, width)
        for begin in np.linspace(0, len(frames) - 2, pairs).astype(int):
            yield frames[begin], frames[begin + 1]


def on_cells(flow: Flow, first: Gray) -> Flow:
    """``flow`` averaged over the cells of the network's flow."""
    width, height = flow_size(first.shape[1], first.shape[0])
    cells = (width // 4, height // 4)
    return np.stack([np.asarray(cv2.resize(part, cells, interpolation=cv2.INTER_AREA), np.float32) for part in flow])


def unlike(method: Method, first: Gray, second: Gray) -> NDArray[np.float64]:
    """How far each pixel of the first frame is from the second's along the flow [grey levels]."""
    size = (first.shape[1], first.shape[0])
    cells = on_cells(method(first, second), first)
    x, y = (np.asarray(cv2.resize(part, size, interpolation=cv2.INTER_LINEAR)) for part in cells)
    down, across = np.mgrid[: size[1], : size[0]].astype(np.float32)
    there = cv2.remap(
        second.astype(np.float32), across + x, down + y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    inside = (across + x >= 0) & (across + x < size[0]) & (down + y >= 0) & (down + y < size[1])
    return np.asarray(np.abs(first.astype(np.float64) - there)[inside])


def errors(method: Method, sample: Sample) -> NDArray[np.float64]:
    """End-point error of each known cell [px of the full picture]."""
    first, second, truth = sample
    got, true = (on_cells(flow, first) for flow in (method(first, second), truth))
    error = np.linalg.norm(got.astype(np.float64) - true, axis=0)
    return np.asarray(error[np.isfinite(error)])


def table(tasks: dict[str, list[Task]], methods: dict[str, Method]) -> Iterator[str]:
    """Lines of Markdown: median and mean error of each method on each set, and its CPU time a pair."""
    yield f"| | {' | '.join(tasks)} | CPU, ms a pair |"
    yield f"|---|{'---:|' * (len(tasks) + 1)}"
    for name, method in methods.items():
        cells, costs = [], []
        for group in tasks.values():
            found = []
            for task in group:
                began = time.process_time()
                found.append(task(method))
                costs.append(time.process_time() - began)
            every = np.concatenate(found)
            cells.append(f"{np.median(every):.2f} / {every.mean():.2f}")
        yield f"| {name} | {' | '.join(cells)} | {1e3 * float(np.median(costs)):.1f} |"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(prog="flowgimbal train accuracy", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos, searched recursively")
    parser.add_argument("--truth", type=Path, help="folder of .flo files with their pictures")
    parser.add_argument("--videos", type=Path, help="folder of clips")
    parser.add_argument("--pairs", type=int, default=32, help="rendered pairs of each kind")
    args = parser.parse_args(argv)
    cv2.setNumThreads(1)
    paths = sorted(p for p in args.photos.rglob("*") if p.suffix in {".jpg", ".png"} and p.name.startswith(HELD_OUT))
    if not paths:
        parser.error(f"{args.photos} has none of the photos that only validate ({', '.join(HELD_OUT)})")
    photos = load_photos(paths)
    width, height = SIZE
    samples = {
        f"{kind}, to {largest:.0f} px": list(
            rendered(SceneMaker(photos, height, width, hardness=hardness, largest=largest), args.pairs)
        )
        for kind, hardness, sizes in (("clean", 0.0, (4.0, 12.0, 30.0, 60.0)), ("hard", 1.0, (12.0, 60.0)))
        for largest in sizes
    }
    samples |= {name: [sample] for name, sample in (published(args.truth) if args.truth else ())}
    tasks: dict[str, list[Task]] = {
        name: [functools.partial(errors, sample=sample) for sample in group] for name, group in samples.items()
    }
    if args.videos:
        pairs = filmed(args.videos, FILMED)
        tasks["real frames, grey levels"] = [functools.partial(unlike, first=a, second=b) for a, b in pairs]
    methods = {"flow network": by_meter(OnnxFlow())}
    methods |= {f"DIS {preset}, same input": by_meter(DisFlow(preset)) for preset in PRESETS}
    methods |= {f"DIS {preset}, full size": by_dis(preset) for preset in PRESETS}
    for line in table(tasks, methods):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
