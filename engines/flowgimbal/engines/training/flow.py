"""Trains the flow network on rendered pairs: ``flowgimbal train flow --photos DIR --out DIR``.

Loss: at each level of the pyramid a robust end-point error (Sun et al., PWC-Net, CVPR 2018, eq. 2: (|d| + e)^q)
plus the negative log-likelihood of a Laplace distribution of the error, which teaches the network to say how sure it
is without moving the flow. With ``--videos`` it learns from real frames besides, whose motion nobody knows
(``videos.py``). Validation: photos that training never sees, rendered by fixed seeds, and videos that it never sees.
"""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from flowgimbal.engines.networks.flow import Features, FlowNetwork
from flowgimbal.engines.training.run import Run, load
from flowgimbal.engines.training.scenes import Pair, SceneMaker, load_photos
from flowgimbal.engines.training.videos import VideoMaker, load_video, photometric

HELD_OUT = ("brighton_", "opensfm")  # photo groups kept for validation
HELD_OUT_VIDEOS = ("highway_dashcam", "actioncam_hike")


def loss_of(levels: list[tuple[Tensor, Tensor]], flow: Tensor) -> Tensor:
    """Robust end-point error and Laplace likelihood over the pyramid, ``flow`` (B, 2, H / 4, W / 4) in pixels."""
    total = flow.new_zeros(())
    for (guess, log_scale), weight in zip(levels, (0.1, 0.2, 0.4, 1.0), strict=True):
        truth = F.avg_pool2d(flow, flow.shape[-1] // guess.shape[-1])
        error = torch.linalg.vector_norm(guess.float() - truth, dim=1, keepdim=True)
        s = log_scale.float().clamp(-5, 5)
        likelihood = error.detach() * torch.exp(-s) + s
        total = total + weight * ((error + 0.01).pow(0.5).mean() + 0.05 * likelihood.mean())
    return total


def forward(network: FlowNetwork, pair: Pair) -> list[tuple[Tensor, Tensor]]:
    """The levels of ``Match``."""
    return network.match(*_encoded(network, pair.first, pair.second)).levels


def _encoded(network: FlowNetwork, first: Tensor, second: Tensor) -> list[Features]:
    """Features of both pictures (B, 1, H, W)."""
    both = network.encoder(torch.cat([first, second]))
    return [Features(*(x.chunk(2)[i] for x in both)) for i in (0, 1)]


def of_video(network: FlowNetwork, first: Tensor, second: Tensor) -> Tensor:
    """What the network's flow between real frames (B, 1, H, W) costs: a number."""
    before, now = _encoded(network, first, second)
    flow, back = (network.match(*way).levels[-1][0] for way in ((before, now), (now, before)))
    return photometric(first, second, flow.float(), back.float())


@torch.no_grad()
def validate(
    network: FlowNetwork,
    makers: dict[str, SceneMaker],
    videos: VideoMaker,
    device: torch.device,
    *,
    batches: int = 3,
) -> dict[str, float]:
    """Mean end-point error in pixels of the input, for each kind of scene, and what ``of_video`` costs.

    An error above 3 counts as 3.
    """
    network.eval()
    result = {}
    for name, maker in makers.items():
        generator = torch.Generator().manual_seed(7)
        errors = []
        for _ in range(batches):
            pair = maker.draw(16, generator).to(device)
            flow, _ = forward(network, pair)[-1]
            errors.append(torch.linalg.vector_norm(flow - pair.flow, dim=1).clamp(max=3.0).mean())
        result[name] = round(float(torch.stack(errors).mean()), 4)
    if videos.clips:
        generator = torch.Generator().manual_seed(7)
        pairs = [[frame.to(device) for frame in videos.draw(16, generator)] for _ in range(batches)]
        result["video"] = round(float(torch.stack([of_video(network, *pair) for pair in pairs]).mean()), 4)
    network.train()
    return result


def train(args: argparse.Namespace) -> None:
    """Run or resume the training; checkpoints land in ``args.out``."""
    paths = sorted(p for p in args.photos.rglob("*") if p.suffix in {".jpg", ".png"})
    photos = load_photos([p for p in paths if not p.name.startswith(HELD_OUT)])
    held_out = load_photos([p for p in paths if p.name.startswith(HELD_OUT)])
    makers = {
        "small": SceneMaker(held_out, hardness=0.0, largest=4.0),
        "large": SceneMaker(held_out, hardness=0.0, largest=40.0),
        "hard": SceneMaker(held_out),
    }
    size = makers["hard"].height, makers["hard"].width
    clips = {p: load_video(p, *size) for folder in args.videos for p in sorted(folder.iterdir()) if p.is_file()}
    unseen = VideoMaker([clip for p, clip in clips.items() if p.name.startswith(HELD_OUT_VIDEOS)])
    watched = VideoMaker([clip for p, clip in clips.items() if not p.name.startswith(HELD_OUT_VIDEOS)])
    device = torch.device(args.device)
    torch.manual_seed(args.seed)
    network = FlowNetwork()
    if args.start:
        load(network, args.start)
    run = Run(network.to(device), args.out, steps=args.steps, rate=args.rate, warm_up=200, memory=0.998)
    while not run.done:
        generator = torch.Generator().manual_seed(args.seed * 1_000_003 + run.step)
        maker = SceneMaker(photos, hardness=min(1.0, 0.2 + 3 * run.step / args.steps))  # easy scenes first
        pair = maker.draw(args.batch, generator).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=args.bf16):
            levels = forward(run.network, pair)
        loss = loss_of(levels, pair.flow)
        if watched.clips:
            frames = (frame.to(device) for frame in watched.draw(max(1, args.batch // 2), generator))
            loss = loss + args.video_weight * of_video(run.network, *frames)
        run.learn(loss, largest=1.0)
        if run.step % args.every == 0 or run.done:
            errors = validate(run.average, makers, unseen, device)
            run.save(-sum(math.log(error) for error in errors.values()), errors)


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(prog="flowgimbal train flow", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--photos", type=Path, required=True, help="folder of photos, searched recursively")
    parser.add_argument("--videos", type=Path, nargs="*", default=[], help="folders of clips to learn from, besides")
    parser.add_argument("--video-weight", type=float, default=0.3, help="of what they teach against what is rendered")
    parser.add_argument("--out", type=Path, default=Path("runs/flow"), help="where checkpoints go")
    parser.add_argument("--steps", type=int, default=12000)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--rate", type=float, default=8e-4, help="peak learning rate")
    parser.add_argument("--start", type=Path, help="best.pt to begin from")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--every", type=int, default=250, help="steps between validations and checkpoints")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=True, help="convolutions in bfloat16")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s", stream=sys.stderr)
    train(parser.parse_args(argv))
    return 0


if __name__ == "__main__":
    sys.exit(main())
