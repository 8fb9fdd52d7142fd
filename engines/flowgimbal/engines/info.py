"""What engines there are here, and why each would or would not be used: ``flowgimbal engines info``."""

from __future__ import annotations

import hashlib
import sys
from importlib.resources import files
from importlib.util import find_spec

import onnxruntime

from flowgimbal.engines.onnx import WARPS, OnnxEngine


def describe() -> list[str]:
    """Lines for a person."""
    lines = [f"onnxruntime-cpu   used: ONNX Runtime {onnxruntime.__version__}, name {OnnxEngine().name!r}"]
    for name in ("flow.onnx", *(f"warp_{warp}.onnx" for warp in WARPS), "components.npz"):
        weights = (files("flowgimbal.engines") / "weights" / name).read_bytes()
        digest = hashlib.sha256(weights).hexdigest()[:12]
        lines.append(f"  {name:<22} {len(weights) / 1e6:.2f} MB, sha256 {digest}")
    present = all(find_spec(m) for m in ("tensorrt", "pycuda"))
    why = "this release has no TensorRT engine yet" if present else "tensorrt and pycuda are not installed"
    lines.append(f"tensorrt          not used: {why}")
    return lines


def main() -> int:
    """Print the description."""
    sys.stdout.write("\n".join(describe()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
