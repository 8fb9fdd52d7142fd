"""What is recorded may be replayed when all that it was made of is gone or changed."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
from fake_card import FakeDriver
from fake_runtimes import FakeLibcuda

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.card import Card
from flowgimbal.engines.gpu.graphs import CALL, ON_CARD, ON_HOST, Copy, Graph
from flowgimbal.engines.gpu.runners import COLD_RUNS, RecordedCall


def upload_of(source: np.ndarray, to: int) -> Copy:
    copy = Copy()
    copy.src_type, copy.src_host, copy.src_x = ON_HOST, source.ctypes.data - 2, 2
    copy.dst_type, copy.dst_device = ON_CARD, to
    copy.width, copy.height, copy.depth = source.nbytes, 1, 1
    return copy


def test_uploads_are_repeated_from_the_card(driver: FakeDriver, card: Card) -> None:
    assert ctypes.sizeof(Copy) == 200  # of CUDA_MEMCPY3D
    libcuda, source = FakeLibcuda(driver), np.arange(24, dtype=np.uint8)
    with card.lane() as lane:
        block = card.memory(source.nbytes)
        copy = upload_of(source, int(block))
        libcuda.copies = [copy]

        def run() -> None:
            def work() -> None:
                assert copy.src_type == ON_CARD
                ctypes.memmove(copy.dst_device, copy.src_device + copy.src_x, copy.width)

            lane.stream.put(work)

        graph = Graph(libcuda, lane.stream.handle, run, lambda data: lane.upload(np.frombuffer(data, np.uint8)))
        source[:] = 0  # its owner uses the memory for something else
        other = card.memory(source.nbytes)
        ctypes.memset(int(other), 255, source.nbytes)
        graph.launch(lane.stream.handle)
        there = lane.download(block, (24,))
        lane.wait()
        assert there.tolist() == list(range(24))
        graph.free()
        del block, other


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"height": 2}, "more than rows"),
        ({"src_type": 4}, "cannot be copied again"),
        ({"dst_type": ON_HOST}, "cannot be copied again"),
    ],
)
def test_a_copy_that_cannot_be_repeated_is_not_recorded(
    driver: FakeDriver, card: Card, changed: dict[str, int], why: str
) -> None:
    libcuda, copy = FakeLibcuda(driver), upload_of(np.zeros(4, np.uint8), 0)
    for name, value in changed.items():
        setattr(copy, name, value)
    libcuda.copies = [copy]
    with card.lane() as lane, pytest.raises(EngineError, match=why):
        Graph(libcuda, lane.stream.handle, lambda: None, lambda data: 0)
    assert not libcuda.graphs


def test_work_that_calls_back_or_fails_is_not_recorded(driver: FakeDriver, card: Card) -> None:
    libcuda = FakeLibcuda(driver)

    def fail() -> None:
        raise EngineError("no such kernel")

    with card.lane() as lane:
        with pytest.raises(EngineError, match="no such kernel"):
            Graph(libcuda, lane.stream.handle, fail, lambda data: 0)
        libcuda.calls_back = CALL
        with pytest.raises(EngineError, match="calls back"):
            Graph(libcuda, lane.stream.handle, lambda: None, lambda data: 0)
    assert not libcuda.graphs


def test_after_a_recording_that_failed_it_is_run_each_time(driver: FakeDriver, card: Card) -> None:
    libcuda, runs = FakeLibcuda(driver), 0
    libcuda.calls_back = CALL

    def run() -> None:
        nonlocal runs
        runs += 1
        if runs == COLD_RUNS + 2:  # as ONNX Runtime, which finds the error of the recording in the run after it
            raise EngineError("operation not permitted when stream is capturing")

    with card.lane() as lane:
        call = RecordedCall(run, lane, libcuda, keep=())
        for _ in range(COLD_RUNS + 3):
            call()
        assert runs == COLD_RUNS + 2 + 3
        assert not libcuda.launches
        call.free()
        with pytest.raises(EngineError, match="freed"):
            call()
