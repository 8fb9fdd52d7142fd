"""Flag over environment over TOML file over default: the four layers of a command's options."""

from __future__ import annotations

import argparse
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from flowgimbal.client.cli.options import Option, UsageError, add_flags, options_of

Config = TypeVar("Config")

PREFIX = "FLOWGIMBAL_"
FILE_VARIABLE = "FLOWGIMBAL_CONFIG"

# Kubernetes tells every container about every service: one that is called flowgimbal-something looks like ours.
_KUBERNETES = re.compile(r"FLOWGIMBAL_(\w+_)?(SERVICE_(HOST|PORT)(_\w+)?|PORT(_\d+_(TCP|UDP|SCTP)(_\w+)?)?)")


def configure(
    config: type[Config],
    command: str,
    description: str,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    others: Collection[str] = (),
    commands: Collection[str] = (),
) -> Config:
    """The command's options, resolved. ``others`` are the option names of the other ``commands``, which may stand in
    the environment and the file and are not for us.

    Raises UsageError, naming the key and where it stands, for an unknown key or a value that does not fit.
    """
    options = {option.name: option for option in options_of(config)}
    parser = argparse.ArgumentParser(f"flowgimbal {command}", description=description, allow_abbrev=False)
    add_flags(parser, tuple(options.values()))
    parser.add_argument("--config", metavar="FILE", help=f"TOML file with these options (or {FILE_VARIABLE})")
    flags = vars(parser.parse_args(arguments))
    path = flags.pop("config") or environ.get(FILE_VARIABLE)
    keyed = {name: option for name, option in options.items() if not option.positional}
    known = {*keyed, *others}
    values = _from_file(path, command, keyed, known, commands) if path else {}
    values |= _from_environment(environ, keyed, known)
    values |= _from_flags(flags, options)
    try:
        return config(**values)
    except ValueError as error:
        raise UsageError(str(error)) from error


def _from_flags(flags: Mapping[str, Any], options: Mapping[str, Option]) -> dict[str, Any]:
    values = {}
    for name, value in flags.items():
        option = options[name]
        as_is = option.many or isinstance(value, bool)
        values[name] = (
            (tuple(value) if option.many else value) if as_is else option.read(value, option.positional or option.flag)
        )
    return values


def _from_environment(
    environ: Mapping[str, str], options: Mapping[str, Option], known: Collection[str]
) -> dict[str, Any]:
    values = {}
    for variable, text in environ.items():
        if not variable.startswith(PREFIX) or variable == FILE_VARIABLE or _KUBERNETES.fullmatch(variable):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in known:
            raise UsageError(f"{variable}: unknown option in the environment")
        if name in options:
            values[name] = options[name].read(text, variable)
    return values


def _from_file(
    path: str, command: str, options: Mapping[str, Option], known: Collection[str], commands: Collection[str]
) -> dict[str, Any]:
    """Keys at the top are for every command that knows them, those of ``[command]`` for that one alone."""
    try:
        document = tomllib.loads(Path(path).read_text("utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"--config {path}: {error}") from error
    values = {}
    for key, value in document.items():
        if isinstance(value, dict) and key in commands:
            continue
        if key not in known:
            raise UsageError(f"{key}: unknown key in {path}")
        if key in options:
            values[key] = options[key].check(value, f"{key} in {path}")
    for key, value in document.get(command, {}).items():
        if key not in options:
            raise UsageError(f"{command}.{key}: unknown key in {path}")
        values[key] = options[key].check(value, f"{command}.{key} in {path}")
    return values
