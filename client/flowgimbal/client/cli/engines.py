"""``flowgimbal engines info``: forwards to the engines' own account of themselves."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

from flowgimbal.client.cli.console import say
from flowgimbal.client.cli.options import UsageError

_ACTIONS = ("info",)


def run_arguments(arguments: list[str]) -> int:
    """Run an action."""
    if arguments[:1] in (["-h"], ["--help"]):
        say(f"usage: flowgimbal engines {{{','.join(_ACTIONS)}}}")
        return 0
    if not arguments or arguments[0] not in _ACTIONS:
        raise UsageError(f"say what to do: {' or '.join(_ACTIONS)}")
    if find_spec(f"flowgimbal.engines.{arguments[0]}") is None:
        raise UsageError(f"this release has no `engines {arguments[0]}` yet")
    if arguments[1:]:
        raise UsageError(f"{arguments[0]} takes no options, not {' '.join(arguments[1:])}")
    return int(import_module(f"flowgimbal.engines.{arguments[0]}").main())
