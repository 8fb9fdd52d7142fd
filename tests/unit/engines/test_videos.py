"""What a flow network learns from frames whose motion nobody knows."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

torch = pytest.importorskip("torch")

from flowgimbal.client.assets import BUNDLED_CLIP  # noqa: E402
from flowgimbal.engines.networks.flow import FlowNetwork  # noqa: E402
from flowgimbal.engines.training import flow  # noqa: E402
from flowgimbal.engines.training.run import load  # noqa: E402
from flowgimbal.engines.training.videos import VideoMaker, load_video, photometric, seen_in_both  # noqa: E402

CHECKPOINT = Path(__file__).resolve().parents[3] / "engines" / "checkpoints" / "flow.pt"
SHIFT = (3, -2)  # pixels, across and down


def shifted() -> tuple[torch.Tensor, torch.Tensor]:
    """A picture and itself moved by SHIFT."""
    noise = torch.rand(1, 1, 16, 24, generator=torch.Generator().manual_seed(3))
    wide = torch.nn.functional.interpolate(noise, size=(80, 112), mode="bicubic").clamp(0, 1)
    x, y = SHIFT
    return wide[:, :, 8:72, 8:104], wide[:, :, 8 - y : 72 - y, 8 - x : 104 - x]


def everywhere(x: float, y: float) -> torch.Tensor:
    return torch.tensor([x, y], dtype=torch.float32)[None, :, None, None].expand(1, 2, 16, 24)


def cost(first: torch.Tensor, second: torch.Tensor, x: float, y: float) -> float:
    return float(photometric(first, second, everywhere(x, y), everywhere(-x, -y)))


def test_the_true_motion_costs_least_under_any_light() -> None:
    first, second = shifted()
    true = cost(first, second, *SHIFT)
    for wrong in ((0, 0), (3, 0), (-3, 2), (2, -2), (3.5, -2)):
        assert cost(first, second, *wrong) > true + 0.02
    assert cost(first, 0.2 + second, *SHIFT) == pytest.approx(true, abs=1e-3)


def test_a_rough_flow_costs_more_than_a_smooth_one() -> None:
    first, second = shifted()
    rough = everywhere(*SHIFT) + 0.4 * torch.randn(1, 2, 16, 24, generator=torch.Generator().manual_seed(1))
    assert float(photometric(first, second, rough, -rough)) > cost(first, second, *SHIFT) + 0.02


def test_what_leaves_the_picture_or_is_covered_does_not_count() -> None:
    there, back = torch.zeros(1, 2, 32, 48), torch.zeros(1, 2, 32, 48)
    there[:, 0, :, 40:] = 9.0  # out of the picture
    there[:, 0, :16, :8] = 4.0  # nothing leads back
    counts = seen_in_both(there, back)[0, 0]
    assert not counts[:, 40:].any()
    assert not counts[:16, :8].any()
    assert counts[:, 8:39].all()


def test_pairs_are_drawn_alike_by_the_same_generator() -> None:
    clip = load_video(BUNDLED_CLIP, 96, 160)
    assert clip.shape[1:] == (96, 160)
    maker = VideoMaker([clip, clip[::-1]])
    first, again = (maker.draw(6, torch.Generator().manual_seed(5)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(*first)
    assert first[0].shape == (6, 1, 96, 160)


def test_a_clip_too_short_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "short.mkv"
    with av.open(str(file), "w") as container:
        stream = container.add_stream("ffv1", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "gray"
        for _ in range(3):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32), np.uint8), format="gray")))
        container.mux(stream.encode())
    with pytest.raises(ValueError, match="has 3 frames"):
        load_video(file, 16, 16)


def test_real_frames_alone_teach_a_network_that_was_led_astray() -> None:
    network = FlowNetwork()
    load(network, CHECKPOINT)
    pair = VideoMaker([load_video(BUNDLED_CLIP, 96, 160)]).draw(4, torch.Generator().manual_seed(1))
    right = float(flow.of_video(network, *pair).detach())
    bend = network.polish.head.bias
    assert bend is not None
    with torch.no_grad():
        bend[1:3] += 0.2  # pixels; both ways together they still agree
    optimizer = torch.optim.Adam([bend], 0.03)
    costs = []
    for _ in range(12):
        loss = flow.of_video(network, *pair)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        costs.append(float(loss.detach()))
    assert costs[0] > right + 0.03
    assert costs[-1] < right + 0.1 * (costs[0] - right)
