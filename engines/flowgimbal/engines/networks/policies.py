"""Policies of the warp network: from the lanes' paths to each lane's offset.

All share one form: a kernel over time, and terms for where room is short. Within the room the best smoother is
nearly linear, which a kernel does exactly; where the path leaves the room the decision is a plan ("begin to follow
now"), which no kernel gives: hence weights for the turns of straight courses (``courses``), a free term in proportion
to how far the paths go, and trust in the plan (``plan.py``). All of them leave a still picture still. They differ in
how they look at the window.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flowgimbal.engines.motion import LANES
from flowgimbal.engines.networks.constants import constant, indices
from flowgimbal.engines.plan import PLANNED
from flowgimbal.engines.shapes import CONDITIONS, RAW, SHOWN, TAPS
from flowgimbal.engines.timeline import BINS, EDGES

ROOM = 0.8  # margins; a path that leaves this tube around the shown position will have to be followed
ROOMS = (0.5, 0.85)  # margins; the tubes that a straight course has to stay in
AHEAD = (0, 1, 2, 3, 4, 6, 8, 10, 12, 14, 16)  # known moments, 0 being the due one, that a course is held up to
COURSES = 1 + 2 * len(ROOMS) * len(AHEAD)
NEVER = 1e4  # margins a second; no course is so steep
FAR = 1e9  # beyond all of them
BLIND, TRUSTING = -1.0, 64  # trust (logit) without look-ahead to begin with, and what a perceptron is wide that says it
RECENT = 1  # the bin behind the last shown frame that tells how fast the shown picture moves


class Sight(NamedTuple):
    """What a policy sees of the paths (B, LANES, TAPS) each, and of the circumstances (B, RAW + BINS + CONDITIONS)."""

    paths: Tensor  # relative to the due frame's raw position, squashed
    moved: Tensor  # relative to where the picture was shown last, squashed
    beyond: Tensor  # how far they leave the room around that
    led: Tensor  # (B, LANES, COURSES) where straight courses lead, see ``courses``
    turns: Tensor  # the same, squashed
    circumstances: Tensor
    reach: Tensor  # (B, LANES) mean distance from where the picture was shown last, margins


def look(paths: Tensor, cover: Tensor, conditions: Tensor) -> Sight:
    """See ``Policy.forward``."""
    always = torch.ones_like(cover[:, :1])  # the last shown position, the forecast and the plan
    known = torch.cat([cover[:, :RAW], always, cover[:, RAW:], always.expand(-1, TAPS - RAW - SHOWN)], 1)[:, None] > 0
    moved = (paths - paths[..., RAW : RAW + 1]) * known
    beyond = moved - moved.clamp(-ROOM, ROOM)
    circumstances = torch.cat([cover, conditions], 1)
    led = courses(paths, cover, conditions)
    near, far, turns = torch.split(_squash(torch.cat([paths, moved, led], -1)), [TAPS, TAPS, COURSES], -1)
    return Sight(near, far, beyond, led, turns, circumstances, moved.abs().mean(-1))


def courses(paths: Tensor, cover: Tensor, conditions: Tensor) -> Tensor:
    """Where the picture would be shown on straight courses from where it was shown last: (B, LANES, COURSES).

    The first goes on as before, margins since then. The others are turns from it, margins: what the nearest course
    takes that stays within a tube around the raw path, for each width of the tube and up to each known moment. Where no
    straight course does, the turns are those that keep below the upper walls, and above the lower ones. It is the
    funnel that the shortest path through a tube begins with, which is what a path that is short of room should take.
    """
    seconds = torch.exp(conditions[:, 1])[:, None, None] / 30
    last = paths[..., RAW : RAW + 1]
    centres = (EDGES[:-1] + EDGES[1:]) / 2
    behind = cover[:, None, RAW + RECENT : RAW + RECENT + 1]
    speed = (last - paths[..., RAW + 1 + RECENT : RAW + 2 + RECENT]) * behind / float(centres[RECENT])
    # The due frame and the bins ahead of it, seen from the last shown position.
    coming = torch.cat([-last, paths[..., BINS:RAW] - last], -1)
    apart = constant((0.0, *centres.tolist()), paths) + seconds
    unknown = NEVER * torch.cat([torch.zeros_like(behind), (cover[:, None, BINS:RAW] <= 0).to(paths)], -1)
    rooms = constant(ROOMS, paths)[:, None]
    walls = torch.cat([coming[:, :, None] - rooms, -coming[:, :, None] - rooms], 2) / apart[:, :, None]
    highest = _highest(walls - unknown[:, :, None])
    least, most, now = highest[:, :, : len(ROOMS)], -highest[:, :, len(ROOMS) :], speed[:, :, None]
    nearest = torch.cat(
        [torch.minimum(torch.maximum(now, least), most), torch.maximum(torch.minimum(now, most), least)], 2
    )
    turns = (nearest[..., indices(AHEAD, nearest)] - now).flatten(2)
    return torch.cat([speed, turns], -1) * seconds


def _highest(values: Tensor) -> Tensor:
    """The highest of each value and all before it, along the last axis."""
    later = FAR * torch.ones(values.shape[-1], values.shape[-1], dtype=values.dtype, device=values.device).triu(1)
    return (values[..., None, :] - later).amax(-1)


def _squash(paths: Tensor) -> Tensor:
    size = (4.0 * paths).abs()
    # asinh, in operations that every runtime has on a card
    return 0.7 * torch.sign(paths) * torch.log(size + torch.sqrt(size * size + 1.0))


class Trust(nn.Module):
    """How far the plan takes the place of a lane's own kernel: half the way where anything ahead is known.

    Without look-ahead the plan brings the most where the room is short for the shake, and overruns the ends of pans: a
    matter of what the camera does, for which there are weights that hold for nothing else. Where a part of the first
    bin ahead is known (look-ahead 1 of a fast camera), it is half the way by as much.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        # What kernels are made of is small and hardly changes: it is brought to one size first.
        self.norm, self.look = nn.LayerNorm(width), nn.Linear(width + 3 * TAPS, TRUSTING)
        last = nn.Linear(TRUSTING, 1)
        nn.init.zeros_(last.weight)
        nn.init.constant_(last.bias, BLIND)
        self.say = nn.Sequential(nn.GELU(), last)

    def forward(self, hidden: Tensor, sight: Sight, unknown: Tensor) -> Tensor:
        """Of each planned lane (B, PLANNED), within [0, 1].

        By its ``hidden`` state (B, PLANNED, width); how much of the first bin ahead is ``unknown`` (B, 1), [0, 1].
        """
        seen = (part[:, :PLANNED] for part in (sight.paths, sight.moved, sight.beyond))
        said: Tensor = self.say(self.look(torch.cat([self.norm(hidden), *seen], -1)))
        return torch.sigmoid(said[..., 0] * unknown)


