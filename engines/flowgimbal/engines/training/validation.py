"""How good a policy is, on recorded paths that it never learnt from: shake removed, and pans followed.

On the host, in a process of its own where that pays: a card has better things to do than paths one after the other.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from flowgimbal.engines.motion import LANES
from flowgimbal.engines.networks.policies import LanePolicy, Policy, TransformerPolicy
from flowgimbal.engines.training.losses import NEAR, energy, high_pass, slow
from flowgimbal.engines.training.paths import Recording
from flowgimbal.engines.training.run import Snapshot
from flowgimbal.engines.training.settings import PIXELS, Setting, lane_scale, seen_points
from flowgimbal.engines.training.unroll import unroll

log = logging.getLogger(__name__)

POLICIES: dict[str, Callable[[], Policy]] = {"lanes": LanePolicy, "transformer": TransformerPolicy}

RATE, SPEED = 30.0, 300.0  # of the pans: frames a second, px of a 1280-px-wide picture a second
REST, RAMP, EVEN = 1.5, 0.3, 1.2  # seconds
MEANT = 0.5  # Hz; what is slower of a recorded path is not shake, and left out
SLOWEST = 20.0  # Hz; between the frames of slower recordings a shake would have to be invented
END = 0.5  # seconds at both ends that are left out: the filter is led by the very first and last position

ALLOWED, DEARNESS = 1.0, 0.1  # px of overshoot that cost nothing, and dB of gain that each further one costs


@torch.no_grad()
def gains(policy: Policy, recordings: list[Recording], look_ahead: int) -> list[float]:
    """Gain in dB of each recorded path, with a little measurement noise."""
    result = []
    for recording in recordings:
        steps = torch.from_numpy(recording.steps[:150])[None]
        setting = Setting(recording.rate, look_ahead, 0.1, 9 / 16, torch.tensor([0.8]))
        noise = 2e-4 * torch.randn(steps.shape, generator=torch.Generator().manual_seed(1))
        scale = lane_scale(0.1, 9 / 16)
        offsets = unroll(policy, torch.cumsum(steps + noise, 1) / scale, setting)[0] * scale
        points = seen_points(9 / 16)
        path = torch.cumsum(steps, 1)
        cut = int(0.3 * recording.rate)
        parts = [
            high_pass(torch.einsum("btl,lpc->btpc", p, points), recording.rate, 1.0)[:, cut:-cut]
            for p in (path, path + offsets)
        ]
        result.append(float(10 * torch.log10(energy(parts[0]) / energy(parts[1]).clamp(min=1e-4))))
    return result


def pans(recordings: list[Recording]) -> Tensor:
    """Rest, a pan, rest, the pan back, rest, under each recorded shake and its mirror image: (2 N, T, 8), half widths.

    As in docs/quality.md. Recordings that are too short or too slow are left out.
    """
    knots = np.cumsum([0.0, REST, RAMP, EVEN, RAMP, REST, RAMP, EVEN, RAMP, REST])
    speeds = np.array([0, 0, 1, 1, 0, 0, -1, -1, 0, 0]) * SPEED / PIXELS
    fine = np.arange(0, knots[-1], 1e-3)
    turned = np.cumsum(np.interp(fine, knots, speeds)) * 1e-3
    times = np.arange(round(knots[-1] * RATE)) / RATE
    result = []
    for recording in recordings:
        if recording.rate < SLOWEST or times[-1] * recording.rate > len(recording.steps):
            continue
        path = np.concatenate([np.zeros((1, LANES)), np.cumsum(recording.steps.astype(np.float64), 0)])
        shake = high_pass(torch.from_numpy(path)[None], recording.rate, MEANT)[0].numpy()
        own = np.arange(len(shake)) / recording.rate
        moved = np.stack([np.interp(times, own, lane) for lane in shake.T], 1)
        for sign in (1, -1):
            panned = sign * (moved - moved[0])
            panned[:, 0] -= np.interp(times, fine, turned)
            result.append(panned)
    return torch.from_numpy(np.stack(result)).float() if result else torch.zeros(0, len(times), LANES)


def followed(raw: Tensor, shown: Tensor) -> NDArray[np.float64]:
    """How each pan (B, T, 8) of RATE comes through, along the way on which it is longest: (3, B).

    Below half a hertz, as the client's ``steadiness/pan.py`` has it: range shown over range filmed, how far the path
    shown leaves what was filmed within a second, px of a 1280-px-wide picture, and their correlation.
    """
    ends, near, figures = round(END * RATE), round(NEAR * RATE), []
    for pair in zip(raw.double(), shown.double(), strict=True):
        ways = [slow(path[None, :, :2] * PIXELS, RATE)[0, ends:-ends].numpy() for path in pair]
        _, _, directions = np.linalg.svd(ways[0] - ways[0].mean(0), full_matrices=False)
        wanted, got = (way @ directions[0] for way in ways)
        windows = np.lib.stride_tricks.sliding_window_view(np.pad(wanted, near, mode="edge"), 2 * near + 1)
        beyond = float(np.maximum(got - windows.max(1), windows.min(1) - got).max())
        figures.append((np.ptp(got) / np.ptp(wanted), max(0.0, beyond), np.corrcoef(wanted, got)[0, 1]))
    return np.array(figures).T


@torch.no_grad()
def follow(policy: Policy, raw: Tensor, look_ahead: int) -> NDArray[np.float64]:
    """``followed`` of what the policy makes of pans ``raw`` (B, T, 8)."""
    scale = lane_scale(0.1, 9 / 16)
    setting = Setting(RATE, look_ahead, 0.1, 9 / 16, torch.full((len(raw),), 0.8))
    return followed(raw, raw + unroll(policy, raw / scale, setting)[0] * scale)


def examine(policy: Policy, recordings: list[Recording]) -> tuple[float, dict[str, Any]]:
    """The score of a policy, dB, and the figures behind it, by look-ahead.

    The score is the mean gain, less DEARNESS for each pixel by which, without look-ahead, pans are overrun by more
    than ALLOWED on average. A policy can buy gain by running past the ends of pans: the gain alone would choose it.
    """
    look_aheads = (0, 5, 15)
    gained = {k: gains(policy, recordings, k) for k in look_aheads}
    figures: dict[str, Any] = {
        "mean gain": {k: round(float(np.mean(v)), 2) for k, v in gained.items()},
        "worst gain": {k: round(float(np.min(v)), 2) for k, v in gained.items()},
    }
    score = float(np.mean(list(figures["mean gain"].values())))
    raw = pans(recordings)
    if len(raw):
        by = {k: follow(policy, raw, k) for k in look_aheads}
        figures["kept"] = {k: round(float(v[0].mean()), 3) for k, v in by.items()}
        figures["least kept"] = {k: round(float(v[0].min()), 3) for k, v in by.items()}
        figures["overshoot"] = {k: round(float(v[1].mean()), 2) for k, v in by.items()}
        figures["worst overshoot"] = {k: round(float(v[1].max()), 2) for k, v in by.items()}
        figures["least correlation"] = {k: round(float(v[2].min()), 4) for k, v in by.items()}
        score -= DEARNESS * max(0.0, figures["overshoot"][0] - ALLOWED)
    return (score if math.isfinite(score) else -math.inf), figures


def examine_weights(
    policy: str, weights: dict[str, NDArray[Any]], recordings: list[Recording]
) -> tuple[float, dict[str, Any]]:
    """``examine`` of a policy that is named in POLICIES, with these weights, on the host."""
    network = POLICIES[policy]()
    network.load_state_dict({name: torch.from_numpy(value) for name, value in weights.items()})
    return examine(network.requires_grad_(False), recordings)


def _arrays(snapshot: Snapshot) -> dict[str, NDArray[Any]]:
    """Not tensors: between processes those go through files of the machine's shared memory, which may be small."""
    return {name: value.numpy() for name, value in snapshot.weights.items()}


