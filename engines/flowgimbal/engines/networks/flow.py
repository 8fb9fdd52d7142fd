"""The flow network: how the picture moved since the frame before, and how sure that is.

A feature pyramid at 1/4, 1/8 and 1/16 of the input, matched from coarse to fine by local correlation, warping and
refinement (Sun et al., PWC-Net, CVPR 2018). Learned matching is robust but coarse; the last step is least squares on
the pictures themselves (``polish.py``), which is exact where there is texture, and a learned gate says where that is.
Two things make it a live network: what is matched of the frame before is handed back in, so that each picture is
encoded once; and the result stays at 1/4, since the warp needs no more.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from types import ModuleType
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flowgimbal.engines.networks import blocks
from flowgimbal.engines.networks.blocks import conv, standardise
from flowgimbal.engines.networks.polish import Polish, soften
from flowgimbal.engines.shapes import BLOCK, KEYS, LEVELS, STRIDE, Level


class Features(NamedTuple):
    """What is matched of one picture: the soft picture (B, 1, H, W), keys (B, K, H / s, W / s) for s of 4, 8, 16."""

    picture: Tensor
    quarter: Tensor
    eighth: Tensor
    sixteenth: Tensor


class Match(NamedTuple):
    """What two pictures' features show of the motion between them.

    ``levels`` are flow and log of its Laplace scale, in input pixels, at 1/16, 1/8, 1/4, and at 1/4 polished;
    ``texture`` is that of ``polish.least_squares``.
    """

    levels: list[tuple[Tensor, Tensor]]
    texture: Tensor


class Encoder(nn.Module):
    """Luma (B, 1, H, W) in [0, 1] to keys; blind to gain and offset, so that exposure is no motion."""

    def __init__(self, *, widths: tuple[int, int, int] = (32, 48, 64)) -> None:
        super().__init__()
        quarter, eighth, sixteenth = widths
        self.quarter = nn.Sequential(nn.PixelUnshuffle(STRIDE), conv(STRIDE**2, quarter), conv(quarter, quarter))
        self.eighth = nn.Sequential(conv(quarter, eighth, stride=2), conv(eighth, eighth))
        self.sixteenth = nn.Sequential(conv(eighth, sixteenth, stride=2), conv(sixteenth, sixteenth))
        self.keys = nn.ModuleList(nn.Conv2d(w, k, 1) for w, k in zip(widths, KEYS, strict=True))

    def forward(self, luma: Tensor) -> Features:
        """Encode one picture."""
        centred = luma - luma.mean((2, 3), keepdim=True)
        contrast = (centred * centred).mean((2, 3), keepdim=True)
        picture = centred / torch.sqrt(contrast + 1e-4)
        quarter = self.quarter(picture)
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        maps = zip(self.keys, (quarter, eighth, sixteenth), strict=True)
        return Features(soften(picture), *(standardise(key(x)) for key, x in maps))


class Refiner(nn.Module):
    """One level of the pyramid: cost volume and the coarser guess to a better guess.

    The best match of the cost volume (its soft arg max: Xu et al., GMFlow, CVPR 2022, eq. 3, here over a small
    neighbourhood) is added at once; the convolutions correct it.
    """

    shifts: Tensor
    form: ModuleType = blocks  # or ``card``: the same computation in other steps

    def __init__(self, level: Level, *, keys: int, hidden_in: int, hidden_out: int, widths: Sequence[int]) -> None:
        """``keys`` channels are matched; where the level wants context, those of both pictures come beside it."""
        super().__init__()
        self.level, radius = level, level.radius
        reach = torch.arange(-radius, radius + 1.0)
        self.register_buffer("shifts", torch.cartesian_prod(reach, reach).flip(1).T[:, :, None, None].contiguous())
        self.sharpness = nn.Parameter(torch.tensor(10.0))
        seen = (2 * radius + 1) ** 2 + 2 * keys * level.context + hidden_in + 4
        self.spare = -seen % BLOCK
        self.body = nn.Sequential(*(conv(a, b) for a, b in pairwise([seen + self.spare, *widths])))
        self.hidden = conv(widths[-1], hidden_out)
        self.head = nn.Conv2d(hidden_out, 3, 3, padding=1)
        for parameter in self.head.parameters():
            nn.init.zeros_(parameter)

    def forward(self, first: Tensor, second: Tensor, flow: Tensor, *hidden_in: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Flow in cells of this level (B, 2, H, W), log of its Laplace scale (B, 1, H, W), hidden state.

        ``first`` and ``second`` (warped by ``flow``) are the keys to match, ``hidden_in`` is what the level before hid.
        """
        cost = self.form.correlate(first, second, self.level.radius)
        beside = (first, second, *hidden_in) if self.level.context else hidden_in
        # Softmax by hand: a cosine is at most one, and the sum comes with the mean in one convolution.
        mean = F.conv2d(
            torch.exp((cost - 1.0) * self.sharpness), F.pad(self.shifts, (0, 0, 0, 0, 0, 0, 0, 1), value=1.0)
        )
        match = mean[:, :2] / mean[:, 2:]
        spare = torch.zeros_like(first[:, : self.spare])
        hidden = self.hidden(self.body(torch.cat([cost, *beside, flow, match, spare], 1)))
        update = self.head(hidden)
        return flow + match + update[:, :2], update[:, 2:], hidden


