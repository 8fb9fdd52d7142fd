"""What the warp network is trained under: settings as users choose them, one at a time or a fixed list of forms."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from flowgimbal.engines.networks.constants import constant

PIXELS = 640.0  # half width of the frame in which losses are counted
USUAL = 0.65  # part of the batches that run under the default settings
SECONDS = 5.0  # length of the paths
FEWEST, MOST = 60, 150  # frames of the paths

USUAL_RATES, USUAL_LOOK_AHEADS, USUAL_ASPECTS = (24, 25, 30, 30, 30), (0, 0, 5, 5, 15, 15, 15), (9 / 16, 9 / 16, 3 / 4)
RATES, LOOK_AHEADS = (10, 15, 24, 25, 30, 30, 50, 60), (0, 0, 1, 2, 3, 5, 5, 8, 10, 15, 15, 20, 30)
ASPECTS = (9 / 16, 9 / 16, 9 / 16, 2 / 3, 3 / 4, 1.0, 16 / 9)
CROP, NARROWEST_CROP, WIDEST_CROP = 0.1, 0.03, 0.4
STRENGTH = 0.8

# What stands for all settings but the default ones where only a few can be had: rate and look-ahead, the first first.
OTHERS = (
    (60, 15), (10, 0), (50, 5), (30, 2), (15, 5), (60, 0), (30, 10), (10, 15), (30, 30), (15, 0), (24, 20), (50, 15),
    (30, 1), (30, 3), (25, 8), (60, 30), (15, 15), (50, 0), (24, 2), (10, 5),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Setting:
    """What a batch is run under. Crop and aspect are of all its paths, or (B,), of each."""

    rate: float
    look_ahead: int
    crop: float | Tensor
    aspect: float | Tensor
    strength: Tensor  # (B,)


@dataclass(frozen=True, slots=True)
class Form:
    """What gives a batch its shapes. All else in it may differ from path to path."""

    rate: float
    look_ahead: int
    frames: int
    weight: float  # its part of all training
    usual: float  # part of its paths that run under the default settings

    @property
    def name(self) -> str:
        """For the log."""
        return f"{self.rate:g} Hz, look-ahead {self.look_ahead}"


def frames_of(rate: float, seconds: float = SECONDS) -> int:
    """How many frames a path has."""
    return int(np.clip(seconds * rate, FEWEST, MOST))


def draw_setting(rng: np.random.Generator, batch: int) -> Setting:
    """A setting as users choose them: mostly the defaults, and everything else."""
    if rng.random() < USUAL:
        rate, look_ahead = float(rng.choice(USUAL_RATES)), int(rng.choice(USUAL_LOOK_AHEADS))
        return Setting(rate, look_ahead, CROP, float(rng.choice(USUAL_ASPECTS)), torch.full((batch,), STRENGTH))
    rate = float(rng.choice(RATES))
    look_ahead = int(rng.choice(LOOK_AHEADS))
    narrowest, widest = np.log(NARROWEST_CROP), np.log(WIDEST_CROP)
    crop = CROP if rng.random() < 0.5 else float(np.exp(rng.uniform(narrowest, widest)))
    strength = np.where(rng.random(batch) < 0.5, STRENGTH, rng.random(batch))
    aspect = float(rng.choice(ASPECTS))
    return Setting(rate, look_ahead, crop, aspect, torch.from_numpy(strength).float())


def forms(count: int, seconds: float = SECONDS) -> list[Form]:
    """``count`` forms whose weights are as ``draw_setting`` draws them: the nine default ones, then some of OTHERS.

    Of what the others stand for each has the same part.
    """
    usual, free = _chances(USUAL_RATES, USUAL_LOOK_AHEADS), _chances(RATES, LOOK_AHEADS)
    weights = {key: USUAL * usual.get(key, 0.0) + (1 - USUAL) * free.get(key, 0.0) for key in {*usual, *free}}
    first = sorted(usual, key=lambda key: -weights[key])[:count]
    parts = {key: USUAL * usual[key] / weights[key] for key in first}
    others = OTHERS[: count - len(first)]
    rest = 1 - sum(weights[key] for key in first)
    chances = {key: weights[key] for key in first} | dict.fromkeys(others, rest / max(1, len(others)))
    whole = sum(chances.values())
    return [
        Form(float(key[0]), key[1], frames_of(key[0], seconds), chance / whole, parts.get(key, 0.0))
        for key, chance in chances.items()
    ]


def _chances(rates: tuple[int, ...], look_aheads: tuple[int, ...]) -> dict[tuple[int, int], float]:
    counts = Counter((rate, look_ahead) for rate in rates for look_ahead in look_aheads)
    return {key: count / counts.total() for key, count in counts.items()}


def lane_scale(crop: float | Tensor, aspect: float | Tensor) -> Tensor:
    """What one margin is in the coefficients of ``motion.py``, per lane: (8,), or (B, 8) of B crops or aspects."""
    wide, ratio = torch.as_tensor(crop, dtype=torch.float64), torch.as_tensor(aspect, dtype=torch.float64)
    wide, high, tilt = wide.expand_as(wide * ratio), wide * ratio, wide / ratio
    return torch.stack([wide, high, wide, high, wide, high, wide, tilt], -1).float()


def seen_points(aspect: float | Tensor) -> Tensor:
    """Fields of the lanes' coefficients at nine points, in pixels of a 1280-px-wide frame.

    (8, 9, 2), or (B, 8, 9, 2) of B aspects.
    """
    ratio = torch.as_tensor(aspect, dtype=torch.float32)[..., None]
    grid = constant((-0.7, 0.0, 0.7), ratio)
    x, y = grid.repeat(3).expand(*ratio.shape[:-1], -1), grid.repeat_interleave(3) * ratio
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    u = torch.stack([one, zero, x, -y, x, y, x * x, x * y], -1)
    v = torch.stack([zero, one, y, x, -y, x, x * y, y * y], -1)
    return torch.stack([u, v], -2).movedim(-1, -3) * PIXELS
