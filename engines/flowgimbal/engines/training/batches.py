"""Batches of camera paths, drawn by other processes while the card learns from those of before."""

from __future__ import annotations

import logging
from collections import deque
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flowgimbal.engines.training.paths import PathMaker, Recording
from flowgimbal.engines.training.settings import (
    ASPECTS,
    CROP,
    NARROWEST_CROP,
    STRENGTH,
    USUAL_ASPECTS,
    WIDEST_CROP,
    Form,
)

log = logging.getLogger(__name__)

PANS, BLIND_PANS = 0.3, 0.5  # parts of the batches whose paths are nothing but pans, with and without look-ahead
QUIETEST, NOISIEST = 3e-5, 1e-3  # half widths a frame, of the measurement

Values = NDArray[np.float32]


class Batch(NamedTuple):
    """Paths of one form, half widths, and what each is seen under."""

    path: Values  # (B, T, 8)
    measured: Values  # (B, T, 8)
    crop: Values  # (B,), as the rest
    aspect: Values
    strength: Values
    pans: Values  # 1 for those that are nothing but pans


def pans_part(look_ahead: int) -> float:
    """The part of the batches of one look-ahead that are pans: without any, the end of one comes as a surprise."""
    return PANS if look_ahead else BLIND_PANS


def draw_batch(maker: PathMaker, form: Form, size: int, key: tuple[int, ...]) -> Batch:
    """``size`` paths under settings as ``settings.draw_setting`` draws them, if it draws this form; the same by key.

    All are pans or none is: the gradient of pans is twenty times as long as that of other paths, and nearly opposed to
    it. Mixed, it would be all that is left; apart, each is clipped to the same length before it is made use of.
    """
    rng = np.random.default_rng(key)
    pans = rng.random() < pans_part(form.look_ahead)
    steps = (maker.draw_pans if pans else maker.draw)(rng, size, form.frames, form.rate)
    noise = np.exp(rng.uniform(np.log(QUIETEST), np.log(NOISIEST), (size, 1, 1)))
    measured = steps + noise * rng.standard_normal(steps.shape, np.float32)
    usual = rng.random(size) < form.usual
    free = np.exp(rng.uniform(np.log(NARROWEST_CROP), np.log(WIDEST_CROP), size))
    crop = np.where(usual | (rng.random(size) < 0.5), CROP, free)
    aspect = np.where(usual, rng.choice(USUAL_ASPECTS, size), rng.choice(ASPECTS, size))
    strength = np.where(usual | (rng.random(size) < 0.5), STRENGTH, rng.random(size))
    rows = (np.cumsum(steps, 1), np.cumsum(measured, 1), crop, aspect, strength, np.full(size, pans))
    return Batch(*(np.ascontiguousarray(row, np.float32) for row in rows))


_maker: PathMaker | None = None  # of a process that draws


def _begin(recordings: list[Recording]) -> None:
    global _maker  # once a process, so that recordings are not sent along with every request
    _maker = PathMaker(recordings)


def _draw(form: Form, size: int, key: tuple[int, ...]) -> Batch:
    assert _maker is not None
    return draw_batch(_maker, form, size, key)


class Supply:
    """Batches by key, ``ahead`` of them drawn before they are asked for.

    ``processes`` others draw; with none, or should one of them die, this one does. What is drawn is the same.
    """

    def __init__(self, recordings: list[Recording], size: int, processes: int, ahead: int) -> None:
        self._maker, self._size, self._ahead = PathMaker(recordings), size, ahead
        self._pool: ProcessPoolExecutor | None = None
        self._coming: deque[tuple[Form, tuple[int, ...], Future[Batch]]] = deque()
        if processes:
            # A fork would take the card's state with it.
            self._pool = ProcessPoolExecutor(
                processes, mp_context=get_context("spawn"), initializer=_begin, initargs=(recordings,)
            )

    @property
    def wants_more(self) -> bool:
        """Whether a further batch should be ordered already."""
        return len(self._coming) < self._ahead

    def order(self, form: Form, key: tuple[int, ...]) -> None:
        """Have a batch drawn, to be taken after those that were ordered before."""
        future: Future[Batch] = Future()
        if self._pool:
            try:
                future = self._pool.submit(_draw, form, self._size, key)
            except BrokenProcessPool as error:
                future.set_exception(error)
        self._coming.append((form, key, future))

    def take(self) -> Batch:
        """The next batch that was ordered."""
        form, key, future = self._coming.popleft()
        if self._pool:
            try:
                return future.result()
            except BrokenProcessPool:
                log.warning("a process that draws paths died: drawing them here")
                self._pool.shutdown(wait=False, cancel_futures=True)
                self._pool = None
        return draw_batch(self._maker, form, self._size, key)

    def close(self) -> None:
        """End the processes."""
        if self._pool:
            self._pool.shutdown(cancel_futures=True)
