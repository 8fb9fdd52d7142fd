"""Camera paths to learn from: a generator of the ways in which cameras shake, and paths recorded from real clips."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.forecast import SHUTTER
from flowgimbal.engines.motion import LANES

Steps = NDArray[np.float32]  # (frames, 8)

# Recorded clips that only validate: one of each kind of camera.
HELD_OUT = (
    "shaky/nus_regular_tower",
    "shaky/city_run",
    "shaky/mountain_pan",
    "shaky/rover_kerb_rot180meta",
    "shaky/hippo_tele",
    "shaky/train_10fps",
    "shaky/nus_street_walkzoom",
    "steady/uav_building4_720p",
    "steady/highway_dashcam",
)


@dataclass(frozen=True, slots=True)
class Recording:
    """Motion per frame, float32 (frames - 1, 8) in half widths, at ``rate`` Hz."""

    name: str
    steps: Steps
    rate: float


def load_recordings(file: Path) -> list[Recording]:
    """What ``flowgimbal train paths`` wrote."""
    with np.load(file) as data:
        names = [n for n in data.files if not n.startswith("rate/")]
        return [Recording(n, data[n].astype(np.float32), float(data[f"rate/{n}"])) for n in names]


def generate(rng: np.random.Generator, frames: int, rate: float) -> Steps:
    """Motion per frame (frames, 8) of an invented camera."""
    time = np.arange(frames + 1) / rate
    path = np.zeros((frames + 1, LANES))
    level = np.exp(rng.uniform(np.log(0.002), np.log(0.12)))  # shift, half widths RMS
    spread = np.array([1, rng.uniform(0.5, 1.5), 0.15, 0.3, 0.05, 0.05, 0.1, 0.1])
    if rng.random() < 0.08:
        level = 0.0002  # tripod: noise only
    for lane in range(LANES):
        own = level * spread[lane] * np.exp(rng.normal(0, 0.5))
        path[:, lane] = own * _shake(rng, time)
    for lane in (0, 1):  # handheld drift and intended pans
        path[:, lane] += np.cumsum(rng.normal(0, rng.uniform(0, 0.004), frames + 1)) * (rng.random() < 0.7)
        if rng.random() < (0.6 if lane == 0 else 0.3):
            path[:, lane] += _pan(rng, time)
    if rng.random() < 0.3:
        path[:, 2] += 0.3 * _pan(rng, time)
    if rng.random() < 0.15:
        path[:, 3] += 0.3 * _pan(rng, time)
    return np.diff(path, axis=0).astype(np.float32)


def _shake(rng: np.random.Generator, time: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit RMS: resonances between 0.6 and 14 Hz with wandering amplitude, steps of a walker, jolts."""
    rate = 1 / (time[1] - time[0])
    n = len(time)
    frequency = np.fft.rfftfreq(n, 1 / rate)
    signal = np.zeros(n)
    for _ in range(rng.integers(1, 5)):
        centre, width = np.exp(rng.uniform(np.log(0.6), np.log(14))), rng.uniform(0.1, 1.0)
        shape = np.exp(-0.5 * ((np.log(np.maximum(frequency, 1e-2)) - np.log(centre)) / width) ** 2)
        noise = np.fft.irfft(shape * np.fft.rfft(rng.normal(size=n)), n)
        signal += noise / max(noise.std(), 1e-9) * rng.uniform(0.2, 1) / centre**0.7
    if rng.random() < 0.4:  # walking: a step's bounce and its harmonics
        pace = rng.uniform(1.2, 3.2)
        phase = 2 * np.pi * pace * time + rng.uniform(0, 6.28) + 0.3 * np.cumsum(rng.normal(size=n)) / rate
        signal += rng.uniform(0.3, 1.5) * (np.sin(phase) + rng.uniform(0, 0.5) * np.sin(2 * phase + 1))
    if rng.random() < 0.3:  # jolts that ring out
        for start in rng.uniform(0, time[-1], rng.integers(1, 6)):
            after = np.maximum(time - start, 0)
            signal += (
                rng.normal(0, 2)
                * (time > start)
                * np.exp(-after * rng.uniform(2, 10))
                * np.sin(2 * np.pi * rng.uniform(2, 8) * after)
            )
    if rng.random() < 0.4:  # it comes and goes
        envelope = np.interp(time, np.linspace(0, time[-1], 6), rng.uniform(0, 1.5, 6))
        signal *= envelope
    return np.asarray(signal / max(signal.std(), 1e-9))


