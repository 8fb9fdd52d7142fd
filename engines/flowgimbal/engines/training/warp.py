"""Trains the warp network by unrolling it on camera paths: ``flowgimbal train warp --paths FILE --out DIR``.

No pixels: in the eight lanes of global motion a step costs microseconds, so the network lives for hundreds of frames
with its own past, and the loss sees what a viewer would (``losses.py``). Frame rate, look-ahead, crop, aspect,
strength and measurement noise are drawn anew for each batch: one network for all of them. Validation: recorded paths
of clips that training never sees, at look-ahead 0, 5 and 15.
"""

from __future__ import annotations

import argparse
import functools
import logging
import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from flowgimbal.engines.motion import LANES, basis
from flowgimbal.engines.networks.policies import LanePolicy, Policy, TransformerPolicy
from flowgimbal.engines.networks.warp import keep_shapes, lane_fields, soften
from flowgimbal.engines.plan import PLANNED
from flowgimbal.engines.timeline import BINS, REACH, bin_means
from flowgimbal.engines.training.forecasts import foresee
from flowgimbal.engines.training.losses import energy, follow_loss, high_pass, path_loss
from flowgimbal.engines.training.paths import HELD_OUT, PathMaker, load_recordings
from flowgimbal.engines.training.plans import Planners
from flowgimbal.engines.training.run import Run, load

PIXELS = 640.0  # half width of the frame in which losses are counted
PANS = 0.3  # part of the batches that are nothing but pans
USUAL = 0.65  # part of the batches that run under the default settings


@dataclass(frozen=True, slots=True)
class Setting:
    """What a batch is run under."""

    rate: float
    look_ahead: int
    crop: float
    aspect: float
    strength: Tensor  # (B,)


@functools.lru_cache(maxsize=64)
def _bins(rate: float, frames: int) -> tuple[Tensor, Tensor]:
    """Weights (frames + 1, BINS, frames + 1) and covers (frames + 1, BINS) for 0 .. ``frames`` known neighbours."""
    weights = np.zeros((frames + 1, BINS, frames + 1))
    covers = np.zeros((frames + 1, BINS))
    for known in range(1, frames + 1):
        times = np.arange(known + 1) / rate
        weights[known, :, : known + 1], covers[known] = bin_means(times, np.eye(known + 1))
    return torch.from_numpy(weights).float(), torch.from_numpy(covers).float()


def lane_scale(crop: float, aspect: float) -> Tensor:
    """What one margin is in the coefficients of ``motion.py``, per lane (8,)."""
    wide, high = crop, crop * aspect
    return torch.tensor([wide, high, wide, high, wide, high, wide, crop / aspect])


