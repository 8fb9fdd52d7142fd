"""The kernels of ``kernels.cu``, compiled beforehand: a machine that runs them needs no compiler."""

from __future__ import annotations

from importlib import resources
from typing import Any

from flowgimbal.engines.gpu.card import Lane

THREADS = 256
MOST_BLOCKS = 1 << 14  # each thread takes several pixels where there are more

# What each takes, in the letters of ``struct``.
SIGNATURES = {
    "gray": "PPiii",
    "shrink": "PPPiiiiii",
    "move": "Pi",
    "sample": "PPiiiPiiff",
}


class Kernels:
    """Made with the card's context active; belongs to that context."""

    def __init__(self, driver: Any) -> None:
        self._module: Any = driver.module_from_buffer(ptx())  # nothing else keeps it loaded
        self._functions = {name: self._module.get_function(name) for name in SIGNATURES}
        for name, signature in SIGNATURES.items():
            self._functions[name].prepare(signature)

    def launch(self, name: str, lane: Lane, count: int, *arguments: object, rows: int = 1) -> None:
        """Run a kernel over ``count`` pixels, ``rows`` times beside each other, as ``kernels.cu`` describes it."""
        blocks = min(-(-count // THREADS), MOST_BLOCKS)
        numbers = [value if isinstance(value, float) else int(value) for value in arguments]  # type: ignore[call-overload]
        self._functions[name].prepared_async_call((blocks, rows), (THREADS, 1, 1), lane.stream, *numbers)

    def unload(self) -> None:
        """Let go of them, with the card's context active."""
        self._functions, self._module = {}, None


def ptx() -> bytes:
    """The compiled kernels, for cards from Turing on; ends with a zero byte, as the driver wants it."""
    return resources.files(__package__).joinpath("kernels.ptx").read_bytes() + b"\0"
