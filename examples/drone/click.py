"""Where a click on the newest steady picture lies in the vehicle's own: python click.py SIDECAR X Y."""

import json
import sys
from pathlib import Path

import numpy as np

sidecar, x, y = Path(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
newest = json.loads(sidecar.read_text().rstrip("\n").splitlines()[-1])
to_steady = np.array(newest["transform"]).reshape(3, 3)  # pixel of the raw picture -> pixel of the steady one
raw = np.linalg.inv(to_steady) @ (x, y, 1)
sys.stdout.write(f"frame {newest['frame_id']}: raw {raw[0] / raw[2]:.1f} {raw[1] / raw[2]:.1f}\n")
