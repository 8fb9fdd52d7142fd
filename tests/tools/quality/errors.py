"""What the caller of ``make quality`` can do something about."""

from __future__ import annotations


class QualityError(Exception):
    """The run cannot go on; the message says why."""


class ColumnError(Exception):
    """One stabilizer could not do one clip; the message says why."""
