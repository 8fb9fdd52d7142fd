"""The engine on an NVIDIA card: a picture goes up once, is measured and sampled there, and comes down once.

The fit of a motion to the flow and the window stay on the host: they are some kilobytes a frame and the same code for
every engine.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.engine import FlowField, Measurement, Memory, flow_size
from flowgimbal.engines.gpu.batched import BatchedNetwork
from flowgimbal.engines.gpu.card import Block, Card, Lane
from flowgimbal.engines.gpu.kernels import Kernels
from flowgimbal.engines.gpu.tensors import NEW, flow_tensors, warp_tensors
from flowgimbal.engines.host import contrast
from flowgimbal.engines.picture import Layout, Picture
from flowgimbal.engines.shapes import FEATURES

# OpenCV's weights of the first and the third channel in luma, of 1 << 15.
BLUE, RED = 3735, 9798
CHANNEL_WEIGHTS = {Layout.BGR: (BLUE, RED), Layout.RGB: (RED, BLUE)}

Size = tuple[int, int]


class CardPicture(NamedTuple):
    """A picture on the card: packed planes and their shapes."""

    layout: Layout
    planes: tuple[Block, ...]
    shapes: tuple[tuple[int, ...], ...]
    chroma: tuple[int, int]

    @property
    def size(self) -> Size:
        """(width, height). Unit: pixels."""
        return self.shapes[0][1], self.shapes[0][0]


class CardMemory(NamedTuple):
    """What the flow network matches of a picture, on the card."""

    size: Size
    features: dict[str, Block]


class GpuEngine:
    """Both networks and the pixels on one card, for all streams."""

    on_cores = False

    def __init__(self, card: Card, kernels: Kernels, flow: BatchedNetwork, warp: BatchedNetwork, *, name: str) -> None:
        self.name = name
        self._card, self._kernels, self._flow, self._warp = card, kernels, flow, warp

    @property
    def lost(self) -> str:
        """See ``Engine.lost``."""
        return self._card.lost

    def warm_up(self) -> None:
        """Run everything at 16:9 as it will be run, so that no stream waits for another's first batch."""
        still = self.hold(Picture(Layout.GRAY, (np.zeros((720, 1280), np.uint8),)))
        self.measure(still, self.measure(still, None).memory)
        self.sample(still, np.zeros((2, 2, 2), np.float32))
        self._flow.warm_up(flow_tensors(*flow_size(1280, 720)))
        self._warp.warm_up(warp_tensors())

    def close(self) -> None:
        """Answer what was asked and free all memory of the card."""
        self._flow.close()
        self._warp.close()
        if not self._card.lost:
            with self._card.active():
                self._kernels.unload()
        self._card.close()

    def hold(self, picture: Picture) -> CardPicture:
        """Copy the planes to the card."""
        with self._card.lane() as lane:
            planes = tuple(lane.upload(plane) for plane in picture.planes)
        return CardPicture(picture.layout, planes, tuple(plane.shape for plane in picture.planes), picture.chroma)

    def measure(self, held: CardPicture, memory: Memory | None) -> Measurement:
        """See ``Engine.measure``."""
        size = flow_size(*held.size)
        known = memory is not None and memory.size == size
        before = memory.features if memory is not None and known else dict.fromkeys(FEATURES)
        seen = np.zeros(0, np.uint8)

        def luma(lane: Lane, place: int) -> None:
            nonlocal seen
            seen = self._see_small(lane, held, size, place)

        found = self._flow(flow_tensors(*size), {"luma": luma, **before})
        now = CardMemory(size, {name: found[new] for name, new in zip(FEATURES, NEW, strict=True)})
        field = FlowField(found["flow"], np.exp(found["log_scale"][0]), found["texture"]) if known else None
        return Measurement(field, now, contrast(seen))

    def warp(
        self, window: NDArray[np.float32], cover: NDArray[np.float32], conditions: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """See ``Engine.warp``."""
        offsets: NDArray[np.float32] = self._warp(
            warp_tensors(), {"window": window, "cover": cover, "conditions": conditions}
        )["offsets"]
        return offsets

    def sample(self, held: CardPicture, mesh: NDArray[np.float32]) -> Picture:
        """See ``Engine.sample``."""
        with self._card.lane() as lane:
            seen = self._see(lane, held, mesh)
            planes = tuple(lane.download(plane, shape) for plane, shape in zip(seen.planes, seen.shapes, strict=True))
        return Picture(seen.layout, planes, seen.chroma)

    def sample_there(self, held: CardPicture, mesh: NDArray[np.float32]) -> CardPicture:
        """As ``sample``, but what comes out stays on the card."""
        with self._card.lane() as lane:
            return self._see(lane, held, mesh)

    def _see(self, lane: Lane, held: CardPicture, mesh: NDArray[np.float32]) -> CardPicture:
        width, height = held.size
        vertices = lane.upload(mesh)
        seen = []
        for index, (plane, shape) in enumerate(zip(held.planes, held.shapes, strict=True)):
            fx, fy = (1, 1) if index == 0 else held.chroma
            rows, cols, channels = (*shape, 1)[:3]
            seen.append(self._card.memory(plane.size))
            self._kernels.launch(
                "sample", lane, rows * cols, plane, seen[-1], cols, rows, channels,
                vertices, mesh.shape[0], mesh.shape[1], width / fx, height / fy,
            )  # fmt: skip
        lane.keep(*seen)
        return held._replace(planes=tuple(seen))

    def _luma(self, lane: Lane, held: CardPicture) -> Block:
        weights = CHANNEL_WEIGHTS.get(held.layout)
        if weights is None:
            return held.planes[0]
        pixels = held.planes[0].size // 3
        luma = self._card.memory(pixels)
        self._kernels.launch("gray", lane, pixels, held.planes[0], luma, pixels, *weights)
        lane.keep(luma)
        return luma

    def _see_small(self, lane: Lane, held: CardPicture, size: Size, unit: int) -> NDArray[np.uint8]:
        """Luma at ``size``, in [0, 1] at the address ``unit``; its bytes after ``wait``.

        As ``host.shrink`` gives it, but for pictures so long that the network's is larger than theirs one way.
        """
        (width, height), (least_width, least_height) = held.size, size
        times = 0
        while (width >> times) >= 2 * least_width and (height >> times) >= 2 * least_height:
            times += 1
        larger = (width >> times) * (height >> times) > 1.5 * least_width * least_height
        small = self._card.memory(least_width * least_height)
        luma = self._luma(lane, held)
        self._kernels.launch("shrink", lane, small.size, luma, small, unit, width, height, times, larger, *size)
        return lane.download(small, (least_height, least_width))
