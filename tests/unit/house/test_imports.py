"""Arrows between the rooms point one way, and nothing outside training knows torch."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SOURCE_ROOTS = ("proto", "engines", "server", "client")

# What a module may import, by the longest prefix of its name; inside its own room everything is allowed.
MAY_IMPORT = {
    "flowgimbal.v1": (),
    "flowgimbal.engines": (),
    "flowgimbal.server": ("flowgimbal.v1", "flowgimbal.engines"),
    "flowgimbal.client": ("flowgimbal.v1",),
}
# The commands alone stand on top of everything, and import it when they run, not when they are imported.
CLI = "flowgimbal.client.cli"
ONLY_INSIDE_FUNCTIONS = ("flowgimbal.server", "flowgimbal.engines")
# A dataclass of defaults, from which every command's help and layers are derived; it pulls in nothing else.
LIGHT = "flowgimbal.server.config"

TRAINING_ROOMS = ("flowgimbal.engines.networks", "flowgimbal.engines.training", "flowgimbal.engines.export")
PAGE = ("flowgimbal.client.web",)
TRACING = ("flowgimbal.server.tracing",)
# Who may import them as it is imported itself: rooms that are entered when the extra is asked for.
EXTRAS = {
    **dict.fromkeys(("torch", "onnx", "onnxscript", "scipy"), TRAINING_ROOMS),
    **dict.fromkeys(("tensorrt", "pycuda"), ()),
    "aiohttp": PAGE,
    "opentelemetry": TRACING,
}
# Where such a room stands among those that everybody has, they enter it inside a function.
DOORS = {PAGE[0]: "the page", TRACING[0]: "tracing"}


def is_in(name: str, package: str) -> bool:
    return name == package or name.startswith(package + ".")


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts[1:]
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {
    module_name(path): path for root in SOURCE_ROOTS for path in sorted((ROOT / root / "flowgimbal").rglob("*.py"))
}


def imports(node: ast.AST, name: str, path: Path, lazy: bool = False) -> Iterator[tuple[str, int, bool]]:
    """Absolute name, line, and whether the import runs only when a function does (or never: type checking)."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from ((alias.name, child.lineno, lazy) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            for _ in range(child.level - 1):
                package = package.rpartition(".")[0]
            base = ".".join(filter(None, [package, child.module])) if child.level else child.module or ""
            # In `from flowgimbal import server` the room is the name imported.
            yield from (
                (f"{base}.{alias.name}" if base == "flowgimbal" else base, child.lineno, lazy) for alias in child.names
            )
        else:
            function = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            typing_only = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
            yield from imports(child, name, path, lazy or function or typing_only)


def faults(name: str, path: Path, source: str) -> list[str]:
    room = next(room for room in MAY_IMPORT if is_in(name, room))
    found = []
    for target, line, lazy in imports(ast.parse(source), name, path):
        top = target.partition(".")[0]
        if top in EXTRAS and not lazy and not any(is_in(name, room) for room in EXTRAS[top]):
            found.append(f"line {line}: {target} is an extra: import it inside the function that needs it")
        if top != "flowgimbal" or is_in(target, room) or any(is_in(target, allowed) for allowed in MAY_IMPORT[room]):
            continue
        if not is_in(name, CLI):
            found.append(f"line {line}: {target} is above this room")
        elif not lazy and target != LIGHT and any(is_in(target, upper) for upper in ONLY_INSIDE_FUNCTIONS):
            found.append(f"line {line}: {target} must be imported inside the function that needs it")
    for target, line, lazy in imports(ast.parse(source), name, path):
        if is_in(target, CLI) and not is_in(name, CLI):
            found.append(f"line {line}: the commands stand on top; nothing imports them")
        for door, what in DOORS.items():
            if not lazy and not is_in(name, door) and is_in(target, door):
                found.append(f"line {line}: {what} is an extra: import it inside the function that needs it")
    return found


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_one_way(name: str) -> None:
    assert faults(name, MODULES[name], MODULES[name].read_text()) == []


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("flowgimbal.engines.onnx", "from flowgimbal.server.warp import Warp"),
        ("flowgimbal.engines.onnx", "import flowgimbal.v1"),
        ("flowgimbal.engines.onnx", "import torch"),
        ("flowgimbal.client.live.relay", "import aiohttp"),
        ("flowgimbal.client.web.site", "import torch"),
        ("flowgimbal.server.service", "from opentelemetry import trace"),
        ("flowgimbal.server.service", "from flowgimbal.server.tracing import Tracing"),
        ("flowgimbal.client.live.relay", "from flowgimbal.client.web import board"),
        ("flowgimbal.engines.onnx", "if True:\n    from torch import nn"),
        ("flowgimbal.server.session", "from flowgimbal import client"),
        ("flowgimbal.server.session", "def f():\n    import flowgimbal.client.errors"),
        ("flowgimbal.client.sync", "def f():\n    from flowgimbal.server import app"),
        ("flowgimbal.client.sync", "from .cli import main"),
        ("flowgimbal.client.cli.serve", "from flowgimbal.server import app"),
        ("flowgimbal.v1.helper", "from flowgimbal.engines import picker"),
    ],
)
def test_wrong_imports_are_found(name: str, source: str) -> None:
    assert faults(name, Path("module.py"), source)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("flowgimbal.engines.training.warp", "import torch\nfrom flowgimbal.engines.networks import warp"),
        (
            "flowgimbal.server.session",
            "from flowgimbal.v1 import stabilizer_pb2\nfrom flowgimbal.engines import picker",
        ),
        ("flowgimbal.client.cli.serve", "def f():\n    from flowgimbal.server import app"),
        ("flowgimbal.client.sync", "from . import errors\nfrom flowgimbal.v1 import stabilizer_pb2"),
    ],
)
def test_right_imports_pass(name: str, source: str) -> None:
    assert faults(name, Path("module.py"), source) == []


def test_every_room_is_looked_at() -> None:
    assert {next(room for room in MAY_IMPORT if is_in(name, room)) for name in MODULES} == set(MAY_IMPORT)
