"""The GPU engine, over the fake of what it calls, behind a real server and its client."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from fake_card import FakeDriver
from fake_runtimes import FakeLibcuda, FakeOrt

from flowgimbal.client.client import Client
from flowgimbal.client.errors import FlowgimbalError, Unavailable
from flowgimbal.engines.gpu import opening
from flowgimbal.server import app
from flowgimbal.server.config import ServeConfig


def pictures(count: int, seed: int, wider: int = 0) -> list[np.ndarray]:
    coarse = np.random.default_rng(seed).integers(0, 256, (30, 60, 3), np.uint8)
    wide = np.kron(coarse, np.ones((8, 8, 1), np.uint8))
    return [np.ascontiguousarray(wide[:180, 3 * i : 3 * i + 256 + wider]) for i in range(count)]


async def test_streams_run_on_the_card_until_it_is_lost(driver: FakeDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "find_cuda_provider", lambda: FakeOrt(driver))
    monkeypatch.setattr(opening, "libcuda", lambda: FakeLibcuda(driver))
    monkeypatch.setattr(opening, "find_driver", lambda: driver)
    server = await app.start(ServeConfig(listen=("127.0.0.1:0",), engine="cuda"))
    try:
        async with Client(server.address) as client:
            assert (await client.info()).engine == "onnxruntime-cuda"
            counts = await asyncio.gather(*(run(client, seed) for seed in range(3)))
            assert counts == [12, 12, 12]

            budget, driver.budget = driver.budget, 0
            with pytest.raises(FlowgimbalError, match="the card failed: out of memory"):
                await run(client, 4, wider=64)
            driver.budget = budget
            assert await run_once_it_works(client, 4, wider=64) == 12

            assert await client.health()
            driver.broken = True
            with pytest.raises(FlowgimbalError, match="the card failed: an illegal memory access"):
                await run(client, 5)
            with pytest.raises(FlowgimbalError, match="this server has to be started again"):
                await run(client, 5)
            assert not await client.health()
    finally:
        await server.stop(0)


async def run(client: Client, seed: int, wider: int = 0) -> int:
    async with client.stream(mode="lossless") as stream:
        got: list[Any] = [steady async for steady in stream.stabilize(iter(pictures(12, seed, wider)))]
        return len(got)


async def run_once_it_works(client: Client, seed: int, wider: int) -> int:
    """The server tries a failed engine by itself; if it found no memory either, it refuses streams until it does."""
    async with asyncio.timeout(60):
        while True:
            try:
                return await run(client, seed, wider)
            except Unavailable:
                await asyncio.sleep(0.1)
