"""The flow network in 8 bits for CPUs: ``flowgimbal train quantise --photos DIR --out FOLDER``.

It is written whole and in parts (``parts.py``). Convolutions and their rectifiers take bytes, with scales found on
rendered scenes (the photos that train the network). Both ends stay in float: what looks at the picture itself, and what
ends in numbers that are used as such: the means over matches, the heads that say flow, sureness and gate, the least
squares.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from onnxruntime import quantization
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor

from flowgimbal.engines.export import forget_origin
from flowgimbal.engines.shapes import FEATURES
from flowgimbal.engines.training.flow import HELD_OUT
from flowgimbal.engines.training.parts import parts
from flowgimbal.engines.training.scenes import SceneMaker, load_photos
from flowgimbal.engines.weights import load

EXACT = ("encoder.quarter.", "encoder.keys.0.", "polish.")  # layers that stay in float
FEWEST = 8  # output channels of a convolution that need not
SEED = 5

Inputs = dict[str, NDArray[np.float32]]


def calibration(onnx: bytes, photos: Tensor, pairs: int) -> Iterator[Inputs]:
    """What the network is given at the second picture of rendered pairs; ``photos`` as ``SceneMaker`` wants them."""
    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    maker, generator = SceneMaker(photos), torch.Generator().manual_seed(SEED)
    for _ in range(pairs):
        pair = maker.draw(1, generator)
        first, second = (part.numpy().astype(np.float32) for part in (pair.first, pair.second))
        blank = {i.name: np.zeros(_shape(i.shape, first), np.float32) for i in session.get_inputs()}
        _, _, _, *features = session.run(None, blank | {"luma": first})
        yield {"luma": second} | dict(zip(FEATURES, features, strict=True))


def quantise(onnx: bytes, inputs: Iterator[Inputs]) -> bytes:
    """The network with its convolutions in 8 bits.

    Scales follow the moving average of the extremes: those of the wildest scene would be too coarse for all others.
    Older CPUs may overflow where they add two products in 16 bits; who runs the network checks that.
    """
    import onnx as onnx_package

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def get_next(self) -> Inputs | None:
            return next(inputs, None)

    with tempfile.TemporaryDirectory() as folder:
        whole, plain, small = (Path(folder) / name for name in ("whole.onnx", "plain.onnx", "small.onnx"))
        whole.write_bytes(onnx)
        quant_pre_process(whole, plain, skip_symbolic_shape=True)
        exact = _exact_nodes(onnx_package.load(str(plain)).graph)
        quantization.quantize_static(
            plain,
            small,
            Reader(),
            op_types_to_quantize=["Conv", "LeakyRelu"],
            nodes_to_exclude=exact,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            extra_options={"CalibMovingAverage": True, "CalibMovingAverageConstant": 0.05},
        )
        forget_origin(small)
        return small.read_bytes()


def _exact_nodes(graph: Any) -> list[str]:
    """Convolutions that stay in float, and the rectifiers behind them."""
    filters = {tensor.name: tensor.dims[0] for tensor in graph.initializer if tensor.dims}
    exact = [
        node
        for node in graph.node
        if node.op_type == "Conv" and (node.input[1].startswith(EXACT) or filters.get(node.input[1], 0) < FEWEST)
    ]
    outputs = {node.output[0] for node in exact}
    return [node.name for node in (*exact, *(n for n in graph.node if n.input and n.input[0] in outputs))]


def _shape(declared: Sequence[Any], luma: NDArray[np.float32]) -> tuple[int, ...]:
    """``declared`` is like (batch, 24, 2*rows, 2*columns)."""
    sizes = {"batch": 1, "rows": luma.shape[2] // 16, "columns": luma.shape[3] // 16}

    def size(length: Any) -> int:
        if isinstance(length, int):
            return length
        factor, _, name = str(length).rpartition("*")
        whole: int = int(factor or 1) * sizes[name]
        return whole

    return tuple(size(length) for length in declared)


def main(argv: Sequence[str] | None = None) -> int:
    """Calibrate and write."""
    parser = argparse.ArgumentParser(prog="flowgimbal train quantise", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos, searched recursively")
    parser.add_argument("--flow", type=Path, help="the network in float32 (default: the one that is shipped)")
    parser.add_argument("--pairs", type=int, default=64, help="rendered pairs to find the scales on (%(default)s)")
    parser.add_argument("--out", type=Path, required=True, help="folder to write it to, whole and in parts")
    args = parser.parse_args(argv)
    photos = sorted(p for p in args.photos.rglob("*") if p.suffix in {".jpg", ".png"})
    photos = [p for p in photos if not p.name.startswith(HELD_OUT)]
    if not photos:
        parser.error(f"{args.photos} has no photos to train on")
    onnx = args.flow.read_bytes() if args.flow else load("flow.onnx")
    small = quantise(onnx, calibration(onnx, load_photos(photos), args.pairs))
    args.out.mkdir(parents=True, exist_ok=True)
    for name, part in {"flow": small, **parts(small)}.items():
        (args.out / f"{name}.onnx").write_bytes(part)
        sys.stdout.write(f"{name}.onnx  {len(part) / 1e6:.2f} MB  sha256 {hashlib.sha256(part).hexdigest()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
