"""What engines there are here, and why each would or would not be used: ``flowgimbal engines info``."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence

import onnxruntime

from flowgimbal.engines import weights
from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.cache import PlanCache, PlanKey, default_folder
from flowgimbal.engines.gpu.surroundings import BUILDERS, find_builder, find_card
from flowgimbal.engines.onnx import WARPS, OnnxEngine


def describe() -> list[str]:
    """Lines for a person."""
    lines = [f"onnxruntime-cpu   used: ONNX Runtime {onnxruntime.__version__}, name {OnnxEngine().name!r}"]
    for name in ("flow.onnx", *(f"warp_{warp}.onnx" for warp in WARPS), "components.npz"):
        data = weights.load(name)
        lines.append(f"  {name:<22} {len(data) / 1e6:.2f} MB, sha256 {hashlib.sha256(data).hexdigest()[:12]}")
    for builder in BUILDERS:
        lines += _describe_plans(builder)
    return lines


def _describe_plans(name: str) -> list[str]:
    try:
        trt = find_builder(name)
        card = find_card()
    except EngineError as error:
        return [f"{name:<17} not used: {error}"]
    builder, cache = f"{trt.__name__} {trt.__version__}", PlanCache(default_folder())
    lines = [f"{name:<17} not used: this release builds plans but does not run them yet; {builder} on {card}"]
    for network in weights.HALF:
        why = cache.why_not(PlanKey.of(network, weights.load(f"half/{network}.onnx"), builder, card))
        lines.append(f"  {network:<22} {why or 'built'}")
    return lines


def main(arguments: Sequence[str] = ()) -> int:  # noqa: ARG001  # it takes none, as the command line has seen to
    """Print the description."""
    sys.stdout.write("\n".join(describe()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
