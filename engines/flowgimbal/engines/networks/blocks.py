"""Layers that both networks share."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def conv(channels_in: int, channels_out: int, *, stride: int = 1) -> nn.Sequential:
    """A 3x3 convolution and its rectifier; the picture's edge is repeated, so that no border looks like motion."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1), nn.LeakyReLU(0.1, inplace=True)
    )


def standardise(features: Tensor) -> Tensor:
    """Each position's vector to mean 0 and variance 1, so that the mean of a product is a cosine similarity."""
    centred = features - features.mean(1, keepdim=True)
    return centred * torch.rsqrt((centred * centred).mean(1, keepdim=True) + 1e-4)


def correlate(first: Tensor, second: Tensor, radius: int) -> Tensor:
    """Local cost volume of two feature maps (B, C, H, W): (B, (2 radius + 1)^2, H, W).

    Channel (dy + radius)(2 radius + 1) + dx + radius is the mean over C of first(p) second(p + (dx, dy)); zero
    outside of the map (Dosovitskiy et al., FlowNet, ICCV 2015; Sun et al., PWC-Net, CVPR 2018).
    """
    height, width = first.shape[-2:]
    side = 2 * radius + 1
    padded = F.pad(second, (radius, radius, radius, radius))
    if radius > 2:  # one product of all with all, and the near ones picked: on a small map faster than 81 products
        columns = width + 2 * radius
        here = torch.arange(height, device=first.device)[:, None] * columns + torch.arange(width, device=first.device)
        reach = torch.arange(side, device=first.device)[:, None] * columns + torch.arange(side, device=first.device)
        near = (here.reshape(-1, 1) + reach.reshape(1, -1)).expand(first.shape[0], -1, -1)
        every = first.flatten(2).transpose(1, 2) @ padded.flatten(2)
        picked = torch.gather(every, 2, near) / first.shape[1]
        return picked.transpose(1, 2).reshape(-1, side * side, height, width)
    return torch.cat(
        [
            (first * padded[:, :, dy : dy + height, dx : dx + width]).mean(1, keepdim=True)
            for dy in range(side)
            for dx in range(side)
        ],
        1,
    )


def warp_features(features: Tensor, flow: Tensor) -> Tensor:
    """``features`` (B, C, H, W) sampled at p + flow(p), ``flow`` (B, 2, H, W) in cells; the edge is repeated."""
    height, width = features.shape[-2:]
    x = torch.arange(width, device=flow.device, dtype=flow.dtype)
    y = torch.arange(height, device=flow.device, dtype=flow.dtype)
    grid_x = (flow[:, 0] + x) * (2.0 / (width - 1)) - 1.0
    grid_y = (flow[:, 1] + y[:, None]) * (2.0 / (height - 1)) - 1.0
    return F.grid_sample(features, torch.stack([grid_x, grid_y], -1), padding_mode="border", align_corners=True)
