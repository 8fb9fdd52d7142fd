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
    padded = F.pad(second, (radius, radius, radius, radius))
    return _by_maps(first, padded) if radius == 1 else _by_rows(first, padded, radius)


def _by_maps(first: Tensor, padded: Tensor) -> Tensor:
    """A product of maps for each of the nine shifts; channels last, where they are summed up in half the time."""
    _, channels, height, width = first.shape
    here, there = first.permute(0, 2, 3, 1) * (1.0 / channels), padded.permute(0, 2, 3, 1)
    shifts = [(here * there[:, dy : dy + height, dx : dx + width]).sum(-1) for dy in range(3) for dx in range(3)]
    return torch.stack(shifts, 1)


def _by_rows(first: Tensor, padded: Tensor, radius: int) -> Tensor:
    """Each row is multiplied with all of the rows near it, and the near columns are picked.

    One product of matrices takes less time than one of maps for each shift, unless these are few and rows are long.
    """
    batch, channels, height, width = first.shape
    side, columns = 2 * radius + 1, width + 2 * radius
    rows = torch.cat([padded[:, :, dy : dy + height] for dy in range(side)], 3).transpose(1, 2)
    every = first.permute(0, 2, 3, 1) @ rows  # (B, H, W, side x columns)
    shift = torch.arange(side, device=first.device)
    near = (shift[:, None] * columns + shift).reshape(-1, 1)
    here = torch.arange(width, device=first.device) * (side * columns + 1)
    picked = every.reshape(batch, height, -1).index_select(-1, (near + here).reshape(-1)) * (1.0 / channels)
    return picked.reshape(batch, height, side * side, width).transpose(1, 2)


def warp_features(features: Tensor, flow: Tensor) -> Tensor:
    """``features`` (B, C, H, W) sampled at p + flow(p), ``flow`` (B, 2, H, W) in cells; the edge is repeated.

    Bilinear, by whole rows of channels: ``grid_sample`` computes the four places and weights again for each channel.
    """
    batch, channels, height, width = features.shape
    across, down = (torch.arange(n, device=flow.device, dtype=flow.dtype) for n in (width, height))
    x = (flow[:, 0] + across).clamp(min=0.0).minimum(across[-1])
    y = (flow[:, 1] + down[:, None]).clamp(min=0.0).minimum(down[-1])
    left, top = x.floor(), y.floor()
    right, bottom = (left + 1.0).minimum(across[-1]), (top + 1.0).minimum(down[-1])
    table = features.permute(0, 2, 3, 1).reshape(-1, channels)
    first = (torch.arange(batch, device=flow.device) * (height * width))[:, None, None]

    def at(row: Tensor, column: Tensor) -> Tensor:
        # No flow may lead outside of the table, not even one that is no number.
        return F.embedding((row * width + column).long().clamp(0, height * width - 1) + first, table)

    right_part, lower_part = (x - left)[..., None], (y - top)[..., None]
    upper = _between(at(top, left), at(top, right), right_part)
    lower = _between(at(bottom, left), at(bottom, right), right_part)
    return _between(upper, lower, lower_part).permute(0, 3, 1, 2)


def pixels(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """The places of a picture's pixels, x and y: float32 (2, H, W)."""
    across, down = (torch.arange(n, device=device, dtype=torch.float32) for n in (width, height))
    return torch.stack([across.expand(height, width), down[:, None].expand(height, width)])


def sample(image: Tensor, points: Tensor, size: tuple[int, int] | None = None) -> Tensor:
    """``image`` (B, C, H, W) at points (B, 2, h, w) in its pixels, bilinear, the edge repeated: (B, C, h, w).

    With a ``size`` (rows, columns) the points are pixels of a picture of that size, which the image is stretched over.
    """
    height, width = size or image.shape[-2:]
    grid = torch.stack([points[:, 0] * (2 / (width - 1)) - 1, points[:, 1] * (2 / (height - 1)) - 1], -1)
    return F.grid_sample(image, grid, padding_mode="border", align_corners=True)


def _between(start: Tensor, end: Tensor, part: Tensor) -> Tensor:
    return start + part * (end - start)  # torch.lerp is exported as both of its formulas and a choice
