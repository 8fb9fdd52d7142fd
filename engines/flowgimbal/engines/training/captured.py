"""Loss and gradient of whole unrolled batches, each captured once as a CUDA graph and replayed with new paths.

A batch is some hundred thousand kernels of a few microseconds: launched one by one they take seconds, replayed tenths
of one. Several graphs run beside each other, one of each group of forms, on a stream of its own: one alone leaves most
of a card idle. Graphs of one group share their memory, as they never run together.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flowgimbal.engines.networks.policies import Policy
from flowgimbal.engines.training.batches import Batch
from flowgimbal.engines.training.settings import Form, Setting
from flowgimbal.engines.training.unroll import losses

log = logging.getLogger(__name__)

Result = tuple[Tensor, tuple[Tensor, ...]]  # the mean loss, and its gradient, parameter by parameter

LARGEST_DIFFERENCE = 1e-3  # relative, between what a graph gives and what the same batch gives without


def differentiate(policy: Policy, form: Form, inputs: tuple[Tensor, ...]) -> Result:
    """The result of a batch, its parts (``Batch``) as tensors."""
    path, measured, crop, aspect, strength, pans = inputs
    setting = Setting(form.rate, form.look_ahead, crop, aspect, strength)
    loss = losses(policy, path, measured, setting, pans).mean()
    return loss.detach(), torch.autograd.grad(loss, list(policy.parameters()))


def differences(one: Result, other: Result) -> tuple[float, float]:
    """How far two results are apart: of the losses, and of the gradients relative to their length."""
    apart = torch.cat([(a - b).flatten() for a, b in zip(one[1], other[1], strict=True)]).norm()
    length = torch.cat([b.flatten() for b in other[1]]).norm()
    return abs(float(one[0]) - float(other[0])), float(apart / length.clamp(min=1e-12))


def _clipped(gradient: tuple[Tensor, ...], largest: float) -> tuple[Tensor, ...]:
    """A gradient, shortened to a norm of ``largest`` if it is longer; the host is not asked."""
    norm = torch.stack([part.norm() for part in gradient]).norm()
    return tuple(part * (largest / norm.clamp(min=largest)) for part in gradient)


@dataclass(slots=True)
class Captured:
    """One form: where its batches are put, and how its result comes about."""

    form: Form
    inputs: tuple[Tensor, ...]
    run: Callable[[], Result]


@dataclass(slots=True)
class Group:
    """Forms of which one takes part in each step."""

    weight: float = 0.0
    forms: list[Form] = field(default_factory=list)
    captured: list[Captured] = field(default_factory=list)
    stream: torch.cuda.Stream | None = None


def grouped(forms: list[Form], count: int) -> list[list[Form]]:
    """``count`` groups of forms, of weights as like each other as it goes: the next heaviest to the lightest group."""
    groups: list[list[Form]] = [[] for _ in range(min(count, len(forms)))]
    for form in sorted(forms, key=lambda form: -form.weight):
        min(groups, key=lambda group: sum(other.weight for other in group)).append(form)
    return groups


class Ensemble:
    """All forms of a training. A step draws one of each group, and weighs their gradients as the groups weigh.

    Each group's gradient is clipped to a norm of ``largest`` before, as it would be in a step of its own.
    """

    def __init__(
        self,
        policy: Policy,
        forms: list[Form],
        draw: Callable[[Form], Batch],
        device: torch.device,
        *,
        groups: int,
        largest: float,
        captures: bool = True,
    ) -> None:
        """Capture every form, if ``captures`` and on a card. ``draw`` gives batches to try a form with.

        A form whose capture fails, or whose graph does not give what the form gives without, runs without one if no
        other of its group has one, and is left out if one has: a single batch without a graph takes as long as ten.
        """
        self._policy, self._device, self._largest = policy, device, largest
        self._groups: list[Group] = []
        for members in grouped(forms, groups):
            group = Group(sum(form.weight for form in members))
            if device.type == "cuda" and captures:
                self._capture(group, members, draw)
            if not group.captured:
                group.captured = [self._plain(form, draw(form)) for form in members]
            group.forms = [captured.form for captured in group.captured]
            self._groups.append(group)

    def pick(self, rng: np.random.Generator) -> list[Form]:
        """One form of each group, as they weigh."""
        picked = []
        for group in self._groups:
            weights = np.array([form.weight for form in group.forms])
            picked.append(group.forms[int(rng.choice(len(weights), p=weights / weights.sum()))])
        return picked

    def step(self, forms: list[Form], batches: list[Batch]) -> Result:
        """The mean result over one batch of each group, of the ``forms`` that ``pick`` gave."""
        chosen = [group.captured[group.forms.index(form)] for group, form in zip(self._groups, forms, strict=True)]
        for captured, batch in zip(chosen, batches, strict=True):
            put(batch, captured.inputs)
        results = []
        for group, captured in zip(self._groups, chosen, strict=True):
            if group.stream:
                group.stream.wait_stream(torch.cuda.current_stream())
            with torch.cuda.stream(group.stream) if group.stream else nullcontext():
                results.append(captured.run())
        for group in self._groups:
            if group.stream:
                torch.cuda.current_stream().wait_stream(group.stream)
        whole = sum(group.weight for group in self._groups)
        parts = [group.weight / whole for group in self._groups]
        loss = torch.stack([part * result[0] for part, result in zip(parts, results, strict=True)]).sum()
        columns = zip(*(_clipped(result[1], self._largest) for result in results), strict=True)
        return loss, tuple(
            torch.stack([part * gradient for part, gradient in zip(parts, column, strict=True)]).sum(0)
            for column in columns
        )

    def _plain(self, form: Form, batch: Batch) -> Captured:
        inputs = tuple(torch.from_numpy(part).to(self._device) for part in batch)
        return Captured(form, inputs, lambda: differentiate(self._policy, form, inputs))

    def _capture(self, group: Group, forms: list[Form], draw: Callable[[Form], Batch]) -> None:
        """Capture what can be; the memory of one form is that of the next, too."""
        group.stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        pool, usual = torch.cuda.graph_pool_handle(), torch.cuda.current_stream()
        for form in forms:
            begun = time.monotonic()
            try:
                captured, apart = self._graph(self._plain(form, draw(form)), group.stream, pool)
            except Exception as error:  # noqa: BLE001 - whatever it was, there is training without
                log.warning("NO GRAPH of %s: %s", form.name, error)
                torch.cuda.set_stream(usual)  # a capture that fails does not leave its stream
                with suppress(RuntimeError):  # of the capture, once more
                    torch.cuda.synchronize()
                continue
            level = logging.INFO if max(apart) <= LARGEST_DIFFERENCE else logging.ERROR
            log.log(
                level,
                "captured %s in %.1f s, off by %.1e of loss and %.1e of gradient; %.1f GB of the card in use",
                form.name,
                time.monotonic() - begun,
                *apart,
                torch.cuda.memory_reserved() / 1e9,
            )
            if level == logging.ERROR:
                log.error("THE GRAPH of %s IS WRONG and is not used", form.name)
            else:
                group.captured.append(captured)
        if not group.captured:
            log.error("NO GRAPH of any of %s: every step waits for what runs without", [form.name for form in forms])

    def _graph(self, plain: Captured, stream: torch.cuda.Stream, pool: Any) -> tuple[Captured, tuple[float, float]]:
        """A form with its graph, and how far that is from the form without."""
        torch.cuda.synchronize()
        with torch.cuda.stream(stream):
            # Also what a capture must not be the first to do: libraries' plans and workspaces, constants on the card.
            expected = plain.run()
        torch.cuda.synchronize()
        torch.cuda.empty_cache()  # what ran without a graph used as much as the graph will
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool, stream=stream):
            result = plain.run()

        def replay() -> Result:
            graph.replay()
            return result

        with torch.cuda.stream(stream):
            replay()
        torch.cuda.synchronize()
        return Captured(plain.form, plain.inputs, replay), differences(result, expected)


def put(batch: Batch, inputs: tuple[Tensor, ...]) -> None:
    """Copy a batch to where its form expects it."""
    for part, place in zip(batch, inputs, strict=True):
        place.copy_(torch.from_numpy(part))