def unroll(policy: Policy, raw: Tensor, setting: Setting) -> tuple[Tensor, Tensor]:
    """Offsets (B, T, 8) that the network gives along raw paths (B, T, 8), and how far each axis wanted more (B, T, 2).

    All in margins.
    """
    batch, frames, _ = raw.shape
    reach = math.ceil(REACH * setting.rate) + 1
    weights, covers = _bins(setting.rate, reach)
    index = torch.arange(frames)
    past = torch.cat([raw[:, :1].expand(-1, reach, -1), raw], 1).unfold(1, reach + 1, 1).flip(-1)  # now first
    ahead = torch.cat([raw, raw[:, -1:].expand(-1, reach, -1)], 1).unfold(1, reach + 1, 1)
    known_past = index.clamp(max=reach)
    known_ahead = (frames - 1 - index).clamp(max=min(setting.look_ahead, reach))
    past_means = torch.einsum("tjn,btln->btlj", weights[known_past], past - raw[..., None])
    ahead_means = torch.einsum("tjn,btln->btlj", weights[known_ahead], ahead - raw[..., None])
    raw_means = torch.cat([past_means, ahead_means], -1)
    raw_cover = torch.cat([covers[known_past], covers[known_ahead]], -1)

    newest = (index + setting.look_ahead).clamp(max=frames - 1)
    margins = lane_scale(setting.crop, setting.aspect)
    forecasts = (foresee(raw * margins, setting.rate) / margins)[:, newest] + (raw[:, newest] - raw)[:, :, None]
    planners = Planners(raw, forecasts, setting.rate, setting.look_ahead)
    forecasts = forecasts.transpose(2, 3)

    conditions = torch.stack(
        [
            setting.strength,
            torch.full((batch,), math.log(30 / setting.rate)),
            torch.full((batch,), math.log(10 * setting.crop)),
            torch.full((batch,), math.log(setting.aspect)),
        ],
        1,
    )
    edge = torch.tensor([-1.0, 0.0, 1.0])
    y, x = (e.flatten() for e in torch.meshgrid(edge, edge, indexing="ij"))
    fields = lane_fields(x, y, torch.tensor([setting.aspect]))[0]  # (8, 2, 9)
    crop, aspect = torch.full((batch,), setting.crop), torch.full((batch,), setting.aspect)
    shown = raw.new_zeros(batch, reach + 1, LANES)  # last shown first
    offsets, excess = [], []
    for t in range(frames):
        now = raw[:, t]
        known = min(max(t - 1, 0), reach)
        last = shown[:, :1] - now[:, None] if t else raw.new_zeros(batch, 1, LANES)
        means = torch.einsum("jn,bnl->bjl", weights[known], shown) - now[:, None] * (covers[known] > 0)[:, None]
        planned = F.pad(planners.plan(t, shown), (0, LANES - PLANNED))[..., None]
        taps = raw_means[:, t], last.transpose(1, 2), means.transpose(1, 2), forecasts[:, t], planned
        cover = torch.cat([raw_cover[t], covers[known]]).expand(batch, -1)
        wanted = keep_shapes(policy(torch.cat(taps, -1), cover, conditions)[0], crop, aspect)
        field = torch.einsum("bl,lcn->bcn", wanted, fields)
        # In lanes the crop limit can only scale all of them: by the axis that is further out, for the turning ones.
        free = field.abs().amax(2).clamp(min=1e-6)
        scale = soften(field).abs().amax(2) / free
        both = scale.amin(1)
        offset = wanted * torch.stack([scale[:, 0], scale[:, 1], *[both] * 6], 1)
        offsets.append(offset)
        excess.append(torch.relu(free - 1.0))
        shown = torch.cat([(now + offset)[:, None], shown[:, :-1]], 1)
    return torch.stack(offsets, 1), torch.stack(excess, 1)


def seen_points(aspect: float) -> Tensor:
    """Fields of the lanes' coefficients at nine points, in pixels of a 1280-px-wide frame: (8, 9, 2)."""
    grid = torch.tensor([-0.7, 0.0, 0.7])
    y, x = (g.flatten() for g in torch.meshgrid(grid * aspect, grid, indexing="ij"))
    fields = torch.from_numpy(basis(torch.stack([x, y], -1).numpy()))
    return fields.permute(2, 0, 1) * PIXELS


def draw_setting(rng: np.random.Generator, batch: int) -> Setting:
    """A setting as users choose them: mostly the defaults, and everything else."""
    if rng.random() < USUAL:
        rate, look_ahead = float(rng.choice([24, 25, 30, 30, 30])), int(rng.choice([0, 0, 5, 5, 15, 15, 15]))
        return Setting(rate, look_ahead, 0.1, float(rng.choice([9 / 16, 9 / 16, 3 / 4])), torch.full((batch,), 0.8))
    rate = float(rng.choice([10, 15, 24, 25, 30, 30, 50, 60]))
    look_ahead = int(rng.choice([0, 0, 1, 2, 3, 5, 5, 8, 10, 15, 15, 20, 30]))
    crop = 0.1 if rng.random() < 0.5 else float(np.exp(rng.uniform(np.log(0.03), np.log(0.4))))
    strength = np.where(rng.random(batch) < 0.5, 0.8, rng.random(batch))
    aspect = float(rng.choice([9 / 16, 9 / 16, 9 / 16, 2 / 3, 3 / 4, 1.0, 16 / 9]))
    return Setting(rate, look_ahead, crop, aspect, torch.from_numpy(strength).float())


