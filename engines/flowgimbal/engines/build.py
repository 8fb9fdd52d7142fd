"""Compiles the networks for this machine's card: ``flowgimbal engines build``. Exit code 3 where that cannot be."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from flowgimbal.engines.engine import EngineError
from flowgimbal.engines.gpu.cache import PlanCache, default_folder
from flowgimbal.engines.gpu.plans import Plans
from flowgimbal.engines.gpu.surroundings import BUILDERS, find_builder, find_card, find_driver
from flowgimbal.engines.weights import HALF

NO_START = 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Build every plan that the cache lacks, and say what was done."""
    parser = argparse.ArgumentParser(prog="flowgimbal engines build", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--builder", choices=BUILDERS, default="", help="default: the first that is installed")
    parser.add_argument("--cache", type=Path, default=default_folder(), help="where plans are kept (%(default)s)")
    parser.add_argument("--card", type=int, default=0, help="index of the card")
    parser.add_argument("--again", action="store_true", help="build also what is there")
    args = parser.parse_args(arguments)
    try:
        trt = find_builder(args.builder)
        card = find_card(find_driver(), args.card)
        _build_all(Plans(trt, card, PlanCache(args.cache)), again=args.again)
    except (EngineError, OSError) as error:
        sys.stderr.write(f"flowgimbal engines build: {error}\n")
        return NO_START
    return 0


def _build_all(plans: Plans, *, again: bool) -> None:
    sys.stdout.write(f"{plans.builder} for {plans.card}, into {plans.cache.folder}\n")
    for network in HALF:
        why = plans.why_not(network)
        if not why and not again:
            sys.stdout.write(f"  {network:<16} is there\n")
            continue
        plan, seconds = plans.build(network, _teller(network))
        sys.stdout.write(f"  {network:<16} {why or 'built again'}: {len(plan) / 1e6:.1f} MB, {seconds:.1f} s\n")


def _teller(network: str) -> Callable[[str, int, int], None] | None:
    """A line on stderr that redraws itself; None where stderr is no terminal."""
    if not sys.stderr.isatty():
        return None

    def tell(phase: str, done: int, total: int) -> None:
        sys.stderr.write(f"\r\x1b[K  {network}: {phase} {done}/{total}\r")
        sys.stderr.flush()

    return tell


if __name__ == "__main__":
    sys.exit(main())