def _fast(path: NDArray[np.floating[Any]], rate: float) -> NDArray[np.float64]:
    """What of ``path`` (frames, 8) is faster than about a hertz: shake, not where the camera is meant to look."""
    extended = np.concatenate([2 * path[:1] - path[:0:-1], path, 2 * path[-1:] - path[-2::-1]])
    frequency = np.fft.rfftfreq(len(extended), 1 / rate)
    kept = np.fft.rfft(extended, axis=0) * (1 - np.exp(-((frequency / 0.85) ** 2)))[:, None]
    return np.asarray(np.fft.irfft(kept, len(extended), axis=0)[len(path) - 1 : 2 * len(path) - 1])


def _pan(rng: np.random.Generator, time: NDArray[np.float64]) -> NDArray[np.float64]:
    """A path whose velocity is a series of trapezoids, in half widths."""
    velocity = np.zeros_like(time)
    for _ in range(rng.integers(1, 4)):
        start, length = rng.uniform(-1, time[-1]), rng.uniform(0.3, 6)
        ramp = rng.uniform(0.05, 0.8)
        speed = rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(0.02), np.log(1.0)))
        rise = np.clip((time - start) / ramp, 0, 1) - np.clip((time - start - length) / ramp, 0, 1)
        velocity += speed * rise
    if rng.random() < 0.3:
        velocity += rng.choice([-1, 1]) * np.exp(rng.uniform(np.log(0.02), np.log(0.5)))
    return np.asarray(np.cumsum(velocity) * (time[1] - time[0]))


@dataclass(frozen=True, slots=True)
class PathMaker:
    """Draws batches of camera motion, most of it recorded (turned, mirrored, reversed, mixed), the rest generated."""

    recordings: list[Recording]

    def draw(self, rng: np.random.Generator, batch: int, frames: int, rate: float) -> Steps:
        """Motion per frame, (batch, frames, 8)."""
        return np.stack([self._one(rng, frames, rate) for _ in range(batch)])

    def draw_pans(self, rng: np.random.Generator, batch: int, frames: int, rate: float) -> Steps:
        """Rest, a straight pan, rest, under the shake of recorded cameras: (batch, frames, 8)."""
        return np.stack([self._panned(rng, frames, rate) for _ in range(batch)])

    def _panned(self, rng: np.random.Generator, frames: int, rate: float) -> Steps:
        path = _fast(np.cumsum(self._recorded(rng, frames), 0), rate) * np.exp(rng.uniform(np.log(0.1), np.log(1.5)))
        time = np.arange(frames) / rate
        speed = np.exp(rng.uniform(np.log(0.1), np.log(1.0)))  # half widths a second
        ramp, begin, end = rng.uniform(0.05, 0.6), rng.uniform(0.1, 0.4) * time[-1], rng.uniform(0.4, 0.8) * time[-1]
        rise = np.clip((time - begin) / ramp, 0, 1) - np.clip((time - max(end, begin + ramp)) / ramp, 0, 1)
        turn = rng.normal(0, 0.4) if rng.random() < 0.8 else rng.uniform(-np.pi, np.pi)
        path[:, :2] += (np.cumsum(rise) / rate * speed)[:, None] * [np.cos(turn), np.sin(turn)] * rng.choice([-1, 1])
        return np.asarray(np.diff(path, axis=0, prepend=path[:1]), np.float32)

    def _one(self, rng: np.random.Generator, frames: int, rate: float) -> Steps:
        if rng.random() < 0.4:
            return generate(rng, frames, rate)
        steps = self._recorded(rng, frames)
        if rng.random() < 0.25:
            steps = steps + self._recorded(rng, frames) * np.float32(rng.uniform(0.2, 1))
        return steps * np.float32(np.exp(rng.uniform(np.log(0.4), np.log(2.2))))

    def _recorded(self, rng: np.random.Generator, frames: int) -> Steps:
        steps = self.recordings[rng.integers(len(self.recordings))].steps
        if rng.random() < 0.5:
            steps = -steps[::-1]
        while len(steps) < frames:  # go back the way it came: no jump
            back = -steps[::-1]
            back[:, SHUTTER] *= -1  # what a rolling shutter makes of shifts keeps its sign to them
            steps = np.concatenate([steps, back])
        start = rng.integers(len(steps) - frames + 1)
        steps = steps[start : start + frames].copy()
        if rng.random() < 0.3:
            steps[:, [0, 1]] = steps[:, [1, 0]]
            steps[:, SHUTTER] = steps[:, SHUTTER[::-1]]  # what a rolling shutter makes of them stays theirs
            steps[:, [6, 7]] = steps[:, [7, 6]]
        return steps * rng.choice([-1.0, 1.0], LANES).astype(np.float32)