@torch.no_grad()
def validate(policy: Policy, makers: PathMaker) -> dict[int, list[float]]:
    """Gain in dB of each held-out path at look-ahead 0, 5 and 15, with a little measurement noise."""
    gains: dict[int, list[float]] = {}
    for look_ahead in (0, 5, 15):
        gains[look_ahead] = []
        for recording in makers.recordings:
            steps = torch.from_numpy(recording.steps[:150])[None]
            setting = Setting(recording.rate, look_ahead, 0.1, 9 / 16, torch.tensor([0.8]))
            noise = 2e-4 * torch.randn(steps.shape, generator=torch.Generator().manual_seed(1))
            scale = lane_scale(setting.crop, setting.aspect)
            offsets = unroll(policy, torch.cumsum(steps + noise, 1) / scale, setting)[0] * scale
            points = seen_points(setting.aspect)
            path = torch.cumsum(steps, 1)
            cut = int(0.3 * recording.rate)
            parts = [
                high_pass(torch.einsum("btl,lpc->btpc", p, points), recording.rate, 1.0)[:, cut:-cut]
                for p in (path, path + offsets)
            ]
            gains[look_ahead].append(float(10 * torch.log10(energy(parts[0]) / energy(parts[1]).clamp(min=1e-4))))
    return gains


def train(args: argparse.Namespace) -> None:
    """Run or resume the training; checkpoints land in ``args.out``."""
    recordings = load_recordings(args.paths)
    held_out = PathMaker([r for r in recordings if r.name in HELD_OUT and r.name.startswith("shaky")])
    maker = PathMaker([r for r in recordings if r.name not in HELD_OUT])
    torch.manual_seed(args.seed)
    network: Policy = TransformerPolicy() if args.policy == "transformer" else LanePolicy()
    if args.start:
        load(network, args.start)
    run = Run(network, args.out, steps=args.steps, rate=args.rate, warm_up=100, memory=0.995)
    while not run.done:
        rng = np.random.default_rng([args.seed, run.step])
        torch.manual_seed(args.seed * 1_000_003 + run.step)
        setting = draw_setting(rng, args.batch)
        frames = int(np.clip(args.seconds * setting.rate, 60, 150))
        pans = rng.random() < PANS
        steps = torch.from_numpy((maker.draw_pans if pans else maker.draw)(rng, args.batch, frames, setting.rate))
        scale = lane_scale(setting.crop, setting.aspect)
        noise = torch.exp(torch.empty(args.batch, 1, 1).uniform_(math.log(3e-5), math.log(1e-3)))
        measured = torch.cumsum(steps + noise * torch.randn_like(steps), 1)
        offsets, excess = unroll(run.network, measured / scale, setting)
        path, points = torch.cumsum(steps, 1), seen_points(setting.aspect)
        raw, shown = (torch.einsum("btl,lpc->btpc", p, points) for p in (path, path + offsets * scale))
        loss = path_loss(shown, offsets, excess, setting.rate, setting.strength)
        if pans:
            loss = loss + follow_loss(shown, raw, setting.rate)
        run.learn(loss.mean(), largest=0.5)
        if run.step % args.every == 0 or run.done:
            gains = validate(run.average, held_out)
            means = {k: round(float(np.mean(v)), 2) for k, v in gains.items()}
            worst = {k: round(float(np.min(v)), 2) for k, v in gains.items()}
            run.save(sum(means.values()) / len(means), {"mean gain": means, "worst gain": worst})


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="flowgimbal train warp", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--paths", type=Path, required=True, help="npz that `flowgimbal train paths` wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/warp"), help="where checkpoints go")
    parser.add_argument("--policy", choices=("lanes", "transformer"), default="lanes", help="how it sees the window")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the paths")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--start", type=Path, help="best.pt to begin from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=100, help="steps between validations and checkpoints")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    train(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
