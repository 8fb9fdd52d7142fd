"""The GPU engine against the CPU engine: the same code that a card runs, over a fake of what it calls."""

from __future__ import annotations

import gc
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any

import av
import numpy as np
import pytest
from fake_card import FakeDriver
from fake_runtimes import FakeOrt

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.engines import weights
from flowgimbal.engines.engine import EngineError, flow_size
from flowgimbal.engines.gpu.batched import BatchedNetwork
from flowgimbal.engines.gpu.card import Card
from flowgimbal.engines.gpu.engine import GpuEngine
from flowgimbal.engines.gpu.kernels import Kernels
from flowgimbal.engines.gpu.runners import CudaRunner
from flowgimbal.engines.gpu.tensors import NEW
from flowgimbal.engines.host import shrink
from flowgimbal.engines.onnx import OnnxEngine
from flowgimbal.engines.onnx_flow import OnnxFlow
from flowgimbal.engines.picture import Layout, Picture, luma
from flowgimbal.engines.shapes import COLUMNS, RAW, ROWS, TAPS
from flowgimbal.engines.timeline import BINS
from flowgimbal.server.settings import Settings
from flowgimbal.server.stabilizer import Stabilizer
from flowgimbal.server.warp import vertices

RNG = np.random.default_rng(11)


def make(driver: FakeDriver, ort: FakeOrt | None = None) -> GpuEngine:
    ort = ort or FakeOrt(driver)
    card = Card(driver)
    with card.active():
        kernels = Kernels(driver)
    flow, warp = (
        BatchedNetwork(
            card,
            kernels,
            lambda lane, name=name: CudaRunner(ort, weights.load(f"half/{name}.onnx"), card, lane, None),
            stay=NEW,
        )
        for name in ("flow", "warp_dense")
    )
    return GpuEngine(card, kernels, flow, warp, name="fake")


@pytest.fixture
def engine(driver: FakeDriver) -> Any:
    engine = make(driver)
    yield engine
    engine.close()
    assert not driver.live