class Policy(nn.Module, ABC):
    """A way to decide: ``decide`` looks at the window, the head makes kernels and free terms of what it gives.

    How far the plan takes their place is decided for each lane that is planned, frame by frame.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.head, self.trust = nn.Linear(width, TAPS + 1 + COURSES), Trust(width)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():  # to begin with: between the plan and the last shown picture, held for some 20 frames
            self.head.bias[RAW] = 0.95

    @abstractmethod
    def decide(self, sight: Sight) -> Tensor:
        """Hidden state of each lane (B, LANES, width)."""

    def forward(self, paths: Tensor, cover: Tensor, conditions: Tensor) -> tuple[Tensor, Tensor]:
        """Offsets (B, LANES) in margins, and the kernels (B, LANES, TAPS) behind them.

        ``paths`` (B, LANES, TAPS) in margins relative to the due frame's raw position, ``cover`` (B, RAW + BINS) says
        how much of each bin is known, ``conditions`` (B, CONDITIONS).
        """
        sight = look(paths, cover, conditions)
        hidden = self.decide(sight)
        kernel, free, course = self.head(hidden).split((TAPS, 1, COURSES), -1)
        offsets = (kernel * paths).sum(-1) + (course * sight.led).sum(-1) + free[..., 0] * sight.reach
        unknown = 1 - cover[:, BINS : BINS + 1]  # of the first bin ahead
        trust = self.trust(hidden[:, :PLANNED], sight, unknown)
        own, others = offsets.split((PLANNED, LANES - PLANNED), 1)
        return torch.cat([own + trust * (paths[:, :PLANNED, -1] - own), others], 1), kernel


class LanePolicy(Policy):
    """Perceptrons over the whole window of a lane; lanes know of each other by the mean of what they see."""

    def __init__(self, *, width: int = 288, blocks: int = 2) -> None:
        super().__init__(width)
        seen = 3 * TAPS + COURSES + (RAW + BINS) + CONDITIONS + LANES
        self.look = nn.Sequential(nn.Linear(seen, width), nn.GELU())
        self.own, self.others = nn.Linear(width, width), nn.Linear(width, width, bias=False)
        self.think = nn.GELU()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(width, width), nn.GELU()) for _ in range(blocks))

    def decide(self, sight: Sight) -> Tensor:
        """See ``Policy``."""
        batch = sight.paths.shape[0]
        lane = torch.eye(LANES, device=sight.paths.device, dtype=sight.paths.dtype).expand(batch, -1, -1)
        around = sight.circumstances[:, None].expand(-1, LANES, -1)
        hidden = self.look(torch.cat([sight.paths, sight.moved, sight.beyond, sight.turns, around, lane], -1))
        thought: Tensor = self.think(self.own(hidden) + self.others(hidden.mean(1, keepdim=True)))
        for block in self.blocks:
            thought = thought + block(thought)
        return thought


class Attention(nn.Module):
    """Lanes ask, moments answer: one block of cross-attention and perceptron (Vaswani et al., NeurIPS 2017)."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.before, self.after = nn.LayerNorm(width), nn.LayerNorm(width)
        self.ask, self.answer = nn.Linear(width, width), nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.think = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))

    def forward(self, lanes: Tensor, moments: Tensor) -> Tensor:
        """Lanes (B, LANES, width) after a look at the moments (B, TAPS, width)."""
        key, value = self.answer(moments).unflatten(-1, (2, self.heads, -1)).unbind(2)
        query = self.ask(self.before(lanes)).unflatten(-1, (self.heads, -1))
        heard = F.scaled_dot_product_attention(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2))
        lanes = lanes + self.out(heard.transpose(1, 2).flatten(2))
        result: Tensor = lanes + self.think(self.after(lanes))
        return result


class TransformerPolicy(Policy):
    """A small temporal transformer: one token a moment (all lanes' positions), one query a lane."""

    def __init__(self, *, width: int = 64, heads: int = 4, blocks: int = 2) -> None:
        super().__init__(width)
        self.moment = nn.Linear(3 * LANES, width)
        self.time = nn.Parameter(0.02 * torch.randn(TAPS, width))
        self.lane = nn.Parameter(0.02 * torch.randn(LANES, width))
        self.around = nn.Linear(RAW + BINS + CONDITIONS, width)
        self.turn = nn.Linear(COURSES, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Attention(width, heads) for _ in range(blocks))

    def decide(self, sight: Sight) -> Tensor:
        """See ``Policy``."""
        seen = torch.cat([sight.paths, sight.moved, sight.beyond], 1).transpose(1, 2)
        moments = self.norm(self.moment(seen) + self.time)
        lanes: Tensor = self.lane + self.around(sight.circumstances)[:, None] + self.turn(sight.turns)
        for block in self.blocks:
            lanes = block(lanes, moments)
        return lanes
