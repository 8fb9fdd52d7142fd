"""The options of a command, derived from the dataclass that holds their defaults.

A field is a flag (``--max-streams``), an environment variable (``FLOWGIMBAL_MAX_STREAMS``) and a TOML key
(``max_streams``), in falling order of weight. Its type says what it takes: str, int, float, bool, an enum, any of them
or None, or a tuple of strings (a flag to repeat, a list in TOML, commas in the environment). Metadata: ``help``;
``secret`` (no flag: whoever lists the processes reads the command line);
``choices``; ``one`` (the name of a flag to repeat) and ``separator`` (in the environment) of a tuple; ``default`` (what
the help says of the default where that is not the value); ``positional`` (the name that the help gives to an argument
without a flag).
"""

from __future__ import annotations

import argparse
import types
import typing
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields
from enum import StrEnum
from typing import Any

from flowgimbal.client.errors import FlowgimbalError


class UsageError(Exception):
    """The command was called in a way that cannot be meant; the message names the option."""


@contextmanager
def usage_errors() -> Iterator[None]:
    """A ValueError of the block, such as a file that an option names and that cannot be read, is a UsageError."""
    try:
        yield
    except FlowgimbalError:
        raise  # some are ValueErrors, too
    except ValueError as error:
        raise UsageError(str(error)) from error


@dataclass(frozen=True)
class Option:
    """One field of a command's dataclass. ``kind`` is its type without the None."""

    name: str
    kind: type
    help: str
    default: Any
    choices: tuple[str, ...]
    positional: str
    many: bool
    one: str
    separator: str
    secret: bool

    @property
    def flag(self) -> str:
        """As on the command line."""
        return "--" + self.one.replace("_", "-")

    @property
    def variable(self) -> str:
        """As in the environment."""
        return "FLOWGIMBAL_" + self.name.upper()

    def read(self, text: str, origin: str) -> Any:
        """``text`` as a value; UsageError, naming ``origin``, if it is none."""
        if self.many:
            return tuple(part.strip() for part in text.split(self.separator) if part.strip())
        if self.kind is bool:
            truth = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}.get(text.lower())
            if truth is None:
                raise UsageError(f"{origin}: {text!r} is neither true nor false")
            return truth
        if self.choices and text not in self.choices:
            raise UsageError(f"{origin}: {text!r} is none of {', '.join(self.choices)}")
        try:
            return self.kind(text)
        except ValueError:
            wanted = "a whole number" if self.kind is int else "a number"
            raise UsageError(f"{origin}: {text!r} is not {wanted}") from None

    def check(self, value: Any, origin: str) -> Any:
        """A TOML value as a value of this option; UsageError, naming ``origin``, for another type."""
        if self.many:
            if isinstance(value, list) and all(isinstance(part, str) for part in value):
                return tuple(value)
            raise UsageError(f"{origin}: {value!r} is not a list of strings")
        if self.kind is float and type(value) is int:
            return float(value)
        if isinstance(value, str) and issubclass(self.kind, str):
            return self.read(value, origin)
        if type(value) is self.kind:
            return value
        raise UsageError(f"{origin}: {value!r} is not of type {'str' if self.choices else self.kind.__name__}")


def options_of(config: type) -> tuple[Option, ...]:
    """The options that a command's dataclass declares."""
    hints = typing.get_type_hints(config)
    return tuple(_option(field, hints[field.name]) for field in fields(config))


def add_flags(parser: argparse.ArgumentParser, options: Sequence[Option]) -> None:
    """Teach ``parser`` the options. What is not given is absent from the result: the layers below decide."""
    for option in options:
        if option.secret:
            continue
        if option.positional:
            parser.add_argument(option.name, metavar=option.positional, help=option.help)
            continue
        common: dict[str, Any] = {"dest": option.name, "default": argparse.SUPPRESS, "help": _help(option)}
        if option.kind is bool:
            parser.add_argument(option.flag, action=argparse.BooleanOptionalAction, **common)
        else:
            metavar = "{" + ",".join(option.choices) + "}" if option.choices else option.kind.__name__.upper()
            action = "append" if option.many else "store"
            parser.add_argument(option.flag, action=action, metavar=metavar, **common)


def _option(field: Any, hint: Any) -> Option:
    kind = hint
    if isinstance(hint, types.UnionType):
        kind = next(part for part in typing.get_args(hint) if part is not type(None))
    many = typing.get_origin(kind) is tuple
    if many:
        kind = typing.get_args(kind)[0]
    choices = tuple(field.metadata.get("choices", ()))
    if issubclass(kind, StrEnum):
        choices = tuple(str(member) for member in kind)
    default = None if field.default is MISSING else field.default
    meta = field.metadata
    said = meta.get("default")
    return Option(
        field.name,
        kind,
        meta.get("help", "") + (f" (default: {said})" if said else ""),
        default,
        choices,
        meta.get("positional", ""),
        many,
        meta.get("one", field.name),
        meta.get("separator", ","),
        meta.get("secret", False),
    )


def _help(option: Option) -> str:
    text = option.help
    if option.many:
        text += "; may be repeated"
    if option.default not in (None, "", (), False) and "(default:" not in text:
        shown = ", ".join(option.default) if option.many else option.default
        text += f" (default: {shown})"
    return text.replace("%", "%%")