class FlowNetwork(nn.Module):
    """Forward flow from the frame before to this one, on the frame before's grid of 4x4-pixel cells."""

    form: ModuleType = blocks  # as of ``Refiner``

    def __init__(self) -> None:
        super().__init__()
        quarter, eighth, sixteenth = KEYS
        self.encoder = Encoder()
        self.coarse = Refiner(LEVELS["coarse"], keys=sixteenth, hidden_in=0, hidden_out=32, widths=(80, 80))
        self.middle = Refiner(LEVELS["middle"], keys=eighth, hidden_in=32, hidden_out=32, widths=(64, 64))
        self.fine = Refiner(LEVELS["fine"], keys=quarter, hidden_in=32, hidden_out=24, widths=(32,))
        self.polish = Polish(hidden_in=24)

    def forward(
        self, luma: Tensor, picture: Tensor, quarter: Tensor, eighth: Tensor, sixteenth: Tensor
    ) -> tuple[Tensor, ...]:
        """Measure the motion from the remembered frame to ``luma``.

        ``luma`` is (B, 1, H, W) in [0, 1], H and W multiples of 16; the other four are the features that the call
        before returned (zeros at the start, when the flow means nothing). Returns flow (B, 2, H / 4, W / 4) in pixels
        of the input, the log of its Laplace scale in pixels (B, 1, H / 4, W / 4), the remembered picture's texture
        where it is still seen (B, 3, H / 4, W / 4; see ``polish.least_squares``), and this picture's features.
        """
        now = self.encoder(luma)
        match = self.match(Features(picture, quarter, eighth, sixteenth), now)
        return *match.levels[-1], match.texture, *now

    def match(self, before: Features, now: Features) -> Match:
        """The motion from the one to the other."""
        first, second = before.sixteenth, now.sixteenth
        flow, log_scale, hidden = self.coarse(first, second, torch.zeros_like(first[:, :2]))
        levels = [(flow * 16.0, log_scale)]

        flow, hidden = _enlarge(flow, hidden)
        first, second = before.eighth, self.form.warp_features(now.eighth, flow)
        flow, log_scale, hidden = self.middle(first, second, flow, hidden)
        levels.append((flow * 8.0, log_scale))

        flow, hidden = _enlarge(flow, hidden)
        flow, log_scale, hidden = self.fine(before.quarter, self.form.warp_features(now.quarter, flow), flow, hidden)
        levels.append((flow * 4.0, log_scale))

        flow, log_scale, texture = self.polish(before.picture, now.picture, *levels[-1], hidden)
        return Match([*levels, (flow, log_scale)], texture)


def _enlarge(flow: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
    flow = F.interpolate(flow, scale_factor=2.0, mode="bilinear", align_corners=False) * 2.0
    return flow, F.interpolate(hidden, scale_factor=2.0, mode="nearest")
