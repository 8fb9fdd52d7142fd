"""What a client may ask for: picture sizes, and places for streams, observers and other calls that last."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from flowgimbal.server import call
from flowgimbal.server.errors import FrameTooLarge, InvalidArgument, TooMany

MAX_SIDE = 16_384
"""Longest side of a picture [pixels]: OpenCV's remap counts pixels in 16 bits with a sign."""

RETRY_AFTER_SECONDS = 1.0
LINGER_SECONDS = 2.0
"""For the status of what has ended to reach its client: it waits behind the frames that were written before it."""


def check_size(width: int, height: int, max_pixels: int) -> None:
    """Raise InvalidArgument for an empty picture, FrameTooLarge for one above the limits. Units: pixels."""
    if width <= 0 or height <= 0:
        message = f"a frame of {width}x{height} has no pixels; set width and height"
        raise InvalidArgument("FRAME_EMPTY", message, width=width, height=height)
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise FrameTooLarge(
            "FRAME_TOO_LARGE",
            f"a frame of {width}x{height} is above this server's limit of {max_pixels} pixels"
            f" and {MAX_SIDE} a side; send smaller frames or raise max_frame_pixels",
            width=width,
            height=height,
            max_frame_pixels=max_pixels,
        )


class Places:
    """Counts what runs, streams for one, and what has ended in calls that are not over. Belongs to the event loop.

    A client that neither reads nor hangs up could have any number of the latter, and gRPC keeps what they hold.
    """

    def __init__(self, limit: int, what: str, whose: str = "this server", *, fixed: bool = False) -> None:
        """``what`` they are called, and ``whose`` they are.

        ``max_{what}`` is the setting behind ``limit``, unless it is ``fixed``.
        """
        self.limit = limit
        self._what = what
        self._whose = whose
        self._advice = "retry later" if fixed else f"retry later or raise max_{what}"
        self._takers: set[asyncio.Task[Any]] = set()

    @property
    def taken(self) -> int:
        """How many there are now."""
        return len(self._takers)

    @contextmanager
    def take(self) -> Iterator[None]:
        """Hold a place; raises TooMany, with a time to retry after, if there is none.

        It is free at the end, and taken again, above the limit if need be, while the call lingers.
        """
        if self.taken >= self.limit:
            raise TooMany(
                f"TOO_MANY_{self._what.upper()}",
                f"all {self.limit} {self._what} of {self._whose} are in use; {self._advice}",
                retry_after_seconds=RETRY_AFTER_SECONDS,
                **{f"max_{self._what}": self.limit},
            )
        taker = call.present()
        self._takers.add(taker)
        try:
            yield
        finally:
            self._takers.remove(taker)
            late = asyncio.get_running_loop().call_later(LINGER_SECONDS, self._takers.add, taker)

            def leave(_: object) -> None:
                late.cancel()
                self._takers.discard(taker)

            taker.add_done_callback(leave)
