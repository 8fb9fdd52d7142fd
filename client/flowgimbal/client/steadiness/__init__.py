"""How steady a video is, measured from its pixels alone, with OpenCV and NumPy.

Frames are looked at as gray pictures 640 px wide; lengths are given in pixels of a picture 1280 px wide.
"""

from flowgimbal.client.steadiness.report import Comparison, Original, Report, compare

__all__ = ["Comparison", "Original", "Report", "compare"]
