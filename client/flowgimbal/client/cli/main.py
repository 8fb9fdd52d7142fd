"""The entry point: finds the command, reads its options, and turns what goes wrong into one line and an exit code.

0: done; 1: it failed; 2: called in a way that cannot be meant; 3: a server could not start; 130: interrupted.
"""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from typing import Any, NoReturn

from flowgimbal.client.cli.console import complain
from flowgimbal.client.cli.layers import configure
from flowgimbal.client.cli.options import UsageError, options_of
from flowgimbal.client.errors import FlowgimbalError, FrameTooLarge, InvalidRequest
from flowgimbal.client.memory import keep_freed_memory

COMMANDS = {
    "serve": "serve streams until SIGTERM",
    "stabilize": "steady a video file: IN OUT",
    "demo": "steady the bundled clip and say by how much",
    "evaluate": "measure how much steadier OUT is than IN, from pixels",
    "health": "ask a server whether it takes streams",
    "live": "a camera or a stream through the service to other streams and files, for days",
    "bench": "measure speed, latency, CPU and memory",
    "engines": "info: the engines that can run here; build: compile the networks for a card",
    "train": "flow | warp: train a network (needs flowgimbal[train]); paths: measure camera paths for it",
}
"""Each is a module of this package: ``Config`` and ``run(config)``, or ``run_arguments(arguments)`` to forward them."""

THREADS = "flowgimbal-"
"""How the names of the threads begin that read sources and write sinks."""

OK, FAILED, USAGE, NO_START, INTERRUPTED = 0, 1, 2, 3, 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``flowgimbal`` with ``arguments`` (default: the process's) and return its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # A library's log lines are for those who configure logging; `serve` does, the other commands speak for themselves.
    logging.getLogger("flowgimbal").addHandler(logging.NullHandler())
    if not arguments or arguments[0].startswith("-") or arguments[0] not in COMMANDS:
        return _outside(arguments)
    command, rest = arguments[0], arguments[1:]
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # before gRPC is imported: its core's lines repeat our errors
    keep_freed_memory()
    try:
        with _terminable():
            return _run(command, rest)
    except (UsageError, InvalidRequest) as error:
        complain(f"flowgimbal {command}: {_line(error)}")
        return FAILED if isinstance(error, FrameTooLarge) else USAGE
    except FlowgimbalError as error:
        complain(f"flowgimbal {command}: {_line(error)}")
        return FAILED
    except KeyboardInterrupt:
        complain(f"flowgimbal {command}: interrupted")
        return INTERRUPTED


def entry() -> NoReturn:
    """``main`` as a process of its own, and its end.

    A read that waits for a camera, or a sink that nobody reads, cannot be broken off. When the interpreter ended under
    such a thread, the process could crash after all was done: it is left without more ado.
    """
    code = main()
    if any(thread.name.startswith(THREADS) for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM is Ctrl-C to the commands: they clean up. While an event loop runs, ``interrupt`` sees to it."""
    try:
        before = signal.signal(signal.SIGTERM, _interrupt)
    except ValueError:  # not the main thread: a program calls us, and signals are its own business
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _run(command: str, arguments: Sequence[str]) -> int:
    module = _module(command)
    if hasattr(module, "run_arguments"):
        return int(module.run_arguments(list(arguments)))
    configs = [_module(name) for name in COMMANDS]
    others = {option.name for other in configs if hasattr(other, "Config") for option in options_of(other.Config)}
    description = COMMANDS[command]
    config = configure(module.Config, command, description, arguments, os.environ, others, COMMANDS)
    return int(module.run(config))


def _module(command: str) -> Any:
    return import_module(f"flowgimbal.client.cli.{command}")


def _outside(arguments: Sequence[str]) -> int:
    width = max(map(len, COMMANDS)) + 2
    listing = "\n".join(f"  {name:{width}}{text}" for name, text in COMMANDS.items())
    parser = argparse.ArgumentParser(
        "flowgimbal",
        description="A software gimbal: a shaky stream goes in, a steady stream comes out.",
        epilog=f"commands:\n{listing}\n\n`flowgimbal COMMAND --help` tells of its options.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"flowgimbal {metadata.version('flowgimbal')}")
    parser.add_argument("command", metavar="COMMAND", choices=tuple(COMMANDS))
    parser.parse_args(arguments)
    return USAGE


def _line(error: BaseException) -> str:
    return " ".join(str(error).split())
