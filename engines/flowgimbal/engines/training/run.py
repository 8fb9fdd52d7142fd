"""A training run: one step after the other, a moving average of the weights, checkpoints to go on from."""

from __future__ import annotations

import copy
import json
import logging
import math
import time
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

Network = TypeVar("Network", bound=nn.Module)

FLOOR = 1e-6  # learning rate that is left at the end


class Run(Generic[Network]):
    """Trains ``network`` for ``steps`` steps by AdamW, a short warm-up and a cosine; ``average`` is what is kept.

    ``out`` holds ``last.pt``, from which a new run of the same ``out`` goes on, ``best.pt``, the average with the best
    score so far, and ``curve.jsonl``, a line each time that it was scored.
    """

    def __init__(self, network: Network, out: Path, *, steps: int, rate: float, warm_up: int, memory: float) -> None:
        self.network = network
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
        """Whether all steps were made."""
        return self.step >= self.steps

    def learn(self, loss: Tensor, *, largest: float) -> None:
        """One step down the gradient of ``loss``, its norm clipped to ``largest``; NaN is skipped."""
        cosine = 0.5 + 0.5 * math.cos(math.pi * self.step / self.steps)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * min(1.0, self.step / self._warm_up) * cosine + FLOOR
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        if torch.isfinite(torch.nn.utils.clip_grad_norm_(self.network.parameters(), largest)):
            self._optimizer.step()
        self.step += 1
        self._seen += 1
        self._loss += float(loss.detach())
        keep = min(self._memory, self.step / (self.step + 20))
        with torch.no_grad():
            for mine, theirs in zip(self.average.parameters(), self.network.parameters(), strict=True):
                mine.lerp_(theirs, 1 - keep)

    def save(self, score: float, figures: dict[str, Any]) -> None:
        """Write a checkpoint; ``score`` of the average, higher is better, with the ``figures`` behind it."""
        pace = (time.monotonic() - self._began) / max(1, self._seen)
        mean = self._loss / max(1, self._seen)
        log.info("step %d loss %.4f score %.4f %s, %.2f s a step", self.step, mean, score, figures, pace)
        with (self._out / "curve.jsonl").open("a") as curve:
            curve.write(json.dumps({"step": self.step, "loss": mean, "score": score, **figures}) + "\n")
        self._clear()
        if score > self._best:
            self._best = score
            torch.save(
                {"network": self.average.state_dict(), "step": self.step, "figures": figures}, self._out / "best.pt"
            )
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "step": self.step,
            "best": self._best,
        }
        torch.save(state, self._out / "last.pt")

    def _resume(self, file: Path) -> None:
        state = torch.load(file, map_location=next(self.network.parameters()).device)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self._optimizer.load_state_dict(state["optimizer"])
        self.step, self._best = state["step"], state["best"]
        log.info("resumed at step %d, best score %.4f", self.step, self._best)

    def _clear(self) -> None:
        self._began, self._seen, self._loss = time.monotonic(), 0, 0.0


def load(network: nn.Module, checkpoint: Path) -> None:
    """Fill ``network`` with the weights of a ``best.pt``."""
    network.load_state_dict(torch.load(checkpoint, map_location="cpu")["network"])
