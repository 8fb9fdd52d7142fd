"""The compiled roads: what takes many small steps a frame, in C, where that was built and the processor can go it.

``sampling.c`` moves pixels for ``engines/sampling.py``, ``compare.c`` and ``polish.c`` are parts of the flow network
(``onnx_flow.py``), ``fit.c`` finds the motion for the server's ``motion.py``; each has another road, taken elsewhere.
``engines/compile_native.py`` builds them when the package is installed, if there is a C compiler. The library has no
Python in it, and is called through ctypes, which gives the interpreter's lock away meanwhile.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

LIBRARY = Path(__file__).with_name("native.library")  # not .so: Python would take it for a module
REVISION = 4  # of the library's functions: as in native.h


@cache
def why_not() -> str:
    """Why this machine has to do without; empty if it need not."""
    if not LIBRARY.exists():
        return "not built: there was no C compiler for x86-64 when flowgimbal was installed"
    try:
        library = _library()
        if library.revision() != REVISION:
            return "it is of another version: install flowgimbal again"
        return "" if library.usable() else "this processor has no AVX2"
    except (OSError, AttributeError) as error:
        return f"it does not load: {error}"


@cache
def _library() -> ctypes.CDLL:
    """What was asked for its version is what is called, whatever is installed meanwhile."""
    return ctypes.CDLL(str(LIBRARY))


def function(name: str, arguments: Sequence[Any], result: Any = None) -> Any:
    """The library's function of that name, with ctypes' types of its arguments and result."""
    found = getattr(_library(), name)
    found.argtypes, found.restype = list(arguments), result
    return found
