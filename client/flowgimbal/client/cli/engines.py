"""``flowgimbal engines info|build``: forwards to the engines' own account of themselves, and to their builder."""

from __future__ import annotations

from importlib import import_module

from flowgimbal.client.cli.console import say
from flowgimbal.client.cli.options import UsageError

_ACTIONS = ("info", "build")


def run_arguments(arguments: list[str]) -> int:
    """Run an action with the arguments that follow its name."""
    if arguments[:1] in (["-h"], ["--help"]):
        say(f"usage: flowgimbal engines {{{','.join(_ACTIONS)}}} [options]; --help after build tells of them")
        return 0
    if not arguments or arguments[0] not in _ACTIONS:
        raise UsageError(f"say what to do: {' or '.join(_ACTIONS)}")
    if arguments[0] == "info" and arguments[1:]:
        raise UsageError(f"info takes no options, not {' '.join(arguments[1:])}")
    return int(import_module(f"flowgimbal.engines.{arguments[0]}").main(arguments[1:]))
