"""What TensorRT says when something fails: its bindings return nothing and log the reason."""

from __future__ import annotations

from typing import Any


def complaints(trt: Any) -> Any:
    """A logger for ``trt`` whose ``last`` is the last error."""

    class Complaints(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.last = "no reason given"

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.last = " ".join(text.split())

    return Complaints()
