"""A network that streams share: which shapes of picture are kept ready."""

from __future__ import annotations

from typing import Any

import pytest
from fake_card import FakeDriver

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.batched import KEPT_SHAPES, BatchedNetwork
from flowgimbal.engines.gpu.card import Card
from flowgimbal.engines.gpu.kernels import Kernels
from flowgimbal.engines.gpu.tensors import NEW, flow_tensors


class Shapes:
    """A runner that makes calls which do nothing, and tells which shapes were bound and which freed."""

    def __init__(self) -> None:
        self.bound: list[tuple[int, ...]] = []
        self.freed: list[tuple[int, ...]] = []
        self.short = 0  # of memory, so many times

    def bind(self, inputs: Any, outputs: Any) -> Any:
        if self.short:
            self.short -= 1
            raise EngineError("out of memory")
        shape = inputs["luma"][1]
        self.bound.append(shape)
        shapes = self

        class Call:
            def __call__(self) -> None:
                pass

            def free(self) -> None:
                shapes.freed.append(shape)

        return Call()


@pytest.fixture
def shapes(card: Card, driver: FakeDriver) -> Any:
    """A network of such calls, and the runner."""
    with card.active():
        kernels = Kernels(driver)
    runner = Shapes()
    network = BatchedNetwork(card, kernels, lambda lane: runner, stay=NEW)
    yield network, runner
    network.close()
    assert sorted(runner.freed) == sorted(runner.bound)


def measured(network: BatchedNetwork, rows: int) -> tuple[int, ...]:
    """Ask for a picture of so many rows, one of its own shape; returns that of the network's input."""
    tensors = flow_tensors(64, rows)
    network(tensors, dict.fromkeys(tensors.inputs))
    return (1, *tensors.inputs["luma"])


def test_the_last_shapes_are_kept_and_the_one_longest_unused_goes(shapes: tuple[BatchedNetwork, Shapes]) -> None:
    network, runner = shapes
    used = [measured(network, 32 + 16 * i) for i in range(KEPT_SHAPES)]
    assert measured(network, 32) == used[0]
    assert runner.bound == used
    measured(network, 512)
    assert runner.freed == [used[1]]


def test_a_shape_there_is_no_memory_for_takes_that_of_the_one_longest_unused(
    shapes: tuple[BatchedNetwork, Shapes],
) -> None:
    network, runner = shapes
    runner.short = 1
    with pytest.raises(EngineError, match="out of memory"):  # nobody has any to give
        measured(network, 32)
    used = [measured(network, 32), measured(network, 48)]
    runner.short = 1
    assert measured(network, 64) == (1, 1, 64, 64)
    assert runner.freed == used[:1]
