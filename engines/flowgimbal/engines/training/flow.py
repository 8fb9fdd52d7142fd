"""Trains the flow network on rendered pairs: ``flowgimbal train flow --photos DIR --out DIR``.

Loss: at each level of the pyramid a robust end-point error (Sun et al., PWC-Net, CVPR 2018, eq. 2: (|d| + e)^q)
plus the negative log-likelihood of a Laplace distribution of the error, which teaches the network to say how sure it
is without moving the flow. Validation: photos that training never sees, rendered by fixed seeds.
"""

from __future__ import annotations

import argparse
import copy
import json
import logging
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from flowgimbal.engines.networks.flow import FlowNetwork
from flowgimbal.engines.training.scenes import Pair, SceneMaker, load_photos

HELD_OUT = ("brighton_", "opensfm")  # photo groups kept for validation

log = logging.getLogger(__name__)


def loss_of(levels: list[tuple[Tensor, Tensor]], flow: Tensor) -> Tensor:
    """Robust end-point error and Laplace likelihood over the pyramid, ``flow`` (B, 2, H / 4, W / 4) in pixels."""
    total = flow.new_zeros(())
    for (guess, log_scale), weight in zip(levels, (0.15, 0.3, 1.0), strict=True):
        truth = F.avg_pool2d(flow, flow.shape[-1] // guess.shape[-1])
        error = torch.linalg.vector_norm(guess.float() - truth, dim=1, keepdim=True)
        s = log_scale.float().clamp(-5, 5)
        likelihood = error.detach() * torch.exp(-s) + s
        total = total + weight * ((error + 0.01).pow(0.5).mean() + 0.05 * likelihood.mean())
    return total


def forward(network: FlowNetwork, pair: Pair) -> list[tuple[Tensor, Tensor]]:
    """Flow and log scale at the three levels."""
    both = network.encoder(torch.cat([pair.first, pair.second]))
    before, now = (type(both)(*(x.chunk(2)[i] for x in both)) for i in (0, 1))
    return network.match(before, now)


@torch.no_grad()
def validate(network: FlowNetwork, makers: dict[str, SceneMaker], *, batches: int = 3) -> dict[str, float]:
    """Mean end-point error in pixels of the input, for each kind of scene."""
    network.eval()
    result = {}
    for name, maker in makers.items():
        generator = torch.Generator().manual_seed(7)
        errors = []
        for _ in range(batches):
            pair = maker.draw(16, generator)
            flow, _ = forward(network, pair)[-1]
            errors.append(torch.linalg.vector_norm(flow - pair.flow, dim=1).mean())
        result[name] = float(torch.stack(errors).mean())
    network.train()
    return result


def train(args: argparse.Namespace) -> None:
    """Run or resume the training; the best and the last checkpoint land in ``args.out``."""
    paths = sorted(p for p in args.photos.rglob("*") if p.suffix in {".jpg", ".png"})
    photos = load_photos([p for p in paths if not p.name.startswith(HELD_OUT)])
    held_out = load_photos([p for p in paths if p.name.startswith(HELD_OUT)])
    makers = {
        "small": SceneMaker(held_out, hardness=0.0, largest=4.0),
        "large": SceneMaker(held_out, hardness=0.0, largest=40.0),
        "hard": SceneMaker(held_out),
    }
    device = torch.device(args.device)
    torch.manual_seed(args.seed)
    network = FlowNetwork().to(device)
    average = copy.deepcopy(network).requires_grad_(False)
    optimizer = torch.optim.AdamW(network.parameters(), lr=args.rate, weight_decay=1e-4, betas=(0.9, 0.99))
    step, best = 0, math.inf
    args.out.mkdir(parents=True, exist_ok=True)
    last = args.out / "last.pt"
    if last.exists():
        state = torch.load(last, map_location=device)
        network.load_state_dict(state["network"])
        average.load_state_dict(state["average"])
        optimizer.load_state_dict(state["optimizer"])
        step, best = state["step"], state["best"]
        log.info("resumed at step %d", step)
    began, seen, running = time.monotonic(), 0, 0.0
    while step < args.steps:
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + step)
        maker = SceneMaker(photos, hardness=min(1.0, 3 * step / args.steps))  # easy scenes first
        pair = maker.draw(args.batch, generator)
        pair = Pair(pair.first.to(device), pair.second.to(device), pair.flow.to(device))
        warm = min(1.0, step / 200)
        for group in optimizer.param_groups:
            group["lr"] = args.rate * warm * (0.5 + 0.5 * math.cos(math.pi * step / args.steps)) + 1e-6
        with torch.autocast(device.type, torch.bfloat16, enabled=args.bf16):
            levels = forward(network, pair)
        loss = loss_of(levels, pair.flow)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step, seen, running = step + 1, seen + 1, running + float(loss.detach())
        decay = min(0.998, step / (step + 50))
        with torch.no_grad():
            for mine, theirs in zip(average.parameters(), network.parameters(), strict=True):
                mine.lerp_(theirs, 1 - decay)
        if step % args.every == 0 or step == args.steps:
            errors = validate(average, makers)
            pace = (time.monotonic() - began) / seen
            log.info("step %d loss %.4f %s, %.2f s a step", step, running / seen, _figures(errors), pace)
            began, seen, running = time.monotonic(), 0, 0.0
            score = sum(math.log(x) for x in errors.values())
            state = {
                "network": network.state_dict(),
                "average": average.state_dict(),
                "optimizer": optimizer.state_dict(),
                "step": step,
                "best": min(best, score),
            }
            torch.save(state, last)
            if score < best:
                best = score
                torch.save({"network": average.state_dict(), "step": step, "errors": errors}, args.out / "best.pt")
    log.info("best score %.4f in %s", best, args.out / "best.pt")


def _figures(errors: dict[str, float]) -> str:
    return json.dumps({k: round(v, 4) for k, v in errors.items()})


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="flowgimbal train flow", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos, searched recursively")
    parser.add_argument("--out", type=Path, default=Path("runs/flow"), help="where checkpoints go")
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=250, help="steps between validations and checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True, help="convolutions in bfloat16")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    train(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
