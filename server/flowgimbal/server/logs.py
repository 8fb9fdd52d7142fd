"""Log lines, as text or as JSON; the stream's name is on every line that a stream writes."""

from __future__ import annotations

import json
import logging
import sys
from contextvars import ContextVar

stream_id: ContextVar[str] = ContextVar("stream_id", default="-")
"""The stream in whose name the present task or thread runs."""

_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "stream_id", "taskName"}


class _StreamId(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        record.stream_id = stream_id.get()
        return True


class _Text(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s [%(stream_id)s] %(message)s")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        return " ".join([super().formatMessage(record), *(f"{key}={value}" for key, value in _extra(record).items())])


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
    """Send the log of ``flowgimbal`` to stderr; ``log_format`` is text or json. Replaces what was set up before."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if log_format == "json" else _Text())
    handler.addFilter(_StreamId())
    logger = logging.getLogger("flowgimbal")
    logger.handlers[:] = [handler]
    logger.setLevel(level)
    logger.propagate = False


def _extra(record: logging.LogRecord) -> dict[str, object]:
    return {key: value for key, value in vars(record).items() if key not in _PLAIN}
