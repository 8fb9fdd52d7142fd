"""The forecast of ``forecast.py`` for whole batches of paths, and its prior: ``flowgimbal train forecast``."""

from __future__ import annotations

import argparse
import functools
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from flowgimbal.engines import forecast
from flowgimbal.engines.forecast import (
    FORESEEN,
    HORIZONS,
    MEMORY,
    NOMINAL,
    QUIET,
    SHIFTS,
    SHUTTER,
    SKEWED,
    SLANT,
    WATCHED,
)
from flowgimbal.engines.networks.constants import indices
from flowgimbal.engines.timeline import BINS, REACH, bin_means
from flowgimbal.engines.training.paths import HELD_OUT, load_recordings


@functools.lru_cache(maxsize=64)
def _means(rate: float, device: torch.device) -> Tensor:
    """Weights (BINS, frames) of the bins of the past, newest frame first."""
    times = np.arange(math.ceil(REACH * rate) + 2) / rate
    return torch.from_numpy(bin_means(times, np.eye(len(times)))[0]).float().to(device)


@functools.lru_cache(maxsize=64)
def _places(rate: float, device: torch.device) -> Tensor:
    """Weights (len(HORIZONS), frames) of the horizons, the frame itself first."""
    frames = math.ceil(HORIZONS[-1] * rate - 1e-6) + 1
    after = np.clip(np.ceil(HORIZONS * rate - 1e-6).astype(int), 1, frames - 1)
    part = HORIZONS * rate - (after - 1)
    weights = np.zeros((len(HORIZONS), frames))
    weights[np.arange(len(HORIZONS)), after - 1] = 1 - part
    weights[np.arange(len(HORIZONS)), after] += part
    return torch.from_numpy(weights).float().to(device)


@functools.lru_cache(maxsize=8)
def _prior(device: torch.device) -> tuple[Tensor, Tensor]:
    """``forecast.prior``."""
    own, next_ = (torch.from_numpy(part).float().to(device) for part in forecast.prior())
    return own, next_


def eliminate(matrices: Tensor, values: Tensor) -> Tensor:
    """Solutions (..., n, m) of systems (..., n, n), symmetric and positive definite, with ``values`` (..., n, m).

    Gauss's elimination; such matrices need no pivots. In plain operations: a library's solver asks the host whether it
    went well, and a CUDA graph cannot capture that.
    """
    count = matrices.shape[-1]
    rows = torch.cat([matrices, values], -1).movedim((-2, -1), (0, 1)).contiguous()  # (n, n + m, ...): batch innermost
    for k in range(count - 1):
        rows[k + 1 :, k + 1 :] -= rows[k + 1 :, k : k + 1] / rows[k, k] * rows[k, k + 1 :]
    for k in reversed(range(count)):
        rows[k, count:] /= rows[k, k]
        rows[:k, count:] -= rows[:k, k : k + 1] * rows[k, count:]
    return rows[:, count:].movedim((0, 1), (-2, -1))


def _solve(matrices: Tensor, values: Tensor) -> Tensor:
    if matrices.device.type == "cpu":
        solution: Tensor = torch.linalg.solve(matrices, values)
        return solution
    return eliminate(matrices, values)


def samples(path: Tensor, rate: float) -> tuple[Tensor, Tensor, Tensor]:
    """Past (B, FORESEEN, T, PAST) of each frame of paths (B, T, LANES), future (B, FORESEEN, T - delay, H), weights."""
    path = path[..., :WATCHED]
    means, places = _means(rate, path.device), _places(rate, path.device)
    before = means.shape[1] - 1
    back = torch.cat([path[:, :1].expand(-1, before, -1), path], 1).unfold(1, before + 1, 1).flip(-1)
    bins = torch.einsum("jn,btln->bltj", means, back - path[..., None])
    there = path[..., :FORESEEN].unfold(1, places.shape[1], 1)
    future = torch.einsum("hn,btln->blth", places, there - there[..., :1])
    own = bins[:, :FORESEEN]
    return _with_skew(bins), future, 1 / (rate * NOMINAL) / (own.square().mean(-1) + QUIET**2)


def _with_skew(bins: Tensor) -> Tensor:
    """``forecast.with_skew`` of (B, WATCHED, T, BINS)."""
    most = SLANT * bins[:, :SHIFTS, :, :SKEWED].abs().amax(-1, keepdim=True)
    skew = torch.maximum(torch.minimum(bins[:, indices(SHUTTER, bins), :, :SKEWED], most), -most)
    return torch.cat([bins[:, :FORESEEN], F.pad(skew, (0, 0, 0, 0, 0, FORESEEN - SHIFTS))], -1)


@torch.no_grad()
def foresee(path: Tensor, rate: float) -> Tensor:
    """What each frame's ``Forecaster.ahead`` gives along paths (B, T, LANES), half widths: (B, T, H, LANES)."""
    past, future, weight = samples(path, rate)
    batch, lanes, frames, _ = past.shape
    delay = frames - future.shape[2]
    weighted = past * weight[..., None]
    seen = torch.einsum("bltj,bltk->tbljk", weighted, past)
    came = torch.einsum("bltj,blth->tbljh", weighted[:, :, : frames - delay], future)
    own, next_ = _prior(path.device)
    pasts = own.expand(frames, batch, lanes, -1, -1).clone()
    futures = next_.expand(frames, batch, lanes, -1, -1).clone()
    kept = math.exp(-1 / (MEMORY * rate))
    for t in range(delay, frames):
        pasts[t] += kept * (pasts[t - 1] - pasts[0]) + seen[t - delay]
        futures[t] += kept * (futures[t - 1] - futures[0]) + came[t - delay]
    ahead = torch.einsum("bltj,tbljh->bthl", past, _solve(pasts, futures))
    return F.pad(ahead, (0, path.shape[2] - FORESEEN))


def main(argv: Sequence[str] | None = None) -> int:
    """Write the prior: mean normalised samples, of shifts and of zoom and roll, over paths that do not validate."""
    parser = argparse.ArgumentParser(prog="flowgimbal train forecast", description="Fits the prior of the forecast.")
    parser.add_argument("--paths", type=Path, required=True, help="npz that `flowgimbal train paths` wrote")
    parser.add_argument("--out", type=Path, required=True, help="npz file")
    args = parser.parse_args(argv)
    own, next_, count = torch.zeros(FORESEEN, BINS, BINS), torch.zeros(FORESEEN, BINS, len(HORIZONS)), 0.0
    for recording in load_recordings(args.paths):
        if recording.name.startswith("shaky") and recording.name not in HELD_OUT:
            past, future, weight = samples(torch.cumsum(torch.from_numpy(recording.steps), 0)[None], recording.rate)
            past, weight = past[:, :, : future.shape[2], :BINS], weight[:, :, : future.shape[2]]
            own += torch.einsum("blt,bltj,bltk->ljk", weight, past, past)
            next_ += torch.einsum("blt,bltj,blth->ljh", weight, past, future)
            count += future.shape[2] / (recording.rate * NOMINAL)
    past, future = (part.reshape(-1, SHIFTS, *part.shape[1:]).mean(1) for part in (own / count, next_ / count))
    np.savez_compressed(args.out, past=past.numpy(), future=future.numpy())
    return 0


if __name__ == "__main__":
    sys.exit(main())
