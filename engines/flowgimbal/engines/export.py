"""Trained torch networks to ONNX files: ``flowgimbal train export --flow CKPT --lanes CKPT --out DIR``.

The family of warp networks: ``dense`` and ``homography`` share one checkpoint, the latter without the dense rest;
``transformer`` looks at the window in another way. Each is written twice: in fp32, and into ``half/`` with its heavy
parts in fp16, for the card.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flowgimbal.engines.networks.flow import FlowNetwork
from flowgimbal.engines.networks.half import halve
from flowgimbal.engines.networks.policies import LanePolicy, Policy, TransformerPolicy
from flowgimbal.engines.networks.warp import WarpNetwork
from flowgimbal.engines.shapes import COLUMNS, CONDITIONS, FEATURES, KEYS, RAW, ROWS, TAPS
from flowgimbal.engines.timeline import BINS
from flowgimbal.engines.training.run import load

OPSET = 18  # read by ONNX Runtime, TensorRT 10 and 11 alike


def flow_inputs(batch: int, height: int, width: int) -> tuple[Tensor, ...]:
    """Arguments of ``FlowNetwork.forward`` for luma of (height, width), zeros."""
    picture = torch.zeros(batch, 1, height, width)
    keys = (torch.zeros(batch, k, height // s, width // s) for k, s in zip(KEYS, (4, 8, 16), strict=True))
    return picture, picture.clone(), *keys


def warp_inputs(batch: int) -> tuple[Tensor, ...]:
    """Arguments of ``WarpNetwork.forward``, zeros."""
    return (
        torch.zeros(batch, TAPS, 2, ROWS, COLUMNS),
        torch.zeros(batch, RAW + BINS),
        torch.zeros(batch, CONDITIONS),
    )


def export_flow(network: FlowNetwork, file: Path) -> None:
    """Write the flow network with dynamic batch, height and width (multiples of 16)."""
    batch = torch.export.Dim("batch", min=1, max=64)
    rows, columns = torch.export.Dim("rows", min=2, max=128), torch.export.Dim("columns", min=2, max=128)
    shapes = [{0: batch, 2: s * rows, 3: s * columns} for s in (16, 16, 4, 2)]
    shapes.append({0: batch, 2: rows, 3: columns})
    names = ["luma", *FEATURES]
    outputs = ["flow", "log_scale", "texture", *(f"new_{name}" for name in FEATURES)]
    _export(network, flow_inputs(2, 176, 320), names, outputs, tuple(shapes), file)


def export_warp(network: WarpNetwork, file: Path) -> None:
    """Write the warp network with dynamic batch."""
    batch = torch.export.Dim("batch", min=1, max=64)
    _export(network, warp_inputs(2), ["window", "cover", "conditions"], ["offsets"], ({0: batch},) * 3, file)


def _export(
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    names: list[str],
    outputs: list[str],
    shapes: tuple[Any, ...],
    file: Path,
) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            network.eval(),
            inputs,
            str(file),
            input_names=names,
            output_names=outputs,
            dynamic_shapes=shapes,
            dynamo=True,
            opset_version=OPSET,
            external_data=False,
            verbose=False,
        )
    forget_origin(file)


def forget_origin(file: Path) -> None:
    """Take the stack traces of the exporting machine out of the file."""
    import onnx

    model = onnx.load(str(file))
    graph: Any = model.graph
    for part in (model, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    onnx.save(model, str(file))


def main(argv: Sequence[str] | None = None) -> int:
    """Export the best checkpoints of ``train flow`` and ``train warp``."""
    parser = argparse.ArgumentParser(prog="flowgimbal train export", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--flow", type=Path, help="best.pt of `flowgimbal train flow`")
    parser.add_argument("--lanes", type=Path, help="best.pt of `flowgimbal train warp`: dense and homography")
    parser.add_argument("--transformer", type=Path, help="best.pt of `flowgimbal train warp --policy transformer`")
    parser.add_argument("--out", type=Path, required=True, help="folder for flow.onnx, warp_NAME.onnx and half/")
    args = parser.parse_args(argv)
    (args.out / "half").mkdir(parents=True, exist_ok=True)
    if args.flow:
        flow = FlowNetwork()
        load(flow, args.flow)
        export_flow(flow, args.out / "flow.onnx")
        export_flow(halve(flow), args.out / "half" / "flow.onnx")
    family: list[tuple[str, Policy, Path | None, bool]] = [
        ("dense", LanePolicy(), args.lanes, True),
        ("homography", LanePolicy(), args.lanes, False),
        ("transformer", TransformerPolicy(), args.transformer, True),
    ]
    for name, policy, checkpoint, dense in family:
        if checkpoint:
            load(policy, checkpoint)
            network = WarpNetwork(policy, dense=dense)
            export_warp(network, args.out / f"warp_{name}.onnx")
            export_warp(halve(network), args.out / "half" / f"warp_{name}.onnx")
    for file in sorted(args.out.rglob("*.onnx")):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        sys.stdout.write(f"{file.relative_to(args.out)}  {file.stat().st_size / 1e6:.2f} MB  sha256 {digest}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
