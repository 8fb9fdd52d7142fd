"""Shapes at the seam between the networks and those who run them."""

from __future__ import annotations

from typing import NamedTuple

from flowgimbal.engines.forecast import HORIZONS
from flowgimbal.engines.timeline import BINS


class Level(NamedTuple):
    """A level of matching: it looks ``radius`` cells around, and ``context``: at the keys themselves too."""

    radius: int
    context: bool


# The flow network.
STRIDE = 4  # input pixels per cell of a flow field
MULTIPLE = 16  # sides of the input are multiples of this
AREA = 320 * 180  # pixels of the input, about
FEATURES = ("picture", "quarter", "eighth", "sixteenth")  # what is remembered of the frame before
KEYS = (16, 24, 48)  # channels that are matched at 1/4, 1/8 and 1/16
LEVELS = {"coarse": Level(4, True), "middle": Level(2, True), "fine": Level(1, False)}  # at 1/16, 1/8 and 1/4
SHARPNESS = "sharpness"  # of a level's best match: a number, in the metadata of its part
POLISHED = ("matched", "matched_log_scale", "hidden", "change", "step", "tell")  # what the last of its parts takes
BLOCK = 16  # channels that a CPU convolves at a time: an input of another number is convolved twice as slowly
COMPONENTS = 8  # principal components of flow beyond the eight fields of a homography

# The warp network.
ROWS, COLUMNS = 9, 13  # lattice over the visible part of the picture
RAW = 2 * BINS  # taps of the raw path: past bins, then future bins
SHOWN = BINS + 1  # taps of the shown path: the last frame, then past bins
TAPS = RAW + SHOWN + len(HORIZONS) + 1  # then the raw path as it is forecast, and last the plan
CONDITIONS = 4  # strength, log(30 x seconds per frame), log(10 x crop ratio), log(height / width)
