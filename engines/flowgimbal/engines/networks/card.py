"""What ``blocks.py`` computes, in fewer and larger steps for a card, where a small one costs as much as a large one."""

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
    return blocks.sample(features, flow + blocks.pixels(height, width, flow.device))
