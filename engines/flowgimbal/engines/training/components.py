"""Learns the principal components of flow: ``flowgimbal train components --photos DIR --clips FILE... --out FILE``.

Half of the evidence is rendered (rolling shutter and depth under a moving camera, exact), half is measured by the flow
network on real clips. From each field the eight fields of a homography are taken away first, robustly; what is left,
on a lattice, has its principal components here. Clips must be free to train on.
"""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from flowgimbal.engines.engine import FlowField, all_told, flow_size
from flowgimbal.engines.motion import basis, lattice
from flowgimbal.engines.onnx_flow import OnnxFlow
from flowgimbal.engines.shapes import COLUMNS, COMPONENTS, ROWS, STRIDE
from flowgimbal.engines.training.scenes import SceneMaker, load_photos

log = logging.getLogger(__name__)

Array = NDArray[np.float64]


def rendered(photos: Sequence[Path], count: int, seed: int) -> Iterator[Array]:
    """Rests (2, ROWS, COLUMNS), in half widths, of invented camera motion."""
    maker = SceneMaker(load_photos(photos[:1]))
    generator = torch.Generator().manual_seed(seed)
    for _ in range(count // 64):
        for flow in maker.motion(64, generator).numpy():
            rows, columns = flow.shape[1:]
            field = FlowField(flow, np.full((rows, columns), 0.1, np.float32), all_told(rows, columns))
            yield rest_of(field, rows / columns)


def measured(clip: Path) -> Iterator[Array]:
    """Rests of a real clip, as far as the flow network is sure of them."""
    meter, memory = OnnxFlow(), None
    with av.open(str(clip)) as container:
        for frame in container.decode(video=0):
            size = flow_size(frame.width, frame.height)
            luma = cv2.resize(frame.to_ndarray(format="gray"), size, interpolation=cv2.INTER_AREA)
            field, memory = meter.flow(luma.astype(np.uint8, copy=False), memory)
            if field is not None and np.median(field.scale) < 1.0:
                yield rest_of(field, frame.height / frame.width)


def rest_of(field: FlowField, aspect: float) -> Array:
    """What no homography explains of a field, on the lattice over the whole picture, in half widths."""
    size = (COLUMNS, ROWS)
    weight = 1.0 / (field.scale + 0.15)
    total = cv2.resize((field.flow * weight).transpose(1, 2, 0), size, interpolation=cv2.INTER_AREA)
    sure = np.asarray(cv2.resize(weight, size, interpolation=cv2.INTER_AREA), np.float64)
    target = (total / sure[..., None] / (field.scale.shape[1] * STRIDE / 2)).reshape(-1, 2)
    design = basis(lattice(ROWS, COLUMNS, aspect)).astype(np.float64).reshape(-1, 2, 8)
    robust = np.ones(len(target))
    for _ in range(5):
        root = np.sqrt(robust * sure.ravel())[:, None]
        coefficients, *_ = np.linalg.lstsq((design * root[..., None]).reshape(-1, 8), (target * root).ravel())
        left = target - design @ coefficients
        length = np.linalg.norm(left, axis=1)
        robust = 1 / (1 + (length / (2 * np.median(length) + 1e-4)) ** 2) ** 2
    return np.asarray((left * robust[:, None]).reshape(ROWS, COLUMNS, 2).transpose(2, 0, 1))


def learn(rests: Array) -> tuple[Array, Array, Array]:
    """Fields of unit RMS (COMPONENTS, 2, ROWS, COLUMNS), spreads (COMPONENTS,), share of the energy explained."""
    flat = rests.reshape(len(rests), -1)
    scale = np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-4)
    flat = flat / np.sqrt(scale)  # a violent frame counts more than a calm one, but not by the square
    _, values, components = np.linalg.svd(flat, full_matrices=False)
    fields = components[:COMPONENTS] * np.sqrt(flat.shape[1] / 2)
    spreads = np.sqrt(np.mean((rests.reshape(len(rests), -1) @ fields.T / (flat.shape[1] / 2)) ** 2, axis=0))
    explained = np.cumsum(values**2)[:COMPONENTS] / np.sum(values**2)
    return fields.reshape(-1, 2, ROWS, COLUMNS), spreads, explained


def main(argv: Sequence[str] | None = None) -> int:
    """Learn and write the components."""
    parser = argparse.ArgumentParser(prog="flowgimbal train components", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos, searched recursively")
    parser.add_argument("--clips", type=Path, nargs="+", required=True, help="real clips, free to train on")
    parser.add_argument("--count", type=int, default=2048, help="rendered motions")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, required=True, help="npz file")
    args = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    photos = sorted(p for p in args.photos.rglob("*") if p.suffix in {".jpg", ".png"})
    real = [rest for clip in args.clips for rest in measured(clip)]
    made = list(rendered(photos, args.count, args.seed))
    balance = np.sqrt(np.mean(np.square(made)) / np.mean(np.square(real)))  # both halves weigh the same
    both = np.concatenate([np.array(made), np.array(real) * balance * np.sqrt(len(made) / len(real))])
    fields, spreads, explained = learn(both)
    np.savez_compressed(args.out, fields=fields.astype(np.float32), spreads=spreads.astype(np.float32))
    log.info("%d rendered, %d measured; explained %s, spreads %s", len(made), len(real), explained, spreads)
    return 0


if __name__ == "__main__":
    sys.exit(main())
