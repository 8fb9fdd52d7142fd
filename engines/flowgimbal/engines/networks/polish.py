"""The last step of the flow network: least squares on the pictures themselves.

Two Gauss-Newton steps of brightness constancy over a window around each cell (Lucas & Kanade, IJCAI 1981; inside a
network: Lv et al., CVPR 2019), with a free brightness offset so that a change of light is no motion. A quarter of the
pixels is enough for it; each counts at full resolution. A step assumes that a window moves as one: it starts from
the smoothed flow, and its result is smoothed, both by normalised convolution (Knutsson & Westin, CVPR 1993) under the
network's own sureness. What the first step leaves undone, the most of it where there is little texture, is left to the
second. A learned gate keeps the matched flow where that is the better one, at the edges of motion.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flowgimbal.engines.networks.blocks import conv

# native/polish.c has all of these numbers, too, and dis.py the last one.
WINDOW = 5  # cells across one least-squares window
REACH = 7  # cells across one smoothing window
FARTHEST = 2.0  # pixels that one step may go: brightness is linear over no more
GRAIN = 1e-3  # of the structure tensor, per pixel: texture as strong as this tells half of a motion


def soften(picture: Tensor) -> Tensor:
    """(B, 1, H, W) under the binomial (1, 3, 3, 1)^2 / 64: value (y, x) belongs to the point (y + 1/2, x + 1/2).

    The half pixel puts every second value into the middle of a 2x2 block; softening makes bilinear sampling and
    finite differences true to each other.
    """
    soft = F.pad(picture, (1, 2, 1, 2), mode="replicate")
    for _ in range(3):
        soft = F.avg_pool2d(soft, 2, 1)
    return soft


def least_squares(first: Tensor, second: Tensor, flow: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The update of ``flow`` (B, 2, H / 4, W / 4), pixels, what tells how far to trust it, and the texture there.

    ``first`` and ``second`` are soft pictures (B, 1, H, W) of contrast one. What tells, (B, 3, H / 4, W / 4), are the
    logs of the structure tensor's trace, of its smaller eigenvalue (nearly), and of the energy of the difference before
    the step. The texture, as large, is A (A + GRAIN)^-1 of the structure tensor A, its parts xx, xy and yy: which part
    of a motion along each direction the picture can tell, nearly all at a corner, nothing along an edge (the aperture
    problem; Förstner & Gülch, ISPRS 1987), and nothing where ``flow`` leads out of the second picture.
    """
    height, width = first.shape[-2:]
    padded = F.pad(first, (1, 1, 1, 1), mode="replicate")
    gx = 0.5 * (padded[:, :, 1:-1:2, 2::2] - padded[:, :, 1:-1:2, :-2:2])
    gy = 0.5 * (padded[:, :, 2::2, 1:-1:2] - padded[:, :, :-2:2, 1:-1:2])
    dense = F.interpolate(flow, scale_factor=2.0, mode="bilinear", align_corners=False)
    x = torch.arange(0, width, 2, device=flow.device, dtype=flow.dtype)
    y = torch.arange(0, height, 2, device=flow.device, dtype=flow.dtype)
    grid = torch.stack(
        [
            (dense[:, 0] + x) * (2.0 / (width - 1)) - 1.0,
            (dense[:, 1] + y[:, None]) * (2.0 / (height - 1)) - 1.0,
        ],
        -1,
    )
    there = F.grid_sample(second, grid, padding_mode="border", align_corners=True)
    inside = (grid.abs().amax(-1) < 1.0)[:, None].to(flow.dtype)
    gx, gy, left = gx * inside, gy * inside, (first[:, :, ::2, ::2] - there) * inside
    terms = torch.cat([gx * gx, gx * gy, gy * gy, gx * left, gy * left, left * left, gx, gy, left], 1)
    mean = F.avg_pool2d(F.avg_pool2d(terms, 2), WINDOW, 1, padding=WINDOW // 2)
    xx, xy, yy, xt, yt, tt, mx, my, mt = torch.split(mean, 1, 1)
    xx, xy, yy = xx - mx * mx, xy - mx * my, yy - my * my
    xx, yy = xx.clamp(min=0.0), yy.clamp(min=0.0)
    square = (xx * yy - xy * xy).clamp(min=0.0)  # no difference of large numbers after it: nothing below zero
    texture = torch.cat([square + GRAIN * xx, GRAIN * xy, square + GRAIN * yy], 1)
    texture = texture / (square + GRAIN * (xx + yy + GRAIN))
    xx, yy = xx + 1e-4, yy + 1e-4
    xt, yt, tt = xt - mx * mt, yt - my * mt, tt - mt * mt
    determinant = xx * yy - xy * xy
    step = torch.cat([yy * xt - xy * yt, xx * yt - xy * xt], 1) / (determinant + 1e-7)
    trace = xx + yy
    tell = torch.log(torch.cat([trace, determinant / trace + 1e-6, tt.clamp(min=0.0) + 1e-4], 1))
    return step.clamp(-FARTHEST, FARTHEST), tell, texture


def smooth(flow: Tensor, weight: Tensor) -> Tensor:
    """``flow`` (B, 2, H, W) averaged under ``weight`` (B, 1, H, W)."""
    both = torch.cat([flow * weight, weight], 1)
    mean = F.avg_pool2d(both, REACH, 1, padding=REACH // 2)
    return mean[:, :2] / mean[:, 2:]


class Polish(nn.Module):
    """Smooth, step, smooth, step, smooth, and the learned gate between the result and the matched flow."""

    def __init__(self, *, hidden_in: int, width: int = 24) -> None:
        super().__init__()
        self.body = conv(hidden_in + 8, width)
        self.head = nn.Conv2d(width, 4, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, first: Tensor, second: Tensor, flow: Tensor, log_scale: Tensor, hidden: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Flow (B, 2, H / 4, W / 4) in pixels of the input, the log of its Laplace scale (B, 1, ...), and the texture
        (B, 3, ...) as of ``least_squares``.
        """
        weight = torch.exp(-log_scale.clamp(-5.0, 5.0))
        start = smooth(flow, weight)
        step, tell, texture = least_squares(first, second, start)
        better = smooth(start + step, weight)
        again, *_ = least_squares(first, second, better)
        change = smooth(better + again, weight) - flow
        seen = torch.cat([hidden, change, step, tell, log_scale], 1)
        gate, bend, correction = self.head(self.body(seen)).split((1, 2, 1), 1)
        return flow + torch.sigmoid(gate + 2.0) * change + bend, log_scale + correction, texture
