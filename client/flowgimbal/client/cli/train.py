"""``flowgimbal train NAME``: forwards to the trainings, which need torch."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from flowgimbal.client.cli.console import say
from flowgimbal.client.cli.options import UsageError

_PARTS = {
    "flow": "training.flow",
    "warp": "training.warp",
    "paths": "training.recorded",
    "components": "training.components",
    "forecast": "training.forecasts",
    "quantise": "training.quantise",
    "accuracy": "training.accuracy",
    "export": "export",
}


def run_arguments(arguments: list[str]) -> int:
    """Run a training with the arguments that follow its name."""
    if arguments[:1] in (["-h"], ["--help"]):
        say(f"usage: flowgimbal train {{{','.join(_PARTS)}}} [options]; --help after the name tells of them")
        return 0
    if not arguments or arguments[0] not in _PARTS:
        raise UsageError(f"say what to train: {', '.join(_PARTS)}")
    if arguments[0] != "paths" and find_spec("torch") is None:
        raise UsageError("training needs torch: pip install 'flowgimbal[train]'")
    training = import_module(f"flowgimbal.engines.{_PARTS[arguments[0]]}")
    try:
        return int(training.main(arguments[1:]) or 0)
    except FileNotFoundError as error:
        raise UsageError(f"{error.filename}: {error.strerror}") from error
