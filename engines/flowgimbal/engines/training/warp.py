"""Trains the warp network by unrolling it on camera paths: ``flowgimbal train warp --paths FILE --out DIR``.

No pixels: in the eight lanes of global motion a step costs microseconds, so the network lives for hundreds of frames
with its own past, and the loss sees what a viewer would (``losses.py``). Frame rate, look-ahead, crop, aspect,
strength and measurement noise are drawn anew for each batch: one network for all of them. On a card a step sees
several batches, each of a form that was captured (``captured.py``), and the rest is drawn for each path. Validation:
recorded paths of clips that training never sees, at look-ahead 0, 5 and 15, and pans under them (``validation.py``).
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from flowgimbal.engines.networks.policies import Policy
from flowgimbal.engines.training.batches import NOISIEST, QUIETEST, Batch, Supply, draw_batch, pans_part
from flowgimbal.engines.training.captured import Ensemble
from flowgimbal.engines.training.paths import HELD_OUT, PathMaker, load_recordings
from flowgimbal.engines.training.run import Run, load
from flowgimbal.engines.training.settings import Form, Setting, draw_setting, forms, frames_of
from flowgimbal.engines.training.unroll import losses
from flowgimbal.engines.training.validation import POLICIES, Examiner

LARGEST = 0.5  # norm of a gradient, beyond which it is clipped
AHEAD = 6  # steps whose batches are drawn before they are learnt from

log = logging.getLogger(__name__)


class Clock:
    """When to validate: every so many steps, or seconds of training."""

    def __init__(self, run: Run[Policy], every: float, *, by_steps: bool) -> None:
        self._run, self._every, self._by_steps = run, every, by_steps
        self._last = math.floor(self._now / every)

    @property
    def _now(self) -> float:
        return self._run.step if self._by_steps else self._run.spent

    def strikes(self) -> bool:
        """Whether it is time, or the end; asked once after each step."""
        last, self._last = self._last, math.floor(self._now / self._every)
        return self._last > last or self._run.done


def step_by_setting(run: Run[Policy], maker: PathMaker, args: argparse.Namespace) -> None:
    """One step on one batch under one setting."""
    rng = np.random.default_rng([args.seed, run.step])
    torch.manual_seed(args.seed * 1_000_003 + run.step)
    setting = draw_setting(rng, args.batch)
    if args.look_ahead is not None:
        setting = replace(setting, look_ahead=args.look_ahead)
    frames = frames_of(setting.rate, args.seconds)
    pans = rng.random() < pans_part(setting.look_ahead)
    steps = torch.from_numpy((maker.draw_pans if pans else maker.draw)(rng, args.batch, frames, setting.rate))
    noise = torch.exp(torch.empty(args.batch, 1, 1).uniform_(math.log(QUIETEST), math.log(NOISIEST)))
    measured = torch.cumsum(steps + noise * torch.randn_like(steps), 1)
    path = torch.cumsum(steps, 1)
    parts = (part.to(args.device) for part in (path, measured, setting.strength))
    path, measured, strength = parts
    setting = Setting(setting.rate, setting.look_ahead, setting.crop, setting.aspect, strength)
    run.learn(losses(run.network, path, measured, setting, pans).mean(), largest=LARGEST)


class Steps:
    """Steps on several batches at once, each of one form (``settings.forms``)."""

    def __init__(self, run: Run[Policy], supply: Supply, maker: PathMaker, args: argparse.Namespace) -> None:
        self._run, self._supply, self._seed = run, supply, args.seed
        self._ordered: list[list[Form]] = []
        self._next = run.step

        def draw(form: Form) -> Batch:
            return draw_batch(maker, form, args.batch, (args.seed,))

        self._ensemble = Ensemble(
            run.network,
            forms(args.forms, args.seconds),
            draw,
            torch.device(args.device),
            groups=args.groups,
            largest=LARGEST,
            captures=args.captures,
        )

    def make(self) -> None:
        """One step."""
        while self._supply.wants_more or not self._ordered:
            picked = self._ensemble.pick(np.random.default_rng([self._seed, self._next]))
            for place, form in enumerate(picked):
                self._supply.order(form, (self._seed, self._next, place))
            self._ordered.append(picked)
            self._next += 1
        picked = self._ordered.pop(0)
        loss, gradients = self._ensemble.step(picked, [self._supply.take() for _ in picked])
        self._run.follow(loss, gradients, largest=LARGEST)


def train(args: argparse.Namespace) -> None:
    """Run or resume the training; checkpoints land in ``args.out``."""
    recordings = load_recordings(args.paths)
    held_out = [r for r in recordings if r.name in HELD_OUT and r.name.startswith("shaky")]
    learnt = [r for r in recordings if r.name not in HELD_OUT]
    maker = PathMaker(learnt)
    examiner = Examiner(args.policy, held_out, min(2, args.workers))
    supply = Supply(learnt, args.batch, args.workers if args.forms else 0, AHEAD * args.groups)
    torch.manual_seed(args.seed)
    network = POLICIES[args.policy]()
    if args.start:
        load(network, args.start)
    if args.only:
        network.requires_grad_(False).get_submodule(args.only).requires_grad_(True)
    run: Run[Policy] = Run(
        network.to(args.device),
        args.out,
        steps=args.steps,
        rate=args.rate,
        warm_up=args.warm_up,
        memory=0.995,
        seconds=60 * args.minutes if args.minutes else None,
        kept=5,
    )
    steps = Steps(run, supply, maker, args) if args.forms else None
    clock = Clock(run, args.every, by_steps=not args.minutes)
    while not run.done:
        if steps:
            steps.make()
        else:
            step_by_setting(run, maker, args)
        if clock.strikes():
            examiner.submit(run.snapshot())
        for report in examiner.reports(wait=run.done):
            run.save(report.score, report.figures, report.snapshot)
    supply.close()
    examiner.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="flowgimbal train warp", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--paths", type=Path, required=True, help="npz that `flowgimbal train paths` wrote")
    parser.add_argument("--out", type=Path, default=Path("runs/warp"), help="where checkpoints go")
    parser.add_argument("--policy", choices=tuple(POLICIES), default="lanes", help="how it sees the window")
    parser.add_argument("--steps", type=int, default=3000)
    parser.add_argument("--minutes", type=float, help="train for so long instead, captures not counted")
    parser.add_argument("--batch", type=int, help="paths of a batch; 32, on a card 256 for each group of forms")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of the paths")
    parser.add_argument("--rate", type=float, default=1e-3, help="peak learning rate")
    parser.add_argument("--warm-up", type=int, default=100, help="steps in which the learning rate rises")
    parser.add_argument("--start", type=Path, help="best.pt to begin from")
    parser.add_argument("--only", choices=("head", "trust"), help="what learns; the rest stays as it began")
    parser.add_argument("--look-ahead", type=int, help="frames; learn under this one alone")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=float, help="steps, or with --minutes seconds, between validations; 100, 20")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--forms", type=int, help="forms that stand for all settings; on a card 16, else 0: any")
    parser.add_argument("--groups", type=int, default=4, help="forms in one step, beside each other on a card")
    parser.add_argument("--captures", action=argparse.BooleanOptionalAction, default=True, help="CUDA graphs")
    parser.add_argument("--workers", type=int, help="processes that draw paths; all cores but two with forms, else 0")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    args = parser.parse_args(argv)
    card = torch.device(args.device).type == "cuda"
    args.forms = (16 if card else 0) if args.forms is None else args.forms
    if args.look_ahead is not None and args.look_ahead < 0:
        parser.error("--look-ahead is a number of frames, 0 or more")
    if args.forms and (args.only or args.look_ahead is not None):
        parser.error("--only and --look-ahead are for training without forms: say --forms 0 as well")
    args.batch = args.batch or (256 if card else 32)
    args.every = args.every or (20 if args.minutes else 100)
    if args.workers is None:
        args.workers = max(1, min(14, (os.cpu_count() or 1) - 2)) if args.forms else 0
    train(args)
    return 0


if __name__ == "__main__":
    sys.exit(main())