def picture(layout: Layout, width: int, height: int) -> Picture:
    def plane(*shape: int) -> np.ndarray:
        return RNG.integers(0, 256, shape, np.uint8)

    half = ((height + 1) // 2, (width + 1) // 2)
    match layout:
        case Layout.GRAY:
            return Picture(layout, (plane(height, width),))
        case Layout.NV12:
            return Picture(layout, (plane(height, width), plane(*half, 2)), (2, 2))
        case Layout.YUV:
            return Picture(layout, (plane(height, width), plane(*half), plane(*half)), (2, 2))
    return Picture(layout, (plane(height, width, 3),))


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("size", [(320, 180), (641, 361), (64, 48), (97, 331), (1921, 1083), (2704, 1520)])
def test_what_the_network_sees_is_what_it_sees_on_the_cpu(engine: GpuEngine, layout: Layout, size: tuple) -> None:
    shown = picture(layout, *size)
    small = shrink(luma(shown), flow_size(*size))
    held = engine.hold(shown)
    with engine._card.lane() as lane:
        unit = engine._card.memory(4 * small.size)
        seen = engine._see_small(lane, held, flow_size(*size), int(unit))
        scaled = lane.download(unit, small.shape, np.float32)
    assert np.abs(seen.astype(int) - small).max() <= 1
    assert np.mean(seen != small) < 0.001
    assert np.allclose(scaled, seen / 255, atol=1e-6)
    assert engine.measure(held, None).contrast == pytest.approx(float(small.std()), abs=0.05)


@pytest.mark.parametrize("layout", Layout)
@pytest.mark.parametrize("size", [(320, 180), (65, 47), (1, 1)])
def test_a_mesh_is_sampled_as_on_the_cpu(engine: GpuEngine, layout: Layout, size: tuple) -> None:
    shown = picture(layout, *size)
    mesh = (vertices(9, 13) + RNG.normal(0, 0.02, (9, 13, 2))).astype(np.float32)
    ours = engine.sample(engine.hold(shown), mesh)
    theirs = OnnxEngine().sample(shown, mesh)
    assert (ours.layout, ours.chroma) == (theirs.layout, theirs.chroma)
    for mine, other in zip(ours.planes, theirs.planes, strict=True):
        assert mine.shape == other.shape
        # Noise is the hardest of pictures: cv2 looks up steps of 1/32 pixel.
        assert np.sqrt(np.mean((mine.astype(float) - other) ** 2)) < 2.0


def test_a_mesh_far_outside_repeats_the_edge(engine: GpuEngine) -> None:
    shown = picture(Layout.GRAY, 40, 30)
    for far, corner in ((-1e9, shown.planes[0][0, 0]), (1e9, shown.planes[0][-1, -1]), (np.nan, shown.planes[0][0, 0])):
        out = engine.sample(engine.hold(shown), np.full((2, 2, 2), far, np.float32))
        assert (out.planes[0] == corner).all()


def test_strided_and_read_only_planes_are_taken(engine: GpuEngine) -> None:
    plane = RNG.integers(0, 256, (48, 100), np.uint8)[:, ::2]
    plane.flags.writeable = False
    out = engine.sample(engine.hold(Picture(Layout.GRAY, (plane,))), vertices(3, 3).astype(np.float32))
    assert np.abs(out.planes[0].astype(int) - plane).max() <= 1


def clip(frames: int) -> list[Picture]:
    with av.open(str(BUNDLED_CLIP)) as container:
        decoded = [frame.to_ndarray(format="bgr24") for frame in islice(container.decode(video=0), frames)]
    return [Picture(Layout.BGR, (plane,)) for plane in decoded]


def test_a_real_clip_comes_out_as_from_the_cpu(engine: GpuEngine) -> None:
    shown = clip(24)
    width, height = shown[0].size
    outcomes = []
    for each in (engine, OnnxEngine(OnnxFlow("fp32"))):
        stabilizer = Stabilizer(each, Settings(look_ahead=3), width, height)
        held = [each.hold(one) for one in shown]
        warps = [stabilizer.decide(stabilizer.measure(one, i * 33_333_333)) for i, one in enumerate(held)]
        warps = [warp for warp in warps if warp is not None] + list(stabilizer.flush())
        assert len(warps) == len(shown)
        outcomes.append(
            [
                (warp.transform(width, height), each.sample(one, warp.mesh))
                for one, warp in zip(held, warps, strict=True)
            ]
        )
    corners = np.array([[0, 0, 1], [width, 0, 1], [0, height, 1], [width, height, 1]], float).T
    moved = 0.0
    for (ours, our_picture), (theirs, their_picture) in zip(*outcomes, strict=True):
        places = [(m @ corners)[:2] / (m @ corners)[2] for m in (ours, theirs)]
        assert np.abs(places[0] - places[1]).max() < 0.05  # pixels
        moved = max(moved, float(np.abs(places[1] - corners[:2]).max()))
        difference = our_picture.planes[0].astype(float) - their_picture.planes[0]
        assert np.sqrt(np.mean(difference**2)) < 1.0  # grey levels
    assert moved > 5


def test_another_size_or_no_memory_measures_nothing(engine: GpuEngine) -> None:
    first = engine.measure(engine.hold(picture(Layout.GRAY, 320, 180)), None)
    assert first.field is None
    second = engine.measure(engine.hold(picture(Layout.GRAY, 180, 320)), first.memory)
    assert second.field is None
    assert engine.measure(engine.hold(picture(Layout.GRAY, 180, 320)), second.memory).field is not None


def test_the_steady_state_allocates_nothing(engine: GpuEngine, driver: FakeDriver) -> None:
    mesh = vertices(9, 13).astype(np.float32)
    memory, allocations = None, []
    for _ in range(6):
        held = engine.hold(picture(Layout.YUV, 320, 180))
        memory = engine.measure(held, memory).memory
        engine.sample(held, mesh)
        allocations.append(driver.allocations)
    assert allocations[2] == allocations[-1]


def test_streams_share_batches_and_get_their_own_results(driver: FakeDriver) -> None:
    ort = FakeOrt(driver)
    engine = make(driver, ort)
    sizes = [(320, 180)] * 12 + [(180, 320)] * 4
    pairs = [[picture(Layout.GRAY, *size) for _ in range(2)] for size in sizes]

    def stream(pair: list[Picture]) -> np.ndarray:
        together.wait()
        memory = engine.measure(engine.hold(pair[0]), None).memory
        field = engine.measure(engine.hold(pair[1]), memory).field
        assert field is not None
        return field.flow

    together = threading.Barrier(len(pairs))
    with ThreadPoolExecutor(len(pairs)) as threads:
        crowd = list(threads.map(stream, pairs))
    assert max(ort.batches) > 1
    together = threading.Barrier(1)
    for alone, pair in zip(crowd, pairs, strict=True):
        assert np.allclose(stream(pair), alone, atol=1e-3)
    engine.close()
    assert not driver.live


def test_made_and_unmade_again_nothing_is_left(driver: FakeDriver) -> None:
    before = threading.active_count()
    for _ in range(3):
        engine = make(driver)
        engine.warm_up()
        engine.close()
        assert not driver.live
    assert threading.active_count() <= before  # threads of tests before may end meanwhile
    with pytest.raises(EngineError, match="closed"):
        engine.warp(
            np.zeros((TAPS, 2, ROWS, COLUMNS), np.float32), np.zeros(RAW + BINS, np.float32), np.zeros(4, np.float32)
        )


def test_a_card_that_fails_is_lost(driver: FakeDriver) -> None:
    engine = make(driver)
    held = engine.hold(picture(Layout.GRAY, 320, 180))
    assert not engine.lost
    driver.broken = True
    for _ in range(2):
        with pytest.raises(EngineError, match="the card failed: an illegal memory access"):
            engine.measure(held, None)
    assert "illegal memory access" in engine.lost
    engine.close()  # what can be let go of is


def test_memory_that_others_left_is_used_before_giving_up(engine: GpuEngine, driver: FakeDriver) -> None:
    engine.sample(engine.hold(picture(Layout.GRAY, 400, 400)), vertices(2, 2).astype(np.float32))
    gc.collect()
    driver.budget = sum(driver.live.values()) + 1000
    held = engine.hold(picture(Layout.GRAY, 390, 390))
    assert held.size == (390, 390)
    driver.budget = 0
    with pytest.raises(EngineError, match="out of memory"):
        engine.hold(picture(Layout.GRAY, 380, 380))


def test_a_provider_that_falls_back_to_the_cpu_is_refused(driver: FakeDriver) -> None:
    with pytest.raises(EngineError, match="CUDA provider"):
        make(driver, FakeOrt(driver, provider="CPUExecutionProvider"))
