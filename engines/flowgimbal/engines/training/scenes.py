"""Pairs of pictures whose motion is known, rendered in batches from photos.

A scene is a background under a homography, rolling shutter and parallax, now and then with sprites that move on their
own, seen by a camera with blur, noise, crushed blacks, exposure jumps and compression. The flow is exact on the first
picture's grid: the second picture is sampled through the numerical inverse of the very motion that is handed out as
the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from flowgimbal.engines.networks.blocks import pixels, sample
from flowgimbal.engines.shapes import STRIDE

PHOTO = (480, 640)  # rows, columns of a cached photo
SPRITES = 2  # at most


@dataclass(frozen=True, slots=True)
class Pair:
    """A batch: two pictures (B, 1, H, W) in [0, 1]; flow (B, 2, H / 4, W / 4) in pixels at the cells' centres."""

    first: Tensor
    second: Tensor
    flow: Tensor

    def to(self, device: torch.device) -> Pair:
        """The same pair on ``device``."""
        return Pair(self.first.to(device), self.second.to(device), self.flow.to(device))


def load_photos(paths: Sequence[Path]) -> Tensor:
    """Luma of the photos, each filled into (480, 640): uint8 (N, 480, 640)."""
    rows, columns = PHOTO
    photos = []
    for path in paths:
        photo = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        if photo is None:
            raise ValueError(f"{path} is not a picture that OpenCV reads")
        scale = max(rows / photo.shape[0], columns / photo.shape[1])
        size = (max(columns, round(photo.shape[1] * scale)), max(rows, round(photo.shape[0] * scale)))
        photo = cv2.resize(photo, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
        top, left = (photo.shape[0] - rows) // 2, (photo.shape[1] - columns) // 2
        photos.append(photo[top : top + rows, left : left + columns])
    return torch.from_numpy(np.stack(photos))


@dataclass(frozen=True, slots=True)
class SceneMaker:
    """Draws pairs of (height, width) from ``photos``; ``hardness`` in [0, 1] scales what makes matching hard."""

    photos: Tensor
    height: int = 192
    width: int = 320
    hardness: float = 1.0
    largest: float = 48.0  # pixels of translation

    def draw(self, batch: int, generator: torch.Generator) -> Pair:
        """A batch of pairs; the same generator state gives the same pairs."""
        dice = _Dice(batch, generator)
        grid = pixels(self.height, self.width).expand(batch, -1, -1, -1)
        cells = F.avg_pool2d(grid, STRIDE)
        background = self._layer(dice, self.largest)
        behind = grid + _enlarge(background.source(cells) - cells)
        first, second, flow = background.texture(grid), background.texture(behind), background.move(cells) - cells
        for _ in range(SPRITES):  # each in front of those before
            sprite, mask = self._layer(dice, 0.6 * self.largest), self._blob(dice)
            origin = grid + _enlarge(sprite.source(cells) - cells)
            first = torch.lerp(first, sprite.texture(grid), mask)
            second = torch.lerp(second, sprite.texture(origin), sample(mask, origin))
            flow = torch.where(F.avg_pool2d(mask, STRIDE) > 0.5, sprite.move(cells) - cells, flow)
        first, second = self._camera(dice, first, second, flow)
        return Pair(first, second, flow)

    def motion(self, batch: int, generator: torch.Generator) -> Tensor:
        """Flow of the background alone, (batch, 2, height / 4, width / 4) in pixels: nothing is rendered."""
        cells = F.avg_pool2d(pixels(self.height, self.width).expand(batch, -1, -1, -1), STRIDE)
        return self._layer(_Dice(batch, generator), self.largest).move(cells) - cells

    def _layer(self, dice: _Dice, largest: float) -> _Layer:
        moving = (dice.uniform(0, 1) > 0.08).float()
        length = torch.exp(dice.uniform(math.log(0.1), math.log(largest))) * moving
        angle = dice.uniform(0, 2 * math.pi)
        size = min(1.0, largest / 48) * torch.clamp(length / 8, 0.1, 1.0) * moving
        turn, zoom = dice.normal(0.02) * size, dice.normal(0.02) * size
        skew = [dice.normal(0.004) * size for _ in range(2)]
        view = dice.uniform(-0.25, 0.25)
        photo = self.photos[dice.integers(len(self.photos))].float()[:, None] / 255.0
        photo = torch.where((dice.uniform(0, 1) > 0.5)[:, None, None, None], photo.flip(-1), photo)
        depth = F.interpolate(dice.noise((4, 6)), size=(12, 20), mode="bicubic", align_corners=True)
        return _Layer(
            photo=photo,
            view=torch.stack([view.cos(), view.sin()]) * dice.uniform(0.9, 1.4),
            shift=torch.stack([length * angle.cos(), length * angle.sin()], 1),
            linear=torch.stack([zoom + skew[0], turn + skew[1], skew[1] - turn, zoom - skew[0]], 1),
            perspective=torch.stack([dice.normal(0.01) * size, dice.normal(0.01) * size], 1),
            shutter=torch.stack([dice.normal(1.2) * size, dice.normal(0.8) * size], 1) * self.hardness,
            parallax=torch.stack([dice.normal(1.5) * size, dice.normal(1.0) * size], 1) * self.hardness,
            depth=depth * (dice.uniform(0, 1) > 0.4)[:, None, None, None],
            size=(self.height, self.width),
        )

    def _blob(self, dice: _Dice) -> Tensor:
        """Where a sprite covers what is behind it: (B, 1, H, W) in [0, 1]; empty in half of the pairs."""
        coarse, fine = (
            F.interpolate(dice.noise(size), size=(self.height, self.width), mode="bicubic", align_corners=True)
            for size in ((5, 7), (14, 20))
        )
        noise = torch.lerp(coarse, fine, (dice.uniform(0, 0.8) * self.hardness)[:, None, None, None])
        level = dice.uniform(0.0, 2.0) + 100.0 * (dice.uniform(0, 1) > 0.5 * self.hardness)
        return torch.sigmoid((noise - level[:, None, None, None]) * 12.0)

    def _camera(self, dice: _Dice, first: Tensor, second: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        hard = self.hardness
        often = dice.uniform(0, 1)[:, None, None, None]
        contrast = dice.uniform(0.15, 1.0)[:, None, None, None]
        first, second = first * contrast, second * contrast
        drift = flow.mean((2, 3)) * dice.uniform(0, 0.5)[:, None] * hard * (dice.uniform(0, 1) < 0.5)[:, None]
        first, second = _smear(first, drift), _smear(second, drift * dice.uniform(0.5, 1.5)[:, None])
        gain = torch.exp(dice.normal(0.3) * hard * (dice.uniform(0, 1) < 0.4))[:, None, None, None]
        second = second * gain + (dice.normal(0.05) * hard)[:, None, None, None]
        sigma = (
            0.004 + torch.where(often < 0.5, 0.0, 1.0) * dice.uniform(0, 0.06)[:, None, None, None] * hard * contrast
        )
        first = first + sigma * dice.pixels_like(first)
        second = second + sigma * dice.pixels_like(second)
        black = (dice.uniform(0, 0.6) * hard * (dice.uniform(0, 1) < 0.4))[:, None, None, None] * contrast
        first, second = first - black, second - black * gain  # as at night: what is dark holds nothing to match
        step = dice.uniform(0.01, 0.12)[:, None, None, None] * hard
        rough = (dice.uniform(0, 1) < 0.35)[:, None, None, None]
        first = torch.where(rough, _compress(first, step), first)
        second = torch.where(rough, _compress(second, step), second)
        return _quantise(first), _quantise(second)


@dataclass(frozen=True, slots=True)
class _Layer:
    """A photo, how the camera sees it, and how it moves from the first picture to the second."""

    photo: Tensor  # (B, 1, 480, 640)
    view: Tensor  # (2, B) scaled rotation from picture to photo
    shift: Tensor  # (B, 2) pixels
    linear: Tensor  # (B, 4) of the offset from the centre
    perspective: Tensor  # (B, 2) per half width
    shutter: Tensor  # (B, 2) pixels, rolling-shutter wave
    parallax: Tensor  # (B, 2) pixels per unit of depth
    depth: Tensor  # (B, 1, 12, 20)
    size: tuple[int, int]

    def texture(self, points: Tensor) -> Tensor:
        """Brightness (B, 1, H, W) at points (B, 2, H, W) of the first picture."""
        height, width = self.size
        x, y = points[:, 0] - (width - 1) / 2, points[:, 1] - (height - 1) / 2
        cos, sin = self.view[0][:, None, None], self.view[1][:, None, None]
        grid = torch.stack([(cos * x - sin * y) / (PHOTO[1] / 2), (sin * x + cos * y) / (PHOTO[0] / 2)], -1)
        return F.grid_sample(self.photo, grid, padding_mode="reflection", align_corners=False)

    def move(self, points: Tensor) -> Tensor:
        """Where points (B, 2, H, W) of the first picture stand in the second."""
        height, width = self.size
        x, y = points[:, :1] - (width - 1) / 2, points[:, 1:] - (height - 1) / 2
        a, b, c, d = (self.linear[:, i, None, None, None] for i in range(4))
        far = 1 + (self.perspective[:, :1, None, None] * x + self.perspective[:, 1:, None, None] * y) / (width / 2)
        moved = torch.cat([(x + a * x + b * y) / far - x, (y + c * x + d * y) / far - y], 1)
        wave = torch.sin(y / height * 4.0 + self.shutter[:, :1, None, None] * 3.0) + y / height
        moved = moved + self.shift[:, :, None, None] + self.shutter[:, :, None, None] * wave
        return points + moved + self.parallax[:, :, None, None] * sample(self.depth, points, self.size)

    def source(self, points: Tensor) -> Tensor:
        """The inverse of ``move``, by fixed-point iteration (the motion's gradient is far below one)."""
        origin = points - self.shift[:, :, None, None]
        for _ in range(6):
            origin = origin + (points - self.move(origin))
        return origin


class _Dice:
    """One seeded source of randomness for a batch."""

    def __init__(self, batch: int, generator: torch.Generator) -> None:
        self._batch, self._generator = batch, generator

    def uniform(self, low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(self._batch, generator=self._generator)

    def normal(self, sigma: float) -> Tensor:
        return sigma * torch.randn(self._batch, generator=self._generator)

    def integers(self, below: int) -> Tensor:
        return torch.randint(below, (self._batch,), generator=self._generator)

    def noise(self, size: tuple[int, int]) -> Tensor:
        return torch.randn(self._batch, 1, *size, generator=self._generator)

    def pixels_like(self, picture: Tensor) -> Tensor:
        return torch.randn(picture.shape, generator=self._generator)


def _enlarge(cells: Tensor) -> Tensor:
    return F.interpolate(cells, scale_factor=float(STRIDE), mode="bilinear", align_corners=False)


def _smear(image: Tensor, drift: Tensor) -> Tensor:
    """Motion blur along ``drift`` (B, 2) pixels, at most 8: the mean of five bilinear shifts, as one convolution."""
    batch, reach = len(image), 4
    steps = torch.linspace(-0.5, 0.5, 5)
    centres = drift.clamp(-2 * reach, 2 * reach)[:, None] * steps[:, None]  # (B, 5, 2)
    axis = torch.arange(-reach, reach + 1).float()
    hat_x = (1 - (axis - centres[:, :, :1]).abs()).clamp(min=0)
    hat_y = (1 - (axis - centres[:, :, 1:]).abs()).clamp(min=0)
    kernel = torch.einsum("bky,bkx->byx", hat_y, hat_x) / 5
    padded = F.pad(image, (reach,) * 4, mode="replicate").transpose(0, 1)
    return F.conv2d(padded, kernel[:, None], groups=batch).transpose(0, 1)


def _quantise(image: Tensor) -> Tensor:
    return (image.clamp(0, 1) * 255).round() / 255


def _compress(image: Tensor, step: Tensor) -> Tensor:
    """Quantise the 8x8 DCT with a step that grows with frequency, as a codec at a low bit rate does."""
    n = torch.arange(8).float()
    basis = torch.cos((2 * n[None] + 1) * n[:, None] * math.pi / 16) * 0.5
    basis[0] *= math.sqrt(0.5)
    batch, _, height, width = image.shape
    blocks = image.reshape(batch, height // 8, 8, width // 8, 8).transpose(2, 3)
    coefficients = basis @ blocks @ basis.T
    quantum = step[..., None] * (1 + 0.5 * (n[:, None] + n[None]))
    quantum = quantum.clamp(min=1e-4)
    quantised = torch.round(coefficients / quantum) * quantum
    return (basis.T @ quantised @ basis).transpose(2, 3).reshape(image.shape)
