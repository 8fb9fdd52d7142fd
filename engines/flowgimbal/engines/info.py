"""What engines there are here, and why each would or would not be used: ``flowgimbal engines info``."""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Sequence

import onnxruntime

from flowgimbal.engines import native, weights
from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.opening import GPU_ENGINES, find
from flowgimbal.engines.onnx import WARPS, OnnxEngine
from flowgimbal.engines.onnx_flow import IN_PARTS, PARTS, WHOLE, flow_times, forms


def describe() -> list[str]:
    """Lines for a person, the engines in the order in which ``auto`` tries them."""
    lines: list[str] = []
    used = ""
    for name in GPU_ENGINES:
        try:
            ground = find(name)
        except EngineError as error:
            lines.append(f"{name:<17} not used: {error}")
            continue
        lines.append(f"{name:<17} {f'not used: {used} goes before' if used else 'used'}; {ground.module_version}")
        lines[-1] += f" on {ground.card}"
        used = used or name
        if ground.plans:
            lines += [f"  {network:<22} {ground.plans.why_not(network) or 'built'}" for network in weights.HALF]
    verdict = f"not used: {used} goes before" if used else "used"
    lines.append(f"onnxruntime-cpu   {verdict}; ONNX Runtime {onnxruntime.__version__}, name {OnnxEngine().name!r}")
    times = flow_times()
    fastest = min(times, key=times.__getitem__)
    lines += [
        f"  flow in {form:<22} {seconds * 1e3:.1f} ms a picture, measured now{', used' * (form == fastest)}"
        for form, seconds in times.items()
    ]
    lines += [f"  flow in {form:<22} not used: it is damaged, or wrong here" for form in forms() if form not in times]
    lines.append(f"  compiled library {'not used: ' + native.why_not() if native.why_not() else 'used'}")
    parts = (f"{folder}/{part}.onnx" for folder in IN_PARTS.values() for part in PARTS)
    warps = (f"warp_{warp}.onnx" for warp in WARPS)
    for file in (*WHOLE.values(), *parts, *warps, "components.npz", "forecast.npz"):
        data = weights.load(file)
        lines.append(f"  {file:<22} {len(data) / 1e6:.2f} MB, sha256 {hashlib.sha256(data).hexdigest()[:12]}")
    return lines


def main(arguments: Sequence[str] = ()) -> int:  # noqa: ARG001  # it takes none, as the command line has seen to
    """Print the description."""
    sys.stdout.write("\n".join(describe()) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
