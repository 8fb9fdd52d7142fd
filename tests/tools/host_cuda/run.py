"""Runs ``tests/gpu/check.py`` with the real pycuda and no card: over a libcuda that works in the host's memory.

python tests/tools/host_cuda/run.py

Needs Linux, gcc, g++, nm and a Python that has pycuda beside what flowgimbal needs. Says at the end how much of what
was allocated is still alive after two hundred engines were made and closed: it must be nothing.
"""

from __future__ import annotations

import ctypes
import gc
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[2]
sys.path[:0] = [
    str(HERE.parent),
    str(ROOT / "tests" / "gpu"),
    *(str(ROOT / p) for p in ("engines", "server", "client")),
]
BUILT = "FLOWGIMBAL_HOST_CUDA"


def build(folder: Path) -> None:
    """Write ``libcuda.so.1``; what the engine does not call is there too, and fails."""
    from fake_card import SHIM

    spec = find_spec("pycuda")
    if spec is None or not spec.submodule_search_locations:
        raise SystemExit("pycuda is not installed")
    [binding] = Path(spec.submodule_search_locations[0]).glob("_driver*.so")
    names = subprocess.run(["nm", "-D", "--undefined-only", binding], capture_output=True, text=True, check=True).stdout
    source = (HERE / "libcuda.c").read_text()
    there = set(re.findall(r"\b(cu\w+)\(", source))
    rest = "".join(
        f"int {name}(void) {{ return 801; }}\n" for name in sorted(set(re.findall(r" (cu[A-Z]\w+)", names)) - there)
    )
    (folder / "libcuda.c").write_text(source + rest)
    (folder / "shim.h").write_text(SHIM)
    kernels = ROOT / "engines" / "flowgimbal" / "engines" / "gpu" / "kernels.cu"
    shared = ["-O2", "-fPIC", "-c"]
    subprocess.run(["gcc", "-w", *shared, folder / "libcuda.c", "-o", folder / "libcuda.o"], check=True)
    subprocess.run(
        ["g++", *shared, "-include", folder / "shim.h", "-x", "c++", kernels, "-o", folder / "kernels.o"], check=True
    )
    objects = [folder / "libcuda.o", folder / "kernels.o"]
    subprocess.run(["g++", "-shared", *objects, "-Wl,-soname,libcuda.so.1", "-o", folder / "libcuda.so.1"], check=True)


class HostOrt:
    """ONNX Runtime, whose CUDA provider is its CPU provider at the same addresses."""

    __name__ = "onnxruntime"
    __version__ = "on the host"

    def __init__(self) -> None:
        import onnxruntime

        self._ort = onnxruntime
        self.SessionOptions, self.RunOptions = onnxruntime.SessionOptions, onnxruntime.RunOptions

    def InferenceSession(self, onnx: bytes, options: Any, providers: Any) -> Any:  # noqa: N802
        session = self._ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])

        def io_binding() -> Any:
            real = session.io_binding()
            return SimpleNamespace(
                real=real,
                bind_input=lambda name, _, *rest: real.bind_input(name, "cpu", *rest),
                bind_output=lambda name, _, *rest: real.bind_output(name, "cpu", *rest),
            )

        return SimpleNamespace(
            get_providers=lambda: ["CUDAExecutionProvider"],
            get_inputs=session.get_inputs,
            io_binding=io_binding,
            run_with_iobinding=lambda binding, _: session.run_with_iobinding(binding.real),
        )


def main() -> int:
    """Check, then make and close engines."""
    import check

    from flowgimbal.engines.gpu import batched, opening

    opening.find_cuda_provider = HostOrt
    check.SIZES = {"720p": (1280, 720)}
    code: int = check.main(["--quick", "--engine", "cuda"])
    batched.SIZES = (1,)  # to warm up all of them takes a CPU seconds
    for _ in range(200):  # as a server may: opened in one thread, closed in another
        with ThreadPoolExecutor(1) as thread:
            engine = thread.submit(opening.open_gpu, "cuda", "transformer").result()
        engine.close()
        del engine
    gc.collect()
    alive = int(ctypes.CDLL("libcuda.so.1").host_cuda_alive())
    sys.stdout.write(f"alive after two hundred engines: {alive}\n")
    return code or (1 if alive else 0)


if __name__ == "__main__":
    if BUILT in os.environ:
        sys.exit(main())
    with tempfile.TemporaryDirectory() as folder:
        build(Path(folder))
        environment = os.environ | {"LD_LIBRARY_PATH": folder, BUILT: "1"}  # read when a process starts
        sys.exit(subprocess.run([sys.executable, __file__], env=environment).returncode)
