"""Files that ship with the client; ``bundled.md`` says where the clip comes from."""

from __future__ import annotations

from pathlib import Path

BUNDLED_CLIP = Path(__file__).with_name("bundled.mp4")
"""A really shaky clip: 640x360, 25 frames/s, 125 frames."""
