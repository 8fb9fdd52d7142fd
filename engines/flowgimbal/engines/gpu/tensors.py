"""What goes into the networks and comes out: names and shapes, without the batch in front. All of it is float32."""

from __future__ import annotations

from typing import NamedTuple

from flowgimbal.engines.shapes import COLUMNS, CONDITIONS, FEATURES, KEYS, RAW, ROWS, STRIDE, TAPS
from flowgimbal.engines.timeline import BINS

Shape = tuple[int, ...]

NEW = tuple(f"new_{name}" for name in FEATURES)  # outputs of the flow network that are its next inputs


class Tensors(NamedTuple):
    """Inputs and outputs of one network for one item, by name."""

    inputs: dict[str, Shape]
    outputs: dict[str, Shape]


def flow_tensors(width: int, height: int) -> Tensors:
    """Of the flow network, for a luma of that size."""
    shapes: list[Shape] = [
        (channels, height // scale, width // scale)
        for channels, scale in zip((1, *KEYS), (1, STRIDE, 2 * STRIDE, 4 * STRIDE), strict=True)
    ]
    cells = height // STRIDE, width // STRIDE
    luma: Shape = (1, height, width)
    return Tensors(
        {"luma": luma} | dict(zip(FEATURES, shapes, strict=True)),
        {"flow": (2, *cells), "log_scale": (1, *cells), "texture": (3, *cells)} | dict(zip(NEW, shapes, strict=True)),
    )


def warp_tensors() -> Tensors:
    """Of every warp network."""
    return Tensors(
        {"window": (TAPS, 2, ROWS, COLUMNS), "cover": (RAW + BINS,), "conditions": (CONDITIONS,)},
        {"offsets": (2, ROWS, COLUMNS)},
    )