@dataclass(frozen=True, slots=True)
class Report:
    """What became of a snapshot."""

    snapshot: Snapshot
    score: float
    figures: dict[str, Any]


class Examiner:
    """Examines snapshots in ``processes`` other processes, or in this one without any."""

    def __init__(self, policy: str, recordings: list[Recording], processes: int = 0) -> None:
        self._policy, self._recordings = policy, recordings
        self._waiting: list[tuple[Snapshot, Future[tuple[float, dict[str, Any]]]]] = []
        self._pool: ProcessPoolExecutor | None = None
        if processes:
            # A thread each: operations are small, and threads that wait for each other cost more than they save.
            # Spawned: a fork would take the card's state with it.
            self._pool = ProcessPoolExecutor(
                processes, mp_context=get_context("spawn"), initializer=torch.set_num_threads, initargs=(1,)
            )

    def submit(self, snapshot: Snapshot) -> None:
        """Examine ``snapshot``."""
        future: Future[tuple[float, dict[str, Any]]] = Future()
        if self._pool:
            try:
                future = self._pool.submit(examine_weights, self._policy, _arrays(snapshot), self._recordings)
            except BrokenProcessPool as error:
                future.set_exception(error)
        else:
            future.set_result(examine_weights(self._policy, _arrays(snapshot), self._recordings))
        self._waiting.append((snapshot, future))

    def reports(self, *, wait: bool = False) -> list[Report]:
        """What is known by now of snapshots that were submitted, in their order; of all of them, if it is to ``wait``.

        What a process did not live to tell is found out here.
        """
        done = []
        while self._waiting and (wait or self._waiting[0][1].done()):
            snapshot, future = self._waiting.pop(0)
            try:
                score, figures = future.result()
            except BrokenProcessPool:
                log.warning("a process that examines died: examining step %d here", snapshot.step)
                self._pool = None
                score, figures = examine_weights(self._policy, _arrays(snapshot), self._recordings)
            done.append(Report(snapshot, score, figures))
        return done

    def close(self) -> None:
        """End the processes."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
