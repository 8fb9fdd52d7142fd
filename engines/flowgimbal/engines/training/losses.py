"""Losses of the warp network, on the path that a viewer sees.

* Stability: energy of the shown path above 1 Hz, in decibels: what a viewer feels as shake, and what counts most.
  Beside it, far lighter, its second difference (fine jitter: the paper's motion loss, eq. 4, for a path instead of a
  pair) and its sway between 0.4 and 1 Hz.
* Stillness: energy of the shown velocity, weighted by strength: at 1 the network works as a tripod.
* Fidelity: how far the picture is moved, in margins; it brings the picture back to the middle, and weighs more the
  lower the strength.
* Excess: how far beyond the crop limit a warp was wanted; the limit's own gradient vanishes there.
* Following, on pans alone: how far the slow part of the shown path runs past what the raw one spans within a second,
  and how far it falls behind. When overshoot, sway and jitter weighed on every path, it cost more than half a
  decibel.
Logarithms, so that a little shake counts as much as a lot: the mean over clips is a mean of decibels.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

FLOOR = 0.15  # pixels of a 1280-px-wide frame; below it nobody sees a difference
NEAR = 1.0  # seconds within which the shown path may take what the raw one spans
SLOW = 0.5  # Hz; below it a movement is meant


def high_pass(path: Tensor, rate: float, low: float, high: float | None = None) -> Tensor:
    """The part of ``path`` (B, T, ...) above ``low`` Hz (and below ``high``): zero-phase Butterworth, 4th order."""
    frames = path.shape[1]
    first, last = path[:, :1], path[:, -1:]
    extended = torch.cat([2 * first - path[:, 1:].flip(1), path, 2 * last - path[:, :-1].flip(1)], 1)
    spectrum = torch.fft.rfft(extended, dim=1)
    f = torch.fft.rfftfreq(extended.shape[1], 1 / rate, device=path.device).clamp(min=1e-6)
    response = 1 / (1 + (low / f) ** 8)
    if high is not None:
        response = response * (1 - 1 / (1 + (high / f) ** 8))
    shape = (1, -1, *[1] * (path.ndim - 2))
    filtered: Tensor = torch.fft.irfft(spectrum * response.reshape(shape), extended.shape[1], dim=1)
    return filtered[:, frames - 1 : 2 * frames - 1]


def energy(part: Tensor) -> Tensor:
    """Mean square length of (B, T, points, 2) over time and points: (B,)."""
    return part.square().sum(-1).mean((1, 2))


def level(part: Tensor, floor: float = FLOOR) -> Tensor:
    """Half the log of the energy, in nepers, flattening out at ``floor``: (B,)."""
    return 0.5 * torch.log(energy(part) + floor**2)


def overshoot(shown: Tensor, raw: Tensor, rate: float) -> Tensor:
    """How far ``shown`` (B, T, points, 2) leaves the range that ``raw`` has within NEAR seconds, same shape."""
    reach = int(NEAR * rate)
    framed = F.pad(raw.flatten(2).transpose(1, 2), (reach, reach), mode="replicate")
    top, bottom = F.max_pool1d(framed, 2 * reach + 1, 1), -F.max_pool1d(-framed, 2 * reach + 1, 1)
    path = shown.flatten(2).transpose(1, 2)
    beyond = F.relu(path - top) + F.relu(bottom - path)
    return beyond.transpose(1, 2).reshape(shown.shape)


def slow(path: Tensor, rate: float) -> Tensor:
    """The part of ``path`` (B, T, ...) below SLOW Hz: a Gaussian, which does not ring where a pan ends."""
    sigma = math.sqrt(math.log(2)) / (2 * math.pi * SLOW) * rate
    first, last = path[:, :1], path[:, -1:]
    extended = torch.cat([2 * first - path[:, 1:].flip(1), path, 2 * last - path[:, :-1].flip(1)], 1)
    f = torch.fft.rfftfreq(extended.shape[1], device=path.device)
    response = torch.exp(-2 * (math.pi * sigma * f) ** 2).reshape(1, -1, *[1] * (path.ndim - 2))
    filtered: Tensor = torch.fft.irfft(torch.fft.rfft(extended, dim=1) * response, extended.shape[1], dim=1)
    return filtered[:, path.shape[1] - 1 : 2 * path.shape[1] - 1]


def path_loss(shown: Tensor, offsets: Tensor, excess: Tensor, rate: float, strength: Tensor) -> Tensor:
    """Loss of each sample (B,).

    ``shown`` (B, T, 9, 2) in px of a 1280 frame; ``offsets`` (B, T, 8) and ``excess`` (B, T, 2) in margins.
    """
    inner = _inner(shown, rate)
    shake = level(high_pass(shown, rate, 1.0)[:, inner])
    sway = level(high_pass(shown, rate, 0.4, 1.0)[:, inner])
    scale = (rate / 30) ** 2
    jitter = level(torch.diff(shown, n=2, dim=1)[:, inner] * scale, 0.3 * FLOOR)
    speed = level(torch.diff(shown, dim=1) * (rate / 30), FLOOR)
    away = offsets.square().sum(-1).mean(1)
    over = torch.log1p(excess.square().sum(-1).mean(1))
    held = 0.3 * strength**12 * speed + 2.0 * (1 - strength) ** 3 * away
    return shake + 0.02 * sway + 0.03 * jitter + 0.1 * over + held


def follow_loss(shown: Tensor, raw: Tensor, rate: float) -> Tensor:
    """What following a pan badly costs each sample (B,); ``shown`` and ``raw`` (B, T, 9, 2), as above."""
    inner = _inner(shown, rate)
    meant, got = (slow(path, rate)[:, inner] for path in (raw, shown))
    past = level(overshoot(got, meant, rate), 0.3)
    behind = level(got - meant, 4.0)
    return 3.0 * past + 0.3 * behind


def _inner(path: Tensor, rate: float) -> slice:
    """The frames but those at the ends, where a filter sees only one side."""
    cut = min(int(0.3 * rate), path.shape[1] // 8)
    return slice(cut, path.shape[1] - cut)
