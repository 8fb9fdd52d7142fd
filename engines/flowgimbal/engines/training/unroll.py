"""The warp network unrolled along camera paths, with its own past, and what its losses are of that."""

from __future__ import annotations

import functools
import math

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from flowgimbal.engines.motion import LANES
from flowgimbal.engines.networks.constants import constant
from flowgimbal.engines.networks.policies import Policy
from flowgimbal.engines.networks.warp import keep_shapes, lane_fields, soften
from flowgimbal.engines.plan import PLANNED
from flowgimbal.engines.timeline import BINS, REACH, bin_means
from flowgimbal.engines.training.forecasts import foresee
from flowgimbal.engines.training.losses import follow_loss, path_loss
from flowgimbal.engines.training.plans import Planners
from flowgimbal.engines.training.settings import Setting, lane_scale, seen_points


@functools.lru_cache(maxsize=64)
def _bins(rate: float, frames: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Weights (frames + 1, BINS, frames + 1) and covers (frames + 1, BINS) for 0 .. ``frames`` known neighbours."""
    weights = np.zeros((frames + 1, BINS, frames + 1))
    covers = np.zeros((frames + 1, BINS))
    for known in range(1, frames + 1):
        times = np.arange(known + 1) / rate
        weights[known, :, : known + 1], covers[known] = bin_means(times, np.eye(known + 1))
    return torch.from_numpy(weights).float().to(device), torch.from_numpy(covers).float().to(device)


def _each(value: float | Tensor, like: Tensor) -> Tensor:
    """A setting of all paths (1,) or of each (B,), float64, so that logarithms are rounded once."""
    return torch.as_tensor(value, dtype=torch.float64, device=like.device).reshape(-1)


def _one(parts: Tensor) -> Tensor:
    """``parts`` (B, ...), or the only one there is: what all share is multiplied as one matrix."""
    return parts[0] if len(parts) == 1 else parts


def unroll(policy: Policy, raw: Tensor, setting: Setting) -> tuple[Tensor, Tensor]:
    """Offsets (B, T, 8) that the network gives along raw paths (B, T, 8), and how far each axis wanted more (B, T, 2).

    All in margins.
    """
    batch, frames, _ = raw.shape
    reach = math.ceil(REACH * setting.rate) + 1
    weights, covers = _bins(setting.rate, reach, raw.device)
    index = torch.arange(frames, device=raw.device)
    past = torch.cat([raw[:, :1].expand(-1, reach, -1), raw], 1).unfold(1, reach + 1, 1).flip(-1)  # now first
    ahead = torch.cat([raw, raw[:, -1:].expand(-1, reach, -1)], 1).unfold(1, reach + 1, 1)
    known_past = index.clamp(max=reach)
    known_ahead = (frames - 1 - index).clamp(max=min(setting.look_ahead, reach))
    past_means = torch.einsum("tjn,btln->btlj", weights[known_past], past - raw[..., None])
    ahead_means = torch.einsum("tjn,btln->btlj", weights[known_ahead], ahead - raw[..., None])
    raw_means = torch.cat([past_means, ahead_means], -1)
    raw_cover = torch.cat([covers[known_past], covers[known_ahead]], -1)

    newest = (index + setting.look_ahead).clamp(max=frames - 1)
    crop, aspect = _each(setting.crop, raw), _each(setting.aspect, raw)
    margins = lane_scale(crop, aspect)[:, None]
    foreseen = foresee(raw * margins, setting.rate) / margins[:, None]
    forecasts = foreseen[:, newest] + (raw[:, newest] - raw)[:, :, None]
    planners = Planners(raw, forecasts, setting.rate, setting.look_ahead, aspect.float())
    forecasts = forecasts.transpose(2, 3)

    conditions = torch.stack(
        [
            setting.strength,
            raw.new_full((batch,), math.log(30 / setting.rate)),
            torch.log(10 * crop).float().expand(batch),
            torch.log(aspect).float().expand(batch),
        ],
        1,
    )
    crop, aspect = crop.float(), aspect.float()
    edge = constant((-1.0, 0.0, 1.0), raw)
    fields = _one(lane_fields(edge.repeat(3), edge.repeat_interleave(3), aspect))  # (8, 2, 9), or (B, 8, 2, 9)
    crop, aspect = crop.expand(batch), aspect.expand(batch)
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
        field = torch.einsum("bl,lcn->bcn" if fields.ndim == 3 else "bl,blcn->bcn", wanted, fields)
        # In lanes the crop limit can only scale all of them: by the axis that is further out, for the turning ones.
        free = field.abs().amax(2).clamp(min=1e-6)
        scale = soften(field).abs().amax(2) / free
        both = scale.amin(1)
        offset = wanted * torch.stack([scale[:, 0], scale[:, 1], *[both] * 6], 1)
        offsets.append(offset)
        excess.append(torch.relu(free - 1.0))
        shown = torch.cat([(now + offset)[:, None], shown[:, :-1]], 1)
    return torch.stack(offsets, 1), torch.stack(excess, 1)


def losses(policy: Policy, path: Tensor, measured: Tensor, setting: Setting, pans: bool | Tensor) -> Tensor:
    """Loss (B,) along each ``path`` (B, T, 8), half widths, of which ``measured`` is what the network sees.

    ``pans``: whether all are pans, which are to be followed; or (B,), 1 for those that are.
    """
    scale = lane_scale(_each(setting.crop, path), _each(setting.aspect, path))[:, None]
    offsets, excess = unroll(policy, measured / scale, setting)
    points = _one(seen_points(_each(setting.aspect, path)))
    product = "btl,lpc->btpc" if points.ndim == 3 else "btl,blpc->btpc"
    raw, shown = (torch.einsum(product, p, points) for p in (path, path + offsets * scale))
    loss = path_loss(shown, offsets, excess, setting.rate, setting.strength)
    if isinstance(pans, Tensor):
        return loss + pans * follow_loss(shown, raw, setting.rate)
    return loss + follow_loss(shown, raw, setting.rate) if pans else loss
