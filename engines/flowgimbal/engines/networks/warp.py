"""The warp network: from the window of motion and the path already shown to the dense warp of the frame that is due.

It decides in the eight lanes of global motion (``motion.py``), each under the same small network, and gives the
warp as a field: a kernel over time, predicted from what it sees (Jia et al., Dynamic Filter Networks, NeurIPS 2016),
is applied to the lane's path and, for what no lane explains (parallax, rolling shutter), to the dense rest. Kernels
rather than offsets make it exact where it must be: a picture that stands still is left alone, twice the motion within
the same room is twice the warp, and a steady offset is never invented.

The paper (Yu & Ramamoorthi, CVPR 2020) predicts all warps of a window and shows the first; online, only the frame
that is due is predicted, and the shown past is an input, so that overlapping windows agree by construction.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from flowgimbal.engines.motion import LANES
from flowgimbal.engines.networks.constants import constant
from flowgimbal.engines.shapes import COLUMNS, ROWS, TAPS

KNEE = 0.97  # part of the margin that is used freely; the rest is approached softly
BEND = 0.0125  # how far a circle may be stretched to an ellipse: half the difference of its axes, over their mean


def lane_fields(x: Tensor, y: Tensor, aspect: Tensor) -> Tensor:
    """The eight lanes' fields at points ``x``, ``y`` (N,) in [-1, 1] of the picture: (B, LANES, 2, N).

    Displacement is normalised as the points are, X by the half width and Y by the half height, so that the margin is
    the same number for both; ``aspect`` (B,) is height / width. Order of the lanes as in ``motion.py``.
    """
    one, zero = torch.ones_like(x), torch.zeros_like(x)
    square = (aspect * aspect)[:, None]
    u = [one, zero, x, -square * y, x, square * y, x * x, x * y]
    v = [zero, one, y, x, -y, x, x * y, y * y]
    batch = aspect.shape[0]
    fields = [torch.stack([a.expand(batch, len(x)), b.expand(batch, len(x))], 1) for a, b in zip(u, v, strict=True)]
    return torch.stack(fields, 1)


def soften(offsets: Tensor) -> Tensor:
    """Hold fields (B, 2, N), in margins, inside of [-1, 1].

    Each axis is scaled as a whole, so that the crop limit bends nothing: untouched up to KNEE, then along tanh.
    """
    return offsets * _within(offsets.abs().amax(2, keepdim=True))


def _within(largest: Tensor) -> Tensor:
    """The factor that takes a size to within 1."""
    over = torch.clamp(largest - KNEE, min=0.0)
    allowed = torch.clamp(largest, max=KNEE) + (1 - KNEE) * torch.tanh(over / (1 - KNEE))
    return allowed / torch.clamp(largest, min=1e-6)


def keep_shapes(lanes: Tensor, crop: Tensor, aspect: Tensor) -> Tensor:
    """Lanes' offsets (B, LANES), in margins, that stretch the picture nowhere by more than BEND.

    ``crop`` (B,) is what a margin is, in half widths. The lanes that change shapes (stretch, shear, both tilts) are
    scaled as one, by the corner that they bend most; shift, zoom and roll keep shapes and stay as they are.
    """
    stretch, shear, tilt_x, tilt_y = lanes[:, 4:, None].unbind(1)
    x, y = (constant(corner, lanes) for corner in ((-1.0, 1.0, -1.0, 1.0), (-1.0, -1.0, 1.0, 1.0)))
    a = aspect[:, None]
    along = stretch + (tilt_x * x - tilt_y * y) / 2
    across = a * shear + (tilt_y * x / a + a * tilt_x * y) / 2
    bend = crop * torch.sqrt(along * along + across * across + 1e-12).amax(1)
    return torch.cat([lanes[:, :4], lanes[:, 4:] * _within(bend / BEND)[:, None]], 1)


class WarpNetwork(nn.Module):
    """Dense warp of the frame that is due, on a fixed lattice over the visible part of the picture."""

    def __init__(self, policy: nn.Module, *, dense: bool = True) -> None:
        """Decide by ``policy``; without ``dense`` the warp is a homography's grid (StabNet: Wang et al., 2018)."""
        super().__init__()
        self.policy = policy
        self.dense = dense
        y, x = torch.meshgrid(torch.linspace(-1, 1, ROWS), torch.linspace(-1, 1, COLUMNS), indexing="ij")
        self.register_buffer("x", x.flatten(), persistent=False)
        self.register_buffer("y", y.flatten(), persistent=False)
        # Lanes are a fixed change of basis, by the aspect, of these fields; least squares on the lattice.
        flat = lane_fields(self.x, self.y, torch.ones(1))[0].reshape(LANES, -1).numpy().astype(np.float64)
        self.register_buffer("fit", torch.from_numpy(np.linalg.pinv(flat.T)).float(), persistent=False)

    x: Tensor
    y: Tensor
    fit: Tensor

    def forward(self, window: Tensor, cover: Tensor, conditions: Tensor) -> Tensor:
        """The warp (B, 2, ROWS, COLUMNS): where each lattice point of the steady picture is found in the raw one.

        ``window`` (B, TAPS, 2, ROWS, COLUMNS) holds the paths of the lattice's points relative to the due frame's
        raw position: RAW means of the raw path, then the last shown position, then means of the shown path, then the
        raw path as it is forecast (``forecast.py``), then the plan (``plan.py``). It and the result are offsets in
        margins: 1 is the most that the crop leaves room for. ``cover`` (B, RAW + BINS) in [0, 1] is the validity of
        each bin, ``conditions`` (B, CONDITIONS).
        """
        batch = window.shape[0]
        fields = window.reshape(batch, TAPS, 2 * ROWS * COLUMNS)
        square = torch.exp(2 * conditions[:, 3])
        lanes = self._lanes(fields, square)
        decided, kernel = self.policy(lanes.transpose(1, 2), cover, conditions)
        aspect = torch.sqrt(square)
        decided = keep_shapes(decided, torch.exp(conditions[:, 2]) / 10, aspect)
        basis = lane_fields(self.x, self.y, aspect).reshape(batch, LANES, 2 * ROWS * COLUMNS)
        offset = torch.einsum("bl,bln->bn", decided, basis)
        if self.dense:
            rest = fields - torch.einsum("btl,bln->btn", lanes, basis)
            offset = offset + torch.einsum("bt,btn->bn", kernel[:, 4:].mean(1), rest)
        return soften(offset.reshape(batch, 2, ROWS * COLUMNS)).reshape(batch, 2, ROWS, COLUMNS)

    def _lanes(self, fields: Tensor, square: Tensor) -> Tensor:
        """Fields (B, T, 2 ROWS COLUMNS) to lanes (B, T, LANES) of a picture with squared aspect ``square`` (B,)."""
        c = fields @ self.fit.T
        u_of_y, v_of_x = c[..., 5] - c[..., 3], c[..., 5] + c[..., 3]
        u_of_y = u_of_y / square[:, None]
        roll, shear = (v_of_x - u_of_y) / 2, (v_of_x + u_of_y) / 2
        return torch.stack([c[..., 0], c[..., 1], c[..., 2], roll, c[..., 4], shear, c[..., 6], c[..., 7]], -1)
