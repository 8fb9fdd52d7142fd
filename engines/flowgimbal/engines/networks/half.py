"""Networks for a card. Half precision where it costs nothing: TensorRT 11 takes types from the graph, so that they have
to be in it.

Convolutions and perceptrons, which are nearly all of the work, run in fp16. Between them everything stays fp32: a flow
of 100 pixels has steps of 1/16 pixel in fp16, and the warp's paths are sums over seconds.
"""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import Tensor, nn

from flowgimbal.engines.networks import card
from flowgimbal.engines.networks.flow import Encoder, FlowNetwork, Refiner

_HEAVY = (nn.Conv2d, nn.Linear)
_ALONG = (nn.GELU, nn.LeakyReLU, nn.PixelUnshuffle)

CALM = 2.0**-5  # the coarsest keys reach 1e5 where fp16 ends at 65504; a power of two rounds nothing

Network = TypeVar("Network", bound=nn.Module)


class Half(nn.Module):
    """``body`` in fp16 between tensors in fp32."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body.half()

    def forward(self, x: Tensor) -> Tensor:
        """The body's result for ``x``."""
        result: Tensor = self.body(x.half()).float()
        return result


def halve(network: Network) -> Network:
    """``network`` itself for a card, its heavy parts in fp16: as few and as long stretches as there are."""
    if isinstance(network, Encoder):
        _calm(network)
    if isinstance(network, FlowNetwork | Refiner):
        network.form = card
    for name, child in network.named_children():
        if _is_stretch(child):
            setattr(network, name, Half(child))
        else:
            halve(child)
    return network


@torch.no_grad()
def _calm(encoder: Encoder) -> None:
    """Make the coarsest level's numbers smaller: its keys are standardised, so that their size means nothing."""
    parts = [*encoder.sixteenth.modules(), encoder.keys[len(encoder.keys) - 1]]
    layers = [part for part in parts if isinstance(part, nn.Conv2d)]
    layers[0].weight *= CALM
    for layer in layers:
        if layer.bias is not None:
            layer.bias *= CALM


def _is_stretch(module: nn.Module) -> bool:
    if isinstance(module, nn.Sequential):
        return all(_is_stretch(child) for child in module)
    return isinstance(module, _HEAVY + _ALONG)
