"""The torch networks: gradients, export and parity with ONNX Runtime, and that training lowers its loss."""

import json
import math
from itertools import islice
from pathlib import Path

import av
import numpy as np
import onnxruntime
import pytest

torch = pytest.importorskip("torch", reason="the train extra is not installed")

from flowgimbal.client.assets import BUNDLED_CLIP  # noqa: E402
from flowgimbal.engines import export, onnx_flow, weights  # noqa: E402
from flowgimbal.engines.motion import LANES  # noqa: E402
from flowgimbal.engines.networks.blocks import correlate, warp_features  # noqa: E402
from flowgimbal.engines.networks.flow import FlowNetwork  # noqa: E402
from flowgimbal.engines.networks.policies import LanePolicy, Policy, TransformerPolicy  # noqa: E402
from flowgimbal.engines.networks.polish import least_squares, smooth  # noqa: E402
from flowgimbal.engines.networks.polish import soften as soften_picture  # noqa: E402
from flowgimbal.engines.networks.warp import WarpNetwork, keep_shapes, lane_fields, soften  # noqa: E402
from flowgimbal.engines.onnx import WARPS  # noqa: E402
from flowgimbal.engines.shapes import FEATURES, RAW, TAPS  # noqa: E402
from flowgimbal.engines.timeline import BINS  # noqa: E402
from flowgimbal.engines.training import flow, losses, parts, paths, quantise, scenes, settings, unroll  # noqa: E402
from flowgimbal.engines.training.run import Run, load  # noqa: E402


