"""Pairs of frames of real video, whose motion nobody knows, and what a wrong motion between them costs.

What a flow network learns from is rendered, and no rendering has all that a camera does. Here the second frame, sampled
along the flow, has to look like the first one (Meister et al., UnFlow, AAAI 2018): under the census transform, so that
exposure counts for nothing, only where both flows agree on what is seen in both frames, and with motion as smooth as
the picture is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from flowgimbal.engines.networks.blocks import pixels, sample
from flowgimbal.engines.shapes import STRIDE

MOST_FRAMES = 150  # of a clip
GAPS = (1, 1, 2, 3)  # frames between the two of a pair
REACH = 3  # pixels to each side that the census compares a pixel with
UNSEEN = 1.0  # cost of a pixel that does not count: as the most unlike, or flows would be best that agree nowhere
SMOOTH = 0.05  # weight of the smoothness against the census

Gray = NDArray[np.uint8]


def load_video(file: Path, height: int, width: int) -> Gray:
    """Luma of a clip's first frames, each filled into (height, width): (N, height, width). ValueError if too short."""
    frames = []
    with av.open(str(file)) as container:
        for frame in islice(container.decode(video=0), MOST_FRAMES):
            scale = max(height / frame.height, width / frame.width)
            size = (max(width, round(frame.width * scale)), max(height, round(frame.height * scale)))
            gray = cv2.resize(frame.to_ndarray(format="gray"), size, interpolation=cv2.INTER_AREA)
            top, left = (size[1] - height) // 2, (size[0] - width) // 2
            frames.append(gray[top : top + height, left : left + width])
    if len(frames) <= max(GAPS):
        raise ValueError(f"{file} has {len(frames)} frames, and pairs of them are up to {max(GAPS)} apart")
    return np.stack(frames).astype(np.uint8, copy=False)


@dataclass(frozen=True, slots=True)
class VideoMaker:
    """Draws pairs of frames from clips of one size, each uint8 (N, H, W)."""

    clips: Sequence[Gray]

    def draw(self, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Both frames (B, 1, H, W) in [0, 1]; forwards or backwards in time, mirrored or not."""
        rng = np.random.default_rng(int(torch.randint(1 << 62, (), generator=generator)))
        pairs = []
        for _ in range(batch):
            clip, gap = self.clips[int(rng.integers(len(self.clips)))], int(rng.choice(GAPS))
            begin = int(rng.integers(len(clip) - gap))
            pair = clip[begin : begin + gap + 1 : gap]
            pair = pair if rng.random() < 0.5 else pair[::-1]
            pairs.append(pair if rng.random() < 0.5 else pair[:, :, ::-1])
        first, second = torch.from_numpy(np.stack(pairs)).float().div(255)[:, :, None].unbind(1)
        return first, second


def census(picture: Tensor) -> Tensor:
    """How each pixel of (B, 1, H, W) in [0, 1] differs from its neighbours, softly in [-1, 1]: (B, n, H, W)."""
    side = 2 * REACH + 1
    padded = F.pad(picture, (REACH,) * 4, mode="replicate")
    around = F.unfold(padded, side).reshape(len(picture), -1, *picture.shape[-2:])
    difference = 255 * (around - picture)
    softened: Tensor = difference / torch.sqrt(0.81 + difference**2)
    return softened


def unlikeness(first: Tensor, second: Tensor, flow: Tensor) -> Tensor:
    """How unlike the first picture (B, 1, H, W) is to the second along the flow (B, 2, H, W): (B, 1, H, W)."""
    there = torch.nan_to_num(sampled(second, flow))
    squares = (census(first) - census(there)) ** 2
    distance = (squares / (0.1 + squares)).mean(1, keepdim=True)
    return (distance + 0.01) ** 0.4


def sampled(field: Tensor, flow: Tensor) -> Tensor:
    """``field`` (B, C, H, W) at p + flow(p), ``flow`` (B, 2, H, W) in pixels; beyond the edge it is no number."""
    height, width = field.shape[-2:]
    points = flow + pixels(height, width, flow.device)
    last = points.new_tensor([width - 1, height - 1])[:, None, None]
    inside = ((points >= 0) & (points <= last)).all(1, keepdim=True)
    return torch.where(inside, sample(field, points), torch.nan)


def seen_in_both(flow: Tensor, back: Tensor) -> Tensor:
    """Whether the flow (B, 2, H, W) is taken back where it leads: (B, 1, H, W) of 0 and 1 (UnFlow, eq. 1)."""
    there = sampled(back, flow)
    apart = ((flow + there) ** 2).sum(1, keepdim=True)
    lengths = (flow**2 + there**2).sum(1, keepdim=True)
    return (apart < 0.01 * lengths + 0.5).to(flow.dtype)  # no number is less


def roughness(flow: Tensor, picture: Tensor) -> Tensor:
    """How much the flow (B, 2, h, w) changes from cell to cell where the picture (B, 1, H, W) does not: a number."""
    seen = F.avg_pool2d(picture, picture.shape[-1] // flow.shape[-1])
    costs = []
    for axis in (2, 3):
        edge = torch.exp(-20 * torch.diff(seen, dim=axis).abs())
        costs.append((edge * torch.sqrt(torch.diff(flow, dim=axis) ** 2 + 1e-6)).mean())
    return torch.stack(costs).sum()


def photometric(first: Tensor, second: Tensor, flow: Tensor, back: Tensor) -> Tensor:
    """The cost of flows (B, 2, H / 4, W / 4), pixels, from the first picture to the second and back: a number."""
    fine, fine_back = (F.interpolate(f, scale_factor=float(STRIDE), mode="bilinear") for f in (flow, back))
    counts = seen_in_both(fine.detach(), fine_back.detach())
    unlike = torch.where(counts > 0, unlikeness(first, second, fine), UNSEEN)
    return unlike.mean() + SMOOTH * roughness(flow, first)
