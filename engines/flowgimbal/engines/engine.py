"""What the server asks of an engine: measure the motion, decide the warp, move the pixels. Knows no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.picture import Picture
from flowgimbal.engines.shapes import AREA, MULTIPLE

Luma = NDArray[np.uint8]
Held = Any  # a picture where the engine works, in memory or on the card; opaque to everybody else
Memory = Any  # what an engine keeps of the frame before; as opaque


class EngineError(RuntimeError):
    """An engine could not be loaded or failed to run; says which and why."""


@dataclass(frozen=True, slots=True)
class FlowField:
    """Forward flow from the frame before, on its grid of 4x4-pixel cells.

    ``flow`` is float32 (2, h, w), x then y, in pixels of the network's input; ``scale`` is float32 (h, w), the Laplace
    scale of its error in the same pixels: the smaller, the surer. ``texture`` is float32 (3, h, w), the parts xx, xy
    and yy of a symmetric matrix: which part of a motion along each direction the picture can tell there. All of it at
    a corner, nothing along an edge or where all is flat: there a motion is guessed, and guessed too small.
    """

    flow: NDArray[np.float32]
    scale: NDArray[np.float32]
    texture: NDArray[np.float32]


def all_told(rows: int, columns: int) -> NDArray[np.float32]:
    """The texture of a picture that tells all of a motion everywhere: float32 (3, rows, columns), read-only."""
    return np.broadcast_to(np.array([1, 0, 1], np.float32)[:, None, None], (3, rows, columns))


class FlowMeter(Protocol):
    """Measures how the picture moves."""

    def flow(self, luma: Luma, memory: Memory | None) -> tuple[FlowField | None, Memory]:
        """Measure the motion between the frame that ``memory`` was returned for and this one.

        ``luma`` is uint8 (height, width) of ``flow_size``; without memory, or with that of another size, the field
        is None. Raises EngineError.
        """
        ...


class Measurement(NamedTuple):
    """What an engine sees of a picture."""

    field: FlowField | None  # since the frame before; None without one
    memory: Memory
    contrast: float  # grey levels RMS, of the picture as the flow network sees it


class Engine(Protocol):
    """Works for any number of streams at a time; every method may be called from any thread and raise EngineError."""

    @property
    def name(self) -> str:
        """As in ``StreamInfo.engine``."""
        ...

    @property
    def on_cores(self) -> bool:
        """Whether it computes on the cores of this machine, and not on a card's."""
        ...

    @property
    def lost(self) -> str:
        """Why it will never work again in this process; empty while it does."""
        ...

    def warm_up(self) -> None:
        """Load and run everything once."""
        ...

    def close(self) -> None:
        """Let go of everything; no other method may be called after it."""
        ...

    def hold(self, picture: Picture) -> Held:
        """Take a picture to where the engine works; its planes must not change while it is held."""
        ...

    def measure(self, held: Held, memory: Memory | None) -> Measurement:
        """The motion between the frame that ``memory`` was returned for and this one, as ``FlowMeter.flow``."""
        ...

    def warp(
        self, window: NDArray[np.float32], cover: NDArray[np.float32], conditions: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """Decide the offsets of the due frame: float32 (2, ROWS, COLUMNS) in margins, within [-1, 1].

        ``window`` is (TAPS, 2, ROWS, COLUMNS), ``cover`` (RAW + BINS,), ``conditions`` (4,), as the warp network
        documents them.
        """
        ...

    def sample(self, held: Held, mesh: NDArray[np.float32]) -> Picture:
        """The picture seen through the ``mesh`` (rows, cols, 2): a new one of the same layout, in memory.

        Vertex (i, j) stands at the normalised output position (j / (cols - 1), i / (rows - 1)) and holds the
        normalised input position (u, v) shown there; 0 and 1 are the outer edges of the first and the last pixel.
        """
        ...


def flow_size(width: int, height: int) -> tuple[int, int]:
    """Width and height of the flow network's input for a picture: its aspect, multiples of 16, never enlarged much."""
    area = min(AREA, width * height)
    ratio = min(max(width / height, 0.2), 5.0)

    def side(length: float) -> int:
        return max(2 * MULTIPLE, round(length / MULTIPLE) * MULTIPLE)

    return side((area * ratio) ** 0.5), side((area / ratio) ** 0.5)
