"""One network on the card that many streams share: their items side by side in one batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.batcher import Batcher
from flowgimbal.engines.gpu.builder import BATCHES
from flowgimbal.engines.gpu.card import Block, Card, Lane
from flowgimbal.engines.gpu.kernels import Kernels
from flowgimbal.engines.gpu.runners import COLD_RUNS, Bound, Call, Runner
from flowgimbal.engines.gpu.tensors import Shape, Tensors

SIZES = (1, 2, 4, 8, 16)  # batches that there are buffers for; one that is not full is padded
KEPT_SHAPES = 8  # of pictures, that are ready to run in batches of all sizes

# Inputs by name: a float32 array, a Block on the card, None for zeros, or what has a lane fill an address.
Item = Mapping[str, Any]
Moves = list[tuple[int, int, int]]  # rows of the kernel "move"
Result = dict[str, Any]  # outputs by name: Blocks for those that stay on the card, else arrays


class BatchedNetwork:
    """A network with its own lane. May be called from any thread, with or without the card's context active."""

    def __init__(
        self, card: Card, kernels: Kernels, runner: Callable[[Lane], Runner], *, stay: Sequence[str] = ()
    ) -> None:
        """``runner`` makes what runs the network on a lane; outputs called in ``stay`` stay on the card."""
        self._card, self._kernels, self._stay = card, kernels, frozenset(stay)
        with card.active():
            self._lane = card.new_lane()
            self._runner = runner(self._lane)
        self._shapes: OrderedDict[object, dict[int, _Batch]] = OrderedDict()
        self._batcher: Batcher[tuple[Tensors, Item], Result] = Batcher(self._work, limit=BATCHES[-1])

    def __call__(self, tensors: Tensors, item: Item) -> Result:
        """The outputs for ``item``, whose blocks must be filled already. Raises EngineError."""
        return self._batcher((tensors, item), kind=tuple(tensors.inputs.values()))

    def warm_up(self, tensors: Tensors) -> None:
        """Run batches of every size, of zeros, until they are recorded; before anybody else calls."""
        for size in SIZES:
            for _ in range(COLD_RUNS + 1):
                self._work([(tensors, dict.fromkeys(tensors.inputs))] * size)

    def close(self) -> None:
        """Answer what was asked and free everything."""
        self._batcher.close()
        if self._card.lost:
            return
        with self._card.active():
            while self._shapes:
                self._forget_oldest()
            del self._runner, self._lane

    def _work(self, requests: list[tuple[Tensors, Item]]) -> list[Result]:
        tensors, items = requests[0][0], [item for _, item in requests]
        with self._card.active():
            try:
                return self._run(self._batch(tensors, len(items)), items)
            finally:
                self._lane.wait()  # whatever happened, the card must be done before buffers are used again

    def _run(self, batch: _Batch, items: list[Item]) -> list[Result]:
        moves: Moves = []
        for name, tensor in batch.inputs.items():
            tensor.put(self._lane, [item[name] for item in items], moves)
        self._move(moves)
        batch.call()
        results: list[Result] = [{} for _ in items]
        moves = []
        for name, tensor in batch.outputs.items():
            if name in self._stay:
                for index, result in enumerate(results):
                    block = result[name] = self._card.memory(tensor.bytes_each)
                    moves.append((tensor.place(index), int(block), tensor.bytes_each // 4))
            else:
                there = tensor.host[: len(items)]
                self._card.driver.memcpy_dtoh_async(there, int(tensor.block), self._lane.stream)
        self._move(moves)
        self._lane.wait()
        for name, tensor in batch.outputs.items():
            if name not in self._stay:
                for index, result in enumerate(results):
                    result[name] = tensor.host[index].copy()
        return results

    def _move(self, moves: Moves) -> None:
        """All of them at once: a copy each would take longer to ask for than to make."""
        if moves:
            table = self._lane.upload(np.array(moves, np.uint64))
            longest = max(words for _, _, words in moves)
            self._kernels.launch("move", self._lane, longest, table, len(moves), rows=len(moves))

    def _batch(self, tensors: Tensors, count: int) -> _Batch:
        size = next(size for size in SIZES if size >= count)
        shape = tuple(tensors.inputs.values())
        batches = self._shapes.setdefault(shape, {})
        self._shapes.move_to_end(shape)
        if size not in batches:
            try:
                batches[size] = self._bind(tensors, size)
            except (EngineError, self._card.driver.MemoryError):  # it may be for want of memory that others have
                if len(self._shapes) == 1:
                    raise
                self._forget_oldest()
                batches[size] = self._bind(tensors, size)
        if len(self._shapes) > KEPT_SHAPES:
            self._forget_oldest()
        return batches[size]

    def _bind(self, tensors: Tensors, size: int) -> _Batch:
        inputs, outputs = (
            {name: _Tensor.of(self._card, (size, *shape)) for name, shape in side.items()} for side in tensors
        )
        return _Batch(inputs, outputs, self._runner.bind(_bound(inputs), _bound(outputs)))

    def _forget_oldest(self) -> None:
        for batch in self._shapes.popitem(last=False)[1].values():
            batch.call.free()


class _Tensor(NamedTuple):
    """A batch of one input or output: on the card, and page-locked on the host."""

    block: Block
    host: NDArray[np.float32]
    bytes_each: int

    @staticmethod
    def of(card: Card, shape: Shape) -> _Tensor:
        host = card.staging(shape, np.float32)
        return _Tensor(card.memory(host.nbytes), host, host.nbytes // shape[0])

    def place(self, index: int) -> int:
        """The address of an item of the batch."""
        return int(self.block) + index * self.bytes_each

    def put(self, lane: Lane, values: list[Any], moves: Moves) -> None:
        """Fill the batch: now, or by rows that are added to ``moves``."""
        for index, value in enumerate(values):
            if value is None or isinstance(value, Block):
                moves.append((0 if value is None else int(value), self.place(index), self.bytes_each // 4))
            elif callable(value):
                value(lane, self.place(index))
            else:
                self.host[index] = value
        if isinstance(values[0], np.ndarray):
            lane.send(self.host[: len(values)], self.block)


def _bound(tensors: dict[str, _Tensor]) -> Bound:
    return {name: (tensor.block, tensor.host.shape) for name, tensor in tensors.items()}


class _Batch(NamedTuple):
    inputs: dict[str, _Tensor]
    outputs: dict[str, _Tensor]
    call: Call
