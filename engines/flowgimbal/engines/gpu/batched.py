"""One network on the card that many streams share: their items side by side in one batch."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.gpu.batcher import Batcher
from flowgimbal.engines.gpu.builder import BATCHES
from flowgimbal.engines.gpu.card import Block, Card, Lane
from flowgimbal.engines.gpu.runners import Bound, Call, Runner
from flowgimbal.engines.gpu.tensors import Shape, Tensors

SIZES = (1, 2, 4, 8, 16)  # batches that there are buffers for; one that is not full is padded
KEPT_CALLS = 24  # sizes of batch and picture that are ready to run

Item = Mapping[str, Any]  # inputs by name: a float32 array, a Block on the card, or None for zeros
Result = dict[str, Any]  # outputs by name: Blocks for those that stay on the card, else arrays


class BatchedNetwork:
    """A network with its own lane. May be called from any thread, with or without the card's context active."""

    def __init__(self, card: Card, runner: Callable[[Lane], Runner], *, stay: Sequence[str] = (), name: str) -> None:
        """``runner`` makes what runs the network on a lane; outputs called in ``stay`` stay on the card."""
        self._card, self._stay = card, frozenset(stay)
        with card.active():
            self._lane = card.new_lane()
            self._runner = runner(self._lane)
        self._batches: OrderedDict[object, _Batch] = OrderedDict()
        self._batcher: Batcher[tuple[Tensors, Item], Result] = Batcher(self._work, limit=BATCHES[-1], name=name)

    def __call__(self, tensors: Tensors, item: Item) -> Result:
        """The outputs for ``item``, whose blocks must be filled already. Raises EngineError."""
        return self._batcher((tensors, item), kind=tuple(tensors.inputs.values()))

    def warm_up(self, tensors: Tensors) -> None:
        """Run batches of every size, of zeros; before anybody else calls. The second run of each records its graph."""
        for size in SIZES:
            for _ in range(2):
                self._work([(tensors, dict.fromkeys(tensors.inputs))] * size)

    def close(self) -> None:
        """End the thread and free everything."""
        self._batcher.close()
        if self._card.lost:
            return
        with self._card.active():
            while self._batches:
                self._batches.popitem()[1].call.free()
            del self._runner, self._lane

    def _work(self, requests: list[tuple[Tensors, Item]]) -> list[Result]:
        tensors, items = requests[0][0], [item for _, item in requests]
        with self._card.active():
            try:
                return self._run(self._batch(tensors, len(items)), items)
            finally:
                self._lane.wait()  # whatever happened, the card must be done before buffers are used again

    def _run(self, batch: _Batch, items: list[Item]) -> list[Result]:
        driver, stream = self._card.driver, self._lane.stream
        for index, item in enumerate(items):
            for name, tensor in batch.inputs.items():
                tensor.put(driver, stream, index, item[name])
        batch.call()
        staying = {name: tensor for name, tensor in batch.outputs.items() if name in self._stay}
        fetched = {name: tensor for name, tensor in batch.outputs.items() if name not in self._stay}
        results: list[Result] = [
            {name: tensor.take(self._card, stream, index) for name, tensor in staying.items()}
            for index in range(len(items))
        ]
        for tensor in fetched.values():
            driver.memcpy_dtoh_async(tensor.host[: len(items)], int(tensor.block), stream)
        self._lane.wait()
        for index, result in enumerate(results):
            result |= {name: tensor.host[index].copy() for name, tensor in fetched.items()}
        return results

    def _batch(self, tensors: Tensors, count: int) -> _Batch:
        size = next(size for size in SIZES if size >= count)
        key = (size, *tensors.inputs.values())
        if key not in self._batches:
            if len(self._batches) == KEPT_CALLS:
                self._batches.popitem(last=False)[1].call.free()
            inputs, outputs = (
                {name: _Tensor.of(self._card, (size, *shape)) for name, shape in side.items()} for side in tensors
            )
            call = self._runner.bind(_bound(inputs), _bound(outputs))
            self._batches[key] = _Batch(inputs, outputs, call)
        self._batches.move_to_end(key)
        return self._batches[key]


class _Tensor(NamedTuple):
    """A batch of one input or output: on the card, and page-locked on the host."""

    block: Block
    host: NDArray[np.float32]
    bytes_each: int

    @staticmethod
    def of(card: Card, shape: Shape) -> _Tensor:
        host = card.staging(shape, np.float32)
        return _Tensor(card.memory(host.nbytes), host, host.nbytes // shape[0])

    def put(self, driver: Any, stream: Any, index: int, value: NDArray[np.float32] | Block | None) -> None:
        place = int(self.block) + index * self.bytes_each
        if value is None:
            driver.memset_d32_async(place, 0, self.bytes_each // 4, stream)
        elif isinstance(value, Block):
            driver.memcpy_dtod_async(place, int(value), self.bytes_each, stream)
        else:
            self.host[index] = value
            driver.memcpy_htod_async(place, self.host[index], stream)

    def take(self, card: Card, stream: Any, index: int) -> Block:
        block = card.memory(self.bytes_each)
        card.driver.memcpy_dtod_async(int(block), int(self.block) + index * self.bytes_each, self.bytes_each, stream)
        return block


def _bound(tensors: dict[str, _Tensor]) -> Bound:
    return {name: (tensor.block, tensor.host.shape) for name, tensor in tensors.items()}


class _Batch(NamedTuple):
    inputs: dict[str, _Tensor]
    outputs: dict[str, _Tensor]
    call: Call
