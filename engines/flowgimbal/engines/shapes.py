"""Shapes at the seam between the networks and those who run them."""

from __future__ import annotations

from flowgimbal.engines.forecast import HORIZONS
from flowgimbal.engines.timeline import BINS

# The flow network.
STRIDE = 4  # input pixels per cell of a flow field
MULTIPLE = 16  # sides of the input are multiples of this
AREA = 320 * 180  # pixels of the input, about
FEATURES = ("picture", "quarter", "eighth", "sixteenth")  # what is remembered of the frame before
KEYS = (16, 24, 48)  # channels that are matched at 1/4, 1/8 and 1/16
MATCHED = ("matched", "matched_log_scale")  # between its parts: flow and log of its scale before the polishing step
STEPPED = ("change", "step", "tell")  # and what that step makes of them
COMPONENTS = 8  # principal components of flow beyond the eight fields of a homography

# The warp network.
ROWS, COLUMNS = 9, 13  # lattice over the visible part of the picture
RAW = 2 * BINS  # taps of the raw path: past bins, then future bins
SHOWN = BINS + 1  # taps of the shown path: the last frame, then past bins
TAPS = RAW + SHOWN + len(HORIZONS) + 1  # then the raw path as it is forecast, and last the plan
CONDITIONS = 4  # strength, log(30 x seconds per frame), log(10 x crop ratio), log(height / width)
