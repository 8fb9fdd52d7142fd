"""What the server asks of an engine: run the flow network and the warp network. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.shapes import AREA, MULTIPLE

Luma = NDArray[np.uint8]
Memory = Any  # what an engine keeps of the frame before; opaque to everybody else


class EngineError(RuntimeError):
    """An engine could not be loaded or failed to run; says which and why."""


@dataclass(frozen=True, slots=True)
class FlowField:
    """Forward flow from the frame before, on its grid of 4x4-pixel cells.

    ``flow`` is float32 (2, h, w), x then y, in pixels of the network's input; ``scale`` is float32 (h, w), the Laplace
    scale of its error in the same pixels: the smaller, the surer.
    """

    flow: NDArray[np.float32]
    scale: NDArray[np.float32]


class FlowMeter(Protocol):
    """Measures how the picture moves."""

    def flow(self, luma: Luma, memory: Memory | None) -> tuple[FlowField | None, Memory]:
        """Measure the motion between the frame that ``memory`` was returned for and this one.

        ``luma`` is uint8 (height, width) of ``flow_size``; without memory, or with that of another size, the field
        is None. Raises EngineError.
        """
        ...


class Engine(FlowMeter, Protocol):
    """Runs both networks for any number of streams at a time; every method may be called from any thread."""

    @property
    def name(self) -> str:
        """As in ``StreamInfo.engine``."""
        ...

    def warm_up(self) -> None:
        """Load and run everything once; raises EngineError."""
        ...

    def warp(
        self, window: NDArray[np.float32], cover: NDArray[np.float32], conditions: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Decide the offsets of the due frame: float32 (2, ROWS, COLUMNS) in margins, within [-1, 1].

        ``window`` is (TAPS, 2, ROWS, COLUMNS), ``cover`` (RAW + BINS,), ``conditions`` (4,), as the warp network
        documents them. Raises EngineError.
        """
        ...


def flow_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the flow network's input for a picture: its aspect, multiples of 16, never enlarged much."""
    area = min(AREA, width * height)
    ratio = min(max(width / height, 0.2), 5.0)

    def side(length: float) -> int:
        return max(2 * MULTIPLE, round(length / MULTIPLE) * MULTIPLE)

    return side((area * ratio) ** 0.5), side((area / ratio) ** 0.5)
