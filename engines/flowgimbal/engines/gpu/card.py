"""One card through pycuda: its context, memory that is lent and comes back, and lanes that work side by side.

pycuda's own pools are not used: a block that the garbage collector gives back to them in a thread without a context
ends the process. Giving back to these touches no CUDA while the card is open, so that it may happen anywhere.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from flowgimbal.engines.engine import EngineError

MOST_IDLE = 512 << 20  # bytes that a pool keeps unused
NON_BLOCKING = 1  # CU_STREAM_NON_BLOCKING: neither waits for the legacy stream nor makes it wait


class Block:
    """Memory on loan; goes back to its pool when nobody refers to it any more."""

    def __init__(self, pool: Pool, memory: Any, size: int) -> None:
        self._pool = pool
        self.memory = memory
        self.size = size  # bytes

    def __int__(self) -> int:
        """Its address on the card."""
        return int(self.memory)

    def __del__(self) -> None:
        self._pool.take_back(self.memory, self.size)


class Pinned(Block):
    """Page-locked memory of the host, which a card reads and writes while the host does something else."""

    @property
    def __array_interface__(self) -> dict[str, Any]:
        """So that an array over it keeps it on loan."""
        interface: dict[str, Any] = self.memory.__array_interface__
        return interface


class Pool:
    """Lends memory and keeps what comes back: in the steady state nothing is allocated.

    Memory is lent in classes of size, eight to an octave, so that pictures of nearly the same size share it; more than
    MOST_IDLE is not kept when something new is wanted.
    """

    def __init__(self, card: Card, allocate: Callable[[int], Any], free: Callable[[Any], None]) -> None:
        self._card, self._allocate, self._free = card, allocate, free
        self._idle: defaultdict[int, list[Any]] = defaultdict(list)
        self._closed = False

    def lend(self, size: int) -> Any:
        """Memory of ``size`` bytes at least, for a Block; with the card's context active."""
        size = _class_of(size)
        try:
            return self._idle[size].pop()
        except IndexError:
            pass
        if sum(length * len(idle) for length, idle in list(self._idle.items())) > MOST_IDLE:
            self.free_idle()
        try:
            return self._allocate(size)
        except self._card.driver.MemoryError:  # what pictures of other sizes have left may be enough
            self._card.free_idle()
            return self._allocate(size)

    def take_back(self, memory: Any, size: int) -> None:
        """Called by the block, in any thread; takes no lock, since garbage may be collected anywhere."""
        self._idle[_class_of(size)].append(memory)
        if self._closed and not self._card.lost and not sys.is_finalizing():  # then the driver has freed it already
            with self._card.active():
                self.free_idle()

    def close(self) -> None:
        """Free what is not on loan, and what is as soon as it comes back; with the card's context active."""
        self._closed = True
        self.free_idle()

    def free_idle(self) -> None:
        """Give back to the driver what is not on loan; with the card's context active."""
        for idle in list(self._idle.values()):
            with suppress(IndexError):  # until it is empty, whoever takes the last
                while True:
                    self._free(idle.pop())


def _class_of(size: int) -> int:
    """``size`` rounded up to three binary digits and the leading one."""
    step = 1 << max(0, size.bit_length() - 4)
    return -(-size // step) * step


class Lane:
    """A stream of work on the card. Belongs to one thread at a time."""

    def __init__(self, card: Card, stream: Any) -> None:
        self._card = card
        self.stream = stream
        self._busy: list[object] = []  # what the card may still be reading or writing

    def upload(self, array: NDArray[Any]) -> Block:
        """A copy of an array of any strides, packed, on the card once the lane comes to it."""
        staging = self._card.staging(array.shape, array.dtype)
        np.copyto(staging, array)
        block = self._card.memory(array.nbytes)
        self.send(staging, block)
        return block

    def send(self, staging: NDArray[Any], block: Block) -> None:
        """Copy what is in page-locked memory to the card, once the lane comes to it."""
        self._card.driver.memcpy_htod_async(int(block), staging, self.stream)
        self._busy += [staging, block]

    def download(self, block: Block, shape: tuple[int, ...], dtype: DTypeLike = np.uint8) -> NDArray[Any]:
        """An array that holds what is in ``block`` after ``wait``."""
        staging = self._card.staging(shape, dtype)
        self._card.driver.memcpy_dtoh_async(staging, int(block), self.stream)
        self._busy += [staging, block]
        return staging

    def keep(self, *blocks: Block) -> None:
        """Do not let go of these before the work is done."""
        self._busy += blocks

    def wait(self) -> None:
        """Until all work is done; the other lanes go on."""
        self.stream.synchronize()
        self._busy.clear()


class Card:
    """A card of this machine. ``close`` frees what it has allocated, blocks on loan when they are let go.

    Any error of the driver but a want of memory ends its use: CUDA repeats it to every later call of the process.
    ``driver`` is ``pycuda.driver`` after ``init``.
    """

    def __init__(self, driver: Any, index: int = 0) -> None:
        self.driver = driver
        self.index = index
        self._context = _primary_context(driver, index)
        self._device = Pool(self, driver.mem_alloc, lambda memory: memory.free())
        self._host = Pool(self, self._allocate_pinned, lambda array: array.base.free())
        self._lanes: list[Lane] = []
        self.lost = ""  # why the card cannot be used any more
        self._lock = threading.Lock()

    @contextmanager
    def active(self) -> Iterator[None]:
        """The card's context, in this thread. What the driver raises comes out as EngineError."""
        if self.lost:
            raise EngineError(self.lost)
        try:
            self._context.push()
            try:
                yield
            finally:
                self._context.pop()
        except self.driver.MemoryError as error:
            raise EngineError(f"the card failed: {error}") from error
        except self.driver.Error as error:
            self.lost = self.lost or f"the card failed: {error}"
            raise EngineError(self.lost) from error

    @contextmanager
    def lane(self) -> Iterator[Lane]:
        """A lane of one's own; its work is done when the block is left."""
        with self.active():
            with self._lock:
                lane = self._lanes.pop() if self._lanes else None
            lane = lane or self.new_lane()
            try:
                yield lane
            finally:
                try:
                    lane.wait()
                finally:
                    self._lanes.append(lane)

    def new_lane(self) -> Lane:
        """A lane to keep; with the context active."""
        return Lane(self, self.driver.Stream(NON_BLOCKING))

    def memory(self, size: int) -> Block:
        """``size`` bytes on the card; with the context active."""
        return Block(self._device, self._device.lend(size), size)

    def staging(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """A page-locked array, on loan until the last view of it is gone; with the context active."""
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        return np.asarray(Pinned(self._host, self._host.lend(size), size))[:size].view(kind).reshape(shape)

    def free_idle(self) -> None:
        """Give all memory back that is not on loan; with the context active."""
        self._device.free_idle()
        self._host.free_idle()

    def close(self) -> None:
        """Free streams and memory; those of a lost card the driver frees when the process ends."""
        if self.lost:
            return
        with self.active():
            self._lanes.clear()
            self._device.close()
            self._host.close()

    def _allocate_pinned(self, size: int) -> Any:
        return self.driver.pagelocked_empty(size, np.uint8, mem_flags=self.driver.host_alloc_flags.PORTABLE)


@cache
def _primary_context(driver: Any, index: int) -> Any:
    """Shared with TensorRT and ONNX Runtime, and kept for the life of the process, as CUDA's own runtime keeps it."""
    context = driver.Device(index).retain_primary_context()
    atexit.register(_release, context)
    return context


def _release(context: Any) -> None:
    """pycuda's own destructor takes a primary context for one that it has made, and complains when that fails."""
    context.push()
    context.detach()
