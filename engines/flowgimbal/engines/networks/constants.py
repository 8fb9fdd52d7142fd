"""Constants that sit where the data do."""

from __future__ import annotations

import functools

import torch
from torch import Tensor


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """``values`` (n,), of the type of ``like`` and on its device.

    On a card they are copied there once and kept: a CUDA graph cannot capture a copy from the host. On the host they
    are made anew, so that an exporter, which runs on tensors without numbers, leaves none of those behind.
    """
    if like.device.type == "cpu":
        return like.new_tensor(values)
    return _kept(values, like.device, like.dtype)


def indices(values: tuple[int, ...], like: Tensor) -> Tensor | list[int]:
    """``values`` to index with, on the device of ``like``; kept there, too: a list is copied each time it is used."""
    return list(values) if like.device.type == "cpu" else _kept(values, like.device, torch.long)


@functools.lru_cache(maxsize=256)
def _kept(values: tuple[float, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    return torch.tensor(values, dtype=dtype, device=device)
