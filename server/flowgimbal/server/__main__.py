"""A bare server, without the CLI: ``python -m flowgimbal.server --listen 127.0.0.1:0``.

Every field of ``ServeConfig`` but the secrets is a flag; the log, on stderr, says where it serves. Exit 2 for a bad
flag, 3 when start-up fails.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import sys

from flowgimbal.server import logs
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import StartupError
from flowgimbal.server.supervisor import supervise


def main(arguments: list[str] | None = None) -> int:
    """Serve until a signal; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m flowgimbal.server", description="Serve streams.")
    for field in dataclasses.fields(ServeConfig):
        flag = "--" + field.name.replace("_", "-")
        if field.metadata.get("secret"):
            continue
        if isinstance(field.default, tuple):
            parser.add_argument(flag, action="append", help=field.metadata["help"])
        elif isinstance(field.default, bool):
            parser.add_argument(flag, action="store_true", help=field.metadata["help"])
        else:
            kind = type(field.default)
            parser.add_argument(flag, type=kind, default=field.default, help=field.metadata["help"])
    values = vars(parser.parse_args(arguments))
    values["listen"] = tuple(values["listen"] or ServeConfig().listen)
    try:
        config = ServeConfig(**values)
    except ValueError as error:
        parser.error(str(error))
    try:
        asyncio.run(supervise(config))
    except StartupError as error:
        logs.last_words(config.log_format, f"flowgimbal: {error}")
        return 3
    return 0


if __name__ == "__main__":
    sys.exit(main())
