"""Builds the sdist and, from it, the wheel; looks inside; then imports every module beside the base install alone.

Says by its exit status whether a user who runs ``pip install flowgimbal`` gets a working product: only the one
top-level name, the weights and ``py.typed`` inside, no module that needs an extra before it is asked for.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
SUBPACKAGES = ("v1", "engines", "server", "client")
MAX_WHEEL_BYTES = 25_000_000

# Run in the bare environment. These alone may need an extra: they are imported when it is asked for.
IMPORT_ALL = """
import importlib, pkgutil, sys
import flowgimbal
extra = ["flowgimbal.engines." + name for name in ("networks", "training", "export")]
extra += ["flowgimbal.client.web", "flowgimbal.server.tracing"]
names = [m.name for m in pkgutil.walk_packages(flowgimbal.__path__, "flowgimbal.", onerror=lambda name: None)]
names = [n for n in names if not n.startswith(tuple(extra)) and not n.endswith("__main__")]
for name in names:
    importlib.import_module(name)
extras = {"torch", "onnx", "scipy", "pycuda", "tensorrt", "aiohttp", "opentelemetry"}
assert not extras & sys.modules.keys(), "an extra is imported by the base"
from flowgimbal.engines import native
assert not native.LIBRARY.exists() or native.why_not() in ("", "this processor has no AVX2"), native.why_not()
print(f"{len(names)} modules import with the base install")
"""


def run(*command: str | Path) -> None:
    """Run in an empty place, so that nothing is imported from the checkout; raise if the command fails."""
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    with tempfile.TemporaryDirectory() as empty:
        subprocess.run([str(part) for part in command], cwd=empty, env=env, check=True)


def complaints(wheel: Path) -> list[str]:
    """What is wrong with the wheel's contents, in words."""
    names = zipfile.ZipFile(wheel).namelist()
    size = wheel.stat().st_size
    found = []
    if strangers := {name.split("/")[0] for name in names if ".dist-info/" not in name} - {"flowgimbal"}:
        found.append(f"top-level names beside flowgimbal: {sorted(strangers)}")
    if size > MAX_WHEEL_BYTES:
        found.append(f"{size} bytes; at most {MAX_WHEEL_BYTES} are sane")
    wanted = [f"flowgimbal/{package}/py.typed" for package in SUBPACKAGES]
    found += [f"{name} is missing" for name in wanted if name not in names]
    parts = ("flow", "encode", "coarse", "middle", "fine", "gate")
    weights = ["flow.onnx", "warp_dense.onnx", "forecast.npz", *(f"int8/{part}.onnx" for part in parts)]
    found += [f"{name} is missing" for name in weights if f"flowgimbal/engines/weights/{name}" not in names]
    able = shutil.which("cc") and platform.machine() == "x86_64"
    if able and "flowgimbal/engines/native/native.library" not in names:
        found.append("there is a C compiler for x86-64, and nothing was compiled")
    page = [f"flowgimbal/client/web/assets/{name}" for name in ("index.html", "page.css", "page.js")]
    found += [f"{name} is missing" for name in page if name not in names]
    for tail in ("/LICENSE", "/NOTICE"):
        if not any(name.endswith(tail) for name in names):
            found.append(f"no {tail[1:]} inside")
    sys.stdout.write(f"{wheel.name}: {size / 1e6:.2f} MB, {len(names)} files\n")
    return found


def main() -> int:
    """Build, look, install, import; return the exit status."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder)
        subprocess.run([sys.executable, "-m", "hatchling", "build", "-t", "sdist", "-d", made], cwd=ROOT, check=True)
        (sdist,) = made.glob("*.tar.gz")
        pip = ("-m", "pip", "--quiet", "--disable-pip-version-check")
        run(sys.executable, *pip, "wheel", "--no-deps", "-w", made, sdist)
        (wheel,) = made.glob("*.whl")
        found = complaints(wheel)

        run(sys.executable, "-m", "venv", made / "bare")
        python = made / "bare" / "bin" / "python"
        run(python, *pip, "install", wheel)
        run(python, "-W", "error", "-c", IMPORT_ALL)
        run(made / "bare" / "bin" / "flowgimbal", "--help")
    for complaint in found:
        sys.stderr.write(f"{wheel.name}: {complaint}\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
