"""``flowgimbal``, as a program of its own."""

from __future__ import annotations

import sys

COMMAND = (sys.executable, "-m", "flowgimbal.client.cli")
