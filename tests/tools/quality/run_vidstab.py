"""PyPI's vidstab over one file, with its defaults; runs in the peers' own environment.

    run_vidstab.py IN OUT.avi

The only thing that is not its default is the codec: FFV1 loses nothing.
"""

from __future__ import annotations

import sys

import cv2
from vidstab import VidStab


def main() -> int:
    source, output = sys.argv[1:3]
    # It closes windows when it is done; a build without windows (headless) refuses to.
    cv2.destroyAllWindows = lambda: None
    VidStab().stabilize(source, output, output_fourcc="FFV1", show_progress=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
