"""The task of the present call.

gRPC keeps what was sent either way and not taken until the call is over: its client has the status, or is gone. The
task that runs the handler ends then, which may be long after the stream in it.
"""

from __future__ import annotations

import asyncio
from typing import Any


def present() -> asyncio.Task[Any]:
    """The task that this runs in."""
    task = asyncio.current_task()
    if task is None:
        raise RuntimeError("a call runs in a task")
    return task
