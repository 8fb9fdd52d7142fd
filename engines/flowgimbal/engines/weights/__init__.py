"""The networks' files."""

from __future__ import annotations

from importlib.resources import files

HALF = ("flow", "warp_dense", "warp_homography", "warp_transformer")
"""Networks of which there is a ``half/NAME.onnx`` too: fp16 where it costs nothing, for the card."""


def load(name: str) -> bytes:
    """The file called ``name``, a path within this folder."""
    return files(__name__).joinpath(name).read_bytes()
