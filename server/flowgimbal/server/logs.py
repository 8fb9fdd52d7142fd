"""Log lines, as text or as JSON; the stream's name is on every line that a stream writes."""

from __future__ import annotations

import json
import logging
import sys
import threading
from contextvars import ContextVar
from types import TracebackType

logger = logging.getLogger(__name__)

stream_id: ContextVar[str] = ContextVar("stream_id", default="-")
"""The stream in whose name the present task or thread runs."""

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "stream_id", "taskName"}


_ExcInfo = tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None]


class _StreamId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.stream_id = stream_id.get()
        return True


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s [%(stream_id)s] %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        words = [super().formatMessage(record), *(f"{key}={value}" for key, value in _extra(record).items())]
        return _printable(" ".join(words))

    def formatException(self, ei: _ExcInfo) -> str:  # noqa: N802 - logging's name
        # Indented: what an exception quotes from a client cannot begin a line as we do.
        return "\n".join(f"    {_printable(line)}" for line in super().formatException(ei).splitlines())


class _Json(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "stream_id": getattr(record, "stream_id", "-"),
            "message": record.getMessage(),
            **_extra(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure(log_format: str, level: int) -> None:
    """Send the process's log to stderr, ``flowgimbal`` from ``level`` on and libraries from warnings on.

    ``log_format`` is text or json. Warnings and exceptions that nobody caught are lines of it, too. Replaces what was
    set up before.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    handler.addFilter(_StreamId())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("flowgimbal").setLevel(level)
    logging.captureWarnings(True)
    sys.excepthook = _uncaught
    threading.excepthook = lambda found: _uncaught(found.exc_type, found.exc_value, found.exc_traceback)


def last_words(log_format: str, message: str) -> None:
    """Say on stderr why the server cannot start: bare in text, for people at a terminal; in JSON a line like others."""
    if log_format == "json":
        fields = {"name": "flowgimbal.server", "levelno": logging.CRITICAL, "levelname": "CRITICAL", "msg": message}
        line = _Json().format(logging.makeLogRecord(fields))
    else:
        line = _printable(message)
    sys.stderr.write(f"{line}\n")


def _uncaught(kind: type[BaseException], error: BaseException | None, trace: TracebackType | None) -> None:
    logger.critical("nobody caught this", exc_info=(kind, error or kind(), trace))


def _printable(text: str) -> str:
    """``text`` on one line: what a client sent may hold line breaks, and what a terminal obeys."""
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode("ascii") for letter in text
    )


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _PLAIN}
