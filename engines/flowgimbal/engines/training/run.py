"""A training run: one step after the other, a moving average of the weights, checkpoints to go on from."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)

FLOOR = 1e-6  # learning rate that is left at the end


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The average as it was after ``step`` steps, on the host."""

    step: int
    weights: dict[str, Tensor]


class Run(Generic[Network]):
    """Trains ``network`` for ``steps`` steps by AdamW, a short warm-up and a cosine; ``average`` is what is kept.

    With ``seconds`` it trains for that long instead, by the clock, from its first step on: the cosine ends in time
    however fast the machine is. ``out`` holds ``last.pt``, from which a new run of the same ``out`` goes on,
    ``best.pt``, the average with the best score so far, and ``curve.jsonl``, a line each time that it was scored; and
    of the averages that were scored the best ``kept``, ``step-N.pt``.
    """

    def __init__(
        self,
        network: Network,
        out: Path,
        *,
        steps: int,
        rate: float,
        warm_up: int,
        memory: float,
        seconds: float | None = None,
        kept: int = 0,
    ) -> None:
        self.network = network
        self._seconds, self._spent, self._started = seconds, 0.0, math.nan
        self._kept = kept
        self._scores: dict[int, float] = {}  # of what is kept
        self.average = copy.deepcopy(network).requires_grad_(False)
        self.steps = steps
        self.step = 0
        self._out, self._rate, self._warm_up, self._memory = out, rate, warm_up, memory
        self._optimizer = torch.optim.AdamW(network.parameters(), lr=rate, weight_decay=1e-4, betas=(0.9, 0.99))
        self._best = -math.inf
        self._clear()
        out.mkdir(parents=True, exist_ok=True)
        if (out / "last.pt").exists():
            self._resume(out / "last.pt")

    @property
    def done(self) -> bool:
        """Whether all steps were made, or the time is over."""
        return self._progress >= 1

    @property
    def spent(self) -> float:
        """Seconds since the first step, those of the runs that it goes on from included."""
        return self._spent if math.isnan(self._started) else self._spent + time.monotonic() - self._started

    @property
    def _progress(self) -> float:
        return self.step / self.steps if self._seconds is None else min(1.0, self.spent / self._seconds)

    def learn(self, loss: Tensor, *, largest: float) -> None:
        """One step down the gradient of ``loss``, its norm clipped to ``largest``; NaN is skipped."""
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self._descend(loss, largest)

    def follow(self, loss: Tensor, gradients: Iterable[Tensor], *, largest: float) -> None:
        """One step down ``gradients`` of ``loss``, one for each parameter; else as ``learn``."""
        for parameter, gradient in zip(self.network.parameters(), gradients, strict=True):
            parameter.grad = gradient
        self._descend(loss, largest)

    def _descend(self, loss: Tensor, largest: float) -> None:
        if math.isnan(self._started):
            self._started = time.monotonic()
        cosine = 0.5 + 0.5 * math.cos(math.pi * self._progress)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * min(1.0, self.step / self._warm_up) * cosine + FLOOR
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.network.parameters(), largest)):
            self._optimizer.step()
        self.step += 1
        self._seen += 1
        self._loss += float(loss.detach())
        keep = min(self._memory, self.step / (self.step + 20))
        with torch.no_grad():
            for mine, theirs in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mine.lerp_(theirs, 1 - keep)

    def snapshot(self) -> Snapshot:
        """The average as it is now."""
        weights = {name: value.detach().cpu().clone() for name, value in self.average.state_dict().items()}
        return Snapshot(self.step, weights)

    def save(self, score: float, figures: dict[str, Any], snapshot: Snapshot | None = None) -> None:
        """Write a checkpoint; ``score`` of the average, higher is better, with the ``figures`` behind it.

        With a ``snapshot`` they are of the average as it was then.
        """
        scored = snapshot or self.snapshot()
        pace = (time.monotonic() - self._began) / max(1, self._seen)
        mean = self._loss / max(1, self._seen)
        log.info("step %d loss %.4f score %.4f %s, %.2f s a step", scored.step, mean, score, figures, pace)
        with (self._out / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps({"step": scored.step, "loss": mean, "score": score, **figures}) + "\n")
        self._clear()
        checkpoint = {"network": scored.weights, "step": scored.step, "figures": figures}
        if score > self._best:
            self._best = score
            torch.save(checkpoint, self._out / "best.pt")
        self._keep(score, checkpoint)
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "best": self._best,
            "spent": self.spent,
            "scores": self._scores,
        }
        torch.save(state, self._out / "last.pt")

    def _keep(self, score: float, checkpoint: dict[str, Any]) -> None:
        if not self._kept:
            return
        torch.save(checkpoint, self._out / f"step-{checkpoint['step']}.pt")
        self._scores[checkpoint["step"]] = score
        while len(self._scores) > self._kept:
            worst = min(self._scores, key=lambda step: self._scores[step])
            del self._scores[worst]
            (self._out / f"step-{worst}.pt").unlink(missing_ok=True)

    def _resume(self, file: Path) -> None:
        state = torch.load(file, map_location=next(self.network.parameters()).device)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self._best = state["step"], state["best"]
        self._spent, self._scores = state.get("spent", 0.0), state.get("scores", {})
        log.info("resumed at step %d, best score %.4f", self.step, self._best)

    def _clear(self) -> None:
        self._began, self._seen, self._loss = time.monotonic(), 0, 0.0


def load(network: nn.Module, checkpoint: Path) -> None:
    """Fill ``network`` with the weights of a ``best.pt``."""
    network.load_state_dict(torch.load(checkpoint, map_location="cpu")["network"])
