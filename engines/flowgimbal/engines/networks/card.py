"""What ``blocks.py`` computes, in the few large steps that suit a card: there each operation costs its launch."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from flowgimbal.engines.networks import blocks


def correlate(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """See ``blocks.correlate``. Nine shifts of a small neighbourhood are laid side by side and multiplied at once."""
    if radius > 1:
        return blocks.correlate(first, second, radius)
    _, channels, height, width = first.shape
    padded = F.pad(second, (1, 1, 1, 1))
    rows = torch.stack([padded[:, :, dy : dy + height] for dy in range(3)], 1)
    shifts = torch.stack([rows[..., dx : dx + width] for dx in range(3)], 2)
    return (shifts * (first * (1.0 / channels))[:, None, None]).sum(3).flatten(1, 2)


def warp_features(features: Tensor, flow: Tensor) -> Tensor:
    """See ``blocks.warp_features``."""
    height, width = features.shape[-2:]
    across, down = (torch.arange(n, device=flow.device, dtype=flow.dtype) for n in (width, height))
    grid = torch.stack(
        [(flow[:, 0] + across) * (2.0 / (width - 1)) - 1.0, (flow[:, 1] + down[:, None]) * (2.0 / (height - 1)) - 1.0],
        -1,
    )
    return F.grid_sample(features, grid, padding_mode="border", align_corners=True)


def smooth(flow: Tensor, weight: Tensor, reach: int) -> Tensor:
    """See ``polish.smooth``: two means, since ONNX Runtime sends sizes to the card for maps of unequal depth."""
    mean, mass = (F.avg_pool2d(part, reach, 1, padding=reach // 2) for part in (flow * weight, weight))
    return mean / mass