def run(file: Path, inputs: tuple[torch.Tensor, ...]) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    return session.run(None, {i.name: x.numpy() for i, x in zip(session.get_inputs(), inputs, strict=True)})


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_flow_export_agrees_with_torch_at_other_sizes(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = FlowNetwork().eval()
    for parameter in network.parameters():  # the zero heads would hide a fault behind them
        torch.nn.init.normal_(parameter, std=0.05)
    export.export_flow(network, tmp_path / "flow.onnx")
    for batch, height, width in ((1, 176, 320), (3, 208, 144)):
        inputs = tuple(torch.rand_like(x) for x in export.flow_inputs(batch, height, width))
        with torch.no_grad():
            expected = network(*inputs)
        for mine, theirs in zip(run(tmp_path / "flow.onnx", inputs), expected, strict=True):
            assert np.abs(mine - theirs.numpy()).max() < 2e-3


@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
@pytest.mark.parametrize(("policy", "dense"), [(LanePolicy, True), (LanePolicy, False), (TransformerPolicy, True)])
def test_warp_export_agrees_with_torch(policy: type[Policy], dense: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = WarpNetwork(policy(), dense=dense).eval()
    torch.nn.init.normal_(network.policy.head.weight, std=0.02)
    export.export_warp(network, tmp_path / "warp.onnx")
    inputs = tuple(torch.rand_like(x) for x in export.warp_inputs(3))
    with torch.no_grad():
        expected = network(*inputs).numpy()
    assert np.abs(run(tmp_path / "warp.onnx", inputs)[0] - expected).max() < 1e-4


CHECKPOINTS = Path(__file__).parents[3] / "engines" / "checkpoints"
WEIGHTS = Path(export.__file__).parent / "weights"


def test_the_shipped_flow_network_is_the_checkpoint() -> None:
    network = FlowNetwork().eval()
    load(network, CHECKPOINTS / "flow.pt")
    inputs = tuple(torch.rand_like(x) for x in export.flow_inputs(1, 176, 320))
    with torch.no_grad():
        expected = network(*inputs)
    for mine, theirs in zip(run(WEIGHTS / "flow.onnx", inputs), expected, strict=True):
        assert np.abs(mine - theirs.numpy()).max() < 1e-2


@pytest.mark.parametrize("name", WARPS)
def test_the_shipped_warp_networks_are_the_checkpoints(name: str) -> None:
    policy, checkpoint = (TransformerPolicy(), "transformer") if name == "transformer" else (LanePolicy(), "lanes")
    network = WarpNetwork(policy, dense=name != "homography").eval()
    load(network.policy, CHECKPOINTS / f"{checkpoint}.pt")
    inputs = tuple(torch.rand_like(x) for x in export.warp_inputs(2))
    with torch.no_grad():
        expected = network(*inputs).numpy()
    assert np.abs(run(WEIGHTS / f"warp_{name}.onnx", inputs)[0] - expected).max() < 1e-4


def test_correlate_finds_the_shift() -> None:
    torch.manual_seed(1)
    first = torch.randn(1, 64, 12, 16)
    second = torch.roll(first, (1, -2), (2, 3))  # content moves by (-2, +1)
    best = correlate(first, second, 3)[:, :, 4:-4, 4:-4].argmax(1)
    assert (best == (1 + 3) * 7 + (-2 + 3)).all()


def test_warp_features_undoes_a_shift() -> None:
    features = torch.randn(1, 4, 10, 14)
    flow_field = torch.zeros(1, 2, 10, 14)
    flow_field[:, 0] = 3.0
    assert torch.allclose(warp_features(features, flow_field)[..., :-3], features[..., 3:], atol=1e-5)


@pytest.mark.parametrize("radius", [1, 2, 4])
def test_correlate_is_the_mean_product_at_each_shift(radius: int) -> None:
    torch.manual_seed(2)
    first, second = torch.randn(2, 5, 7, 9), torch.randn(2, 5, 7, 9)
    padded = torch.nn.functional.pad(second, (radius,) * 4)
    reach = range(2 * radius + 1)
    shifts = [(first * padded[:, :, dy : dy + 7, dx : dx + 9]).mean(1) for dy in reach for dx in reach]
    assert torch.allclose(correlate(first, second, radius), torch.stack(shifts, 1), atol=1e-6)


def test_warp_features_is_bilinear_sampling_with_the_edge_repeated() -> None:
    torch.manual_seed(3)
    features, flow_field = torch.randn(2, 5, 7, 9), 4.0 * torch.randn(2, 2, 7, 9)
    y, x = torch.meshgrid(torch.arange(7.0), torch.arange(9.0), indexing="ij")
    grid = torch.stack([(flow_field[:, 0] + x) / 4.0 - 1.0, (flow_field[:, 1] + y) / 3.0 - 1.0], -1)
    sampled = torch.nn.functional.grid_sample(features, grid, padding_mode="border", align_corners=True)
    assert torch.allclose(warp_features(features, flow_field), sampled, atol=1e-4)
    assert warp_features(features, torch.full((2, 2, 7, 9), torch.nan)).shape == features.shape


def test_quantised_the_network_sees_the_same_motion() -> None:
    exact = weights.load("flow.onnx")
    noise = torch.randint(0, 256, (3, *scenes.PHOTO), dtype=torch.uint8)
    rendered = list(quantise.calibration(exact, noise, 2))
    assert [pair["luma"].shape for pair in rendered] == [(1, 1, 192, 320)] * 2

    whole = onnxruntime.InferenceSession(exact, providers=["CPUExecutionProvider"])
    inputs: list[quantise.Inputs] = []
    with av.open(str(BUNDLED_CLIP)) as clip:
        for frame in islice(clip.decode(video=0), 12):
            luma = frame.reformat(320, 176, "gray").to_ndarray()[None, None].astype(np.float32) / 255
            features = whole.run(None, inputs[-1])[3:] if inputs else blank_features()
            inputs.append({"luma": luma} | dict(zip(FEATURES, features, strict=True)))
    small = quantise.quantise(exact, iter(inputs[1:9]))
    assert len(small) < 0.5 * len(exact)
    assert list(parts.parts(small)) == list(onnx_flow.PARTS)
    bytes_session = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"])
    for last in inputs[9:]:
        flows = [session.run(["flow"], last)[0] for session in (whole, bytes_session)]
        assert np.abs(flows[0]).mean() > 0.5
        assert np.median(np.abs(flows[0] - flows[1])) < 0.1


def test_the_parts_that_are_shipped_are_those_of_the_whole() -> None:
    for name, part in parts.parts(weights.load("int8/flow.onnx")).items():
        assert part == weights.load(f"int8/{name}.onnx"), f"int8/{name}.onnx is of another network"


def blank_features() -> list[np.ndarray]:
    return [tensor[:1].numpy() for tensor in export.flow_inputs(1, 176, 320)[1:]]


def test_scene_flow_maps_the_first_picture_onto_the_second() -> None:
    photos = (torch.rand(4, 1, 120, 160) * 255).to(torch.uint8).float()
    photos = torch.nn.functional.interpolate(photos, size=scenes.PHOTO, mode="bicubic").clamp(0, 255)[:, 0]
    maker = scenes.SceneMaker(photos.to(torch.uint8), hardness=0.0, largest=8.0)
    pair = maker.draw(8, torch.Generator().manual_seed(3))
    assert pair.first.shape == (8, 1, 192, 320)
    assert pair.flow.shape == (8, 2, 48, 80)
    full = torch.nn.functional.interpolate(pair.flow, scale_factor=4.0, mode="bilinear")
    back = warp_features(pair.second, full)
    inner = (slice(None), slice(None), slice(24, -24), slice(24, -24))
    moved = (back[inner] - pair.first[inner]).abs().mean()
    still = (pair.second[inner] - pair.first[inner]).abs().mean()
    assert moved < 0.5 * still


def test_flow_training_lowers_its_loss() -> None:
    torch.manual_seed(0)
    photos = (torch.rand(3, 1, 30, 40) * 255).to(torch.uint8).float()
    photos = torch.nn.functional.interpolate(photos, size=scenes.PHOTO, mode="bicubic").clamp(0, 255)[:, 0]
    pair = scenes.SceneMaker(photos.to(torch.uint8), 64, 96, hardness=0.0, largest=4.0).draw(
        4, torch.Generator().manual_seed(1)
    )
    network = FlowNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3)
    seen = []
    for _ in range(25):
        loss = flow.loss_of(flow.forward(network, pair), pair.flow)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert seen[-1] < 0.8 * seen[0]


def test_soften_keeps_small_offsets_and_bounds_large_ones() -> None:
    small = torch.full((1, 2, 9), 0.5)
    assert torch.equal(soften(small), small)
    large = torch.linspace(-40, 40, 18).reshape(1, 2, 9)
    bounded = soften(large)
    assert bounded.abs().max() <= 1.0
    assert torch.allclose(bounded[0, 0] / bounded[0, 0, 0], large[0, 0] / large[0, 0, 0], atol=1e-5)


def test_the_dense_network_moves_a_lane_as_its_policy_says() -> None:
    torch.manual_seed(2)
    network = WarpNetwork(LanePolicy()).eval()
    torch.nn.init.normal_(network.policy.head.weight, std=0.02)
    aspect = torch.tensor([0.75])
    coefficients = 0.05 * torch.randn(TAPS, LANES)
    fields = lane_fields(network.x, network.y, aspect)[0]
    window = torch.einsum("tl,lcn->tcn", coefficients, fields).reshape(1, TAPS, 2, 9, 13)
    conditions = torch.tensor([[0.8, 0.0, 0.0, float(torch.log(aspect))]])
    cover = torch.ones(1, RAW + BINS)
    with torch.no_grad():
        offsets, _ = network.policy(coefficients.T[None], cover, conditions)
        kept = keep_shapes(offsets, torch.tensor([0.1]), aspect)
        expected = torch.einsum("bl,lcn->bcn", kept, fields)
        expected = soften(expected).reshape(2, 9, 13)
        assert torch.allclose(network(window, cover, conditions)[0], expected, atol=1e-5)


def test_least_squares_finds_the_last_fraction_of_a_pixel() -> None:
    generator = torch.Generator().manual_seed(5)
    photos = (torch.rand(2, 1, 60, 80, generator=generator) * 255).to(torch.uint8).float()
    photos = torch.nn.functional.interpolate(photos, size=scenes.PHOTO, mode="bicubic").clamp(0, 255)[:, 0]
    maker = scenes.SceneMaker(photos.to(torch.uint8), hardness=0.0, largest=2.0)
    pair = maker.draw(6, generator)
    pictures = [
        soften_picture((p - p.mean((2, 3), keepdim=True)) / p.std((2, 3), keepdim=True))
        for p in (pair.first, pair.second)
    ]
    guess = pair.flow + torch.tensor([0.4, -0.3])[None, :, None, None]
    step, *_ = least_squares(pictures[0], pictures[1], guess)
    inner = (slice(None), slice(4, -4), slice(4, -4))
    error = torch.linalg.vector_norm(guess + step - pair.flow, dim=1)[inner]
    assert error.median() < 0.06  # from half a pixel


@pytest.mark.parametrize(("degrees", "expected"), [(0, [1, 0, 0]), (45, [0.5, 0.5, 0.5]), (90, [0, 0, 1])])
def test_texture_is_what_can_be_told_by_direction(degrees: float, expected: list[float]) -> None:
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    angle = math.radians(degrees)
    waves = torch.sin(0.7 * (x * math.cos(angle) + y * math.sin(angle)))[None, None]
    still = torch.zeros(1, 2, 16, 16)
    *_, texture = least_squares(waves, waves, still)
    assert texture[0, :, 8, 8].tolist() == pytest.approx(expected, abs=0.02)
    *_, texture = least_squares(torch.zeros_like(waves), waves, still)
    assert texture.abs().max() < 1e-3


def test_smoothing_believes_the_sure() -> None:
    flow_field = torch.zeros(1, 2, 12, 12)
    flow_field[..., ::2] = 8.0
    weight = torch.ones(1, 1, 12, 12)
    weight[..., ::2] = 1e-6
    assert smooth(flow_field, weight).abs().max() < 1e-3


def test_high_pass_keeps_shake_and_drops_a_pan() -> None:
    time = torch.arange(300) / 30.0
    shake = torch.sin(2 * torch.pi * 5 * time)
    path = (shake + 20 * time)[None, :, None, None].expand(1, 300, 9, 2)
    kept = losses.high_pass(path, 30.0, 1.0)[0, 60:-60, 0, 0]
    assert torch.allclose(kept, shake[60:-60], atol=0.02)


def test_overshoot_is_what_leaves_the_range_nearby() -> None:
    time = torch.arange(90.0)
    raw = (time.clamp(30, 60) - 30)[None, :, None, None].expand(-1, -1, 9, 2)
    assert losses.overshoot(raw - 3, raw, 10.0)[:, 40:65].max() == 0  # behind, and on its way
    assert losses.overshoot(raw * 1.1, raw, 10.0).amax((0, 2, 3))[80] == pytest.approx(3.0, abs=1e-4)


def test_following_costs_where_a_pan_is_overrun_or_falls_behind() -> None:
    time = torch.arange(150) / 30
    raw = (100 * (time.clamp(1, 3) - 1))[None, :, None, None].expand(1, 150, 9, 2)
    perfect, late, past = (
        float(losses.follow_loss(shown, raw, 30.0))
        for shown in (raw, raw.roll(10, 1), raw + 5 * (time > 3)[:, None, None])
    )
    assert perfect < late
    assert perfect < past


def test_pans_rest_turn_and_rest() -> None:
    time = np.arange(200) / 30
    wobble = np.stack([0.02 * np.sin(20 * time)] * 8, 1)
    recording = paths.Recording("hand", np.diff(wobble, axis=0).astype(np.float32), 30.0)
    drawn = paths.PathMaker([recording]).draw_pans(np.random.default_rng(3), 8, 150, 30.0)
    assert drawn.shape == (8, 150, 8)
    along = np.linalg.norm(np.cumsum(drawn, 1)[..., :2], axis=2)
    assert (along[:, :10] < 0.1).all()
    assert (along[:, -1] > 0.01).all()
    assert np.abs(np.cumsum(drawn, 1)[..., 2]).max() < 0.05  # a pan turns nothing but shift


def test_unrolled_training_lowers_its_loss() -> None:
    rng = np.random.default_rng(1)
    torch.manual_seed(1)
    steps = torch.from_numpy(np.stack([paths.generate(rng, 60, 30.0) for _ in range(4)]))
    setting = settings.Setting(30.0, 5, 0.1, 9 / 16, torch.full((4,), 0.8))
    scale = settings.lane_scale(0.1, 9 / 16)
    policy = LanePolicy(width=32)
    optimizer = torch.optim.Adam(policy.parameters(), 5e-4)
    seen = []
    for _ in range(10):
        path = torch.cumsum(steps, 1)
        offsets, excess = unroll.unroll(policy, path / scale, setting)
        assert offsets.shape == (4, 60, LANES)
        shown = torch.einsum("btl,lpc->btpc", path + offsets * scale, settings.seen_points(9 / 16))
        loss = losses.path_loss(shown, offsets, excess, 30.0, setting.strength).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        seen.append(float(loss.detach()))
    assert seen[-1] < seen[0]


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    def step(run: Run[torch.nn.Linear]) -> None:
        generator = torch.Generator().manual_seed(run.step)
        run.learn(run.network(torch.rand(8, 3, generator=generator)).square().mean(), largest=1.0)

    def begin(out: Path) -> Run[torch.nn.Linear]:
        torch.manual_seed(0)
        return Run(torch.nn.Linear(3, 1), out, steps=10, rate=0.1, warm_up=2, memory=0.9)

    whole, first = begin(tmp_path / "whole"), begin(tmp_path / "parts")
    while not whole.done:
        step(whole)
    for _ in range(4):
        step(first)
    first.save(1.0, {})
    second = begin(tmp_path / "parts")
    assert second.step == 4
    while not second.done:
        step(second)
    assert torch.equal(second.network.weight, whole.network.weight)
    second.save(0.5, {})
    best = torch.load(tmp_path / "parts" / "best.pt")
    assert best["step"] == 4
    lines = (tmp_path / "parts" / "curve.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == [4, 10]
