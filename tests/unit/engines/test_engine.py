"""The CPU engine with the committed weights, and the alternatives to it."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from both_roads import compiled_alone

from flowgimbal.engines import native, onnx_flow, weights
from flowgimbal.engines.dis import DisFlow
from flowgimbal.engines.engine import FlowMeter, flow_size
from flowgimbal.engines.host import shrink
from flowgimbal.engines.onnx import OnnxEngine
from flowgimbal.engines.onnx_flow import OnnxFlow
from flowgimbal.engines.picker import pick
from flowgimbal.engines.shapes import COLUMNS, RAW, ROWS, TAPS
from flowgimbal.engines.timeline import BINS
from flowgimbal.server.motion import fit


def texture(width: int, height: int, seed: int = 3) -> np.ndarray:
    noise = np.random.default_rng(seed).integers(0, 255, (height // 8, width // 8), np.uint8)
    return cv2.GaussianBlur(cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC), (0, 0), 2)


@pytest.mark.parametrize("meter", [*map(OnnxFlow, onnx_flow.forms()), DisFlow()], ids=[*onnx_flow.forms(), "dis"])
@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, -2), (12, 7)])
def test_a_shifted_texture_is_measured(meter: FlowMeter, dx: int, dy: int) -> None:
    big = texture(480, 320)
    first, second = big[64:240, 64:384], big[64 - dy : 240 - dy, 64 - dx : 384 - dx]
    field, memory = meter.flow(np.ascontiguousarray(first), None)
    assert field is None
    field, _ = meter.flow(np.ascontiguousarray(second), memory)
    assert field is not None
    assert field.flow.shape == (2, 44, 80)
    assert field.scale.shape == (44, 80)
    inner = field.flow[:, 8:-8, 8:-8].reshape(2, -1)
    assert np.median(inner[0]) == pytest.approx(dx, abs=0.35)
    assert np.median(inner[1]) == pytest.approx(dy, abs=0.35)


def test_the_fastest_form_that_is_right_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    times = onnx_flow.flow_times()
    assert "fp32" in times  # the exact one is always right
    assert set(times) <= set(onnx_flow.forms())
    assert all(seconds > 0 for seconds in times.values())
    opened: list[str] = []
    real = onnx_flow.open_session
    monkeypatch.setattr(onnx_flow, "open_session", lambda name: (opened.append(name), real(name))[1])
    for fastest in onnx_flow.forms():
        monkeypatch.setattr(onnx_flow, "flow_times", lambda fastest=fastest: {"fp32": 2.0, "int8": 2.0, fastest: 1.0})
        OnnxFlow()
    parts = [] if native.why_not() else [f"int8/{part}.onnx" for part in onnx_flow.PARTS]
    assert opened == ["flow.onnx", "int8/flow.onnx", *parts]


@compiled_alone
@pytest.mark.parametrize("damage", ["missing", "cut off", "another one", "another kind"])
def test_a_damaged_part_costs_its_form_alone(monkeypatch: pytest.MonkeyPatch, damage: str, caplog: Any) -> None:
    load = weights.load

    def damaged(name: str) -> bytes:
        if name != "int8/coarse.onnx":
            return load(name)
        if damage == "missing":
            raise FileNotFoundError(name)
        return (
            load(name)[:1000]
            if damage == "cut off"
            else load({"another one": "int8/fine.onnx"}.get(damage, "warp_dense.onnx"))
        )

    monkeypatch.setattr(weights, "load", damaged)
    times = onnx_flow.flow_times.__wrapped__()
    assert "fp32" in times
    assert "int8, compiled between" not in times
    assert "compiled between" in caplog.text


def test_a_form_that_overflows_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    flow = OnnxFlow.flow

    def overflowing(self: OnnxFlow, luma: np.ndarray, memory: Any) -> Any:
        field, memory = flow(self, luma, memory)
        if field and opened and self is not opened[0]:
            field = replace(field, flow=field.flow * 1.02)
        return field, memory

    opened: list[OnnxFlow] = []
    begin = OnnxFlow.__init__
    monkeypatch.setattr(OnnxFlow, "__init__", lambda self, *a: (opened.append(self), begin(self, *a))[1])
    monkeypatch.setattr(OnnxFlow, "flow", overflowing)
    assert list(onnx_flow.flow_times.__wrapped__()) == ["fp32"]


def test_every_meter_sees_the_same_texture() -> None:
    luma = texture(320, 176)
    luma[:, :100] = luma[0, :100]  # edges, down
    luma[:, -100:] = 90
    told = []
    for meter in (*map(OnnxFlow, onnx_flow.forms()), DisFlow()):
        field, _ = meter.flow(luma, meter.flow(luma, None)[1])
        assert field is not None
        told.append(field.texture[:, 4:-4])
    for other in told[1:]:
        apart = np.abs(other - told[0])[..., 4:-4]
        assert np.quantile(apart, 0.9) < 0.1
        assert apart.mean() < 0.03
    assert np.abs(told[0][1:, :, 4:20]).max() < 0.01 < told[0][0, :, 4:20].mean()
    assert np.abs(told[0][..., -20:-4]).max() < 1e-3
    assert told[0][[0, 2], :, 30:50].mean() > 0.9


@pytest.mark.parametrize("period", [12, 16, 40])  # of finer ones the network takes each for the next
@pytest.mark.parametrize("axis", [0, 1])
def test_stripes_tell_nothing_along_themselves_and_never_less(period: int, axis: int) -> None:
    wave = 120 + 100 * np.sin(np.arange(320) * 2 * np.pi / period)
    luma = np.broadcast_to(wave if axis else wave[:176, None], (176, 320)).astype(np.uint8)
    for meter in (*map(OnnxFlow, onnx_flow.forms()), DisFlow()):
        field, _ = meter.flow(np.roll(luma, 1, axis), meter.flow(luma, None)[1])
        assert field is not None
        xx, xy, yy = field.texture[:, 5:-5, 5:-5]
        assert (xx + yy >= 0).all()
        assert np.abs(yy if axis else xx).max() < 0.02
        assert np.abs(xy).max() < 0.02
        motion = fit(field, 176 / 320)
        assert motion.connected
        along = motion.coefficients[0 if axis == 0 else 1] * 160
        assert abs(along) < 0.1


def test_a_faint_picture_tells_the_less() -> None:
    luma = texture(320, 176)
    faint = (100 + 3 * (luma.astype(np.float32) / 255 - 0.5)).round().astype(np.uint8)
    told = []
    for meter in (OnnxFlow("fp32"), DisFlow()):
        field, _ = meter.flow(faint, meter.flow(faint, None)[1])
        assert field is not None
        told.append(field.texture[[0, 2], 4:-4, 4:-4].mean())
    assert told[0] < 0.9
    assert told[1] == pytest.approx(told[0], abs=0.1)


def test_another_size_forgets_the_frame_before() -> None:
    flow = OnnxFlow()
    _, memory = flow.flow(texture(320, 176), None)
    field, _ = flow.flow(texture(240, 240), memory)
    assert field is None


def test_the_warp_network_leaves_a_still_picture_alone() -> None:
    window = np.zeros((TAPS, 2, ROWS, COLUMNS), np.float32)
    offsets = OnnxEngine().warp(window, np.ones(RAW + BINS, np.float32), np.zeros(4, np.float32))
    assert offsets.shape == (2, ROWS, COLUMNS)
    assert np.abs(offsets).max() == 0.0


@pytest.mark.parametrize("size", [1.0, 50.0, 1e6])
def test_the_warp_network_never_leaves_its_margin(size: float) -> None:
    rng = np.random.default_rng(5)
    window = rng.normal(0, size, (TAPS, 2, ROWS, COLUMNS)).astype(np.float32)
    offsets = OnnxEngine().warp(window, np.ones(RAW + BINS, np.float32), np.array([0.8, 0, 0, -0.57], np.float32))
    assert np.abs(offsets).max() <= 1.0 + 1e-5


@pytest.mark.parametrize("picture", [(1280, 720), (1920, 1080), (640, 480), (720, 1280), (64, 48), (7, 5), (4000, 10)])
def test_flow_sizes_are_multiples_of_16_and_bounded(picture: tuple[int, int]) -> None:
    width, height = flow_size(*picture)
    assert width % 16 == 0
    assert height % 16 == 0
    assert 32 <= width <= 640
    assert 32 <= height <= 640
    assert width * height <= 1.2 * 320 * 180


def test_names_that_there_are_not() -> None:
    with pytest.raises(
        ValueError, match="engine 'warp-drive' is none of auto, tensorrt, tensorrt_rtx, cuda, cpu, identity"
    ):
        pick("warp-drive")
    with pytest.raises(ValueError, match="flow 'raft' is none of network, dis"):
        pick("cpu", "raft")
    assert pick("identity").name == "identity"
    assert pick("auto").name == "onnxruntime-cpu"
    assert pick("cpu", "dis").name == "onnxruntime-cpu+dis"


@pytest.mark.parametrize("size", [(1280, 720), (333, 517), (64, 64), (16, 16), (9, 7)])
def test_shrink_gives_the_size_asked_for(size: tuple[int, int]) -> None:
    luma = np.random.default_rng(0).integers(0, 255, size[::-1], np.uint8)
    assert shrink(luma, (320, 176)).shape == (176, 320)


def test_nothing_is_noted_to_be_sent_home(tmp_path: Path) -> None:
    """By ONNX Runtime, in a process that has it from us alone."""
    imports = "import numpy as np; from flowgimbal.engines.onnx_flow import OnnxFlow"
    measure = f"{imports}; OnnxFlow().flow(np.zeros((176, 320), np.uint8), None)"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_"))}
    subprocess.run([sys.executable, "-c", measure], env={**kept, "HOME": str(tmp_path)}, check=True)
    assert not list(tmp_path.rglob("*"))
