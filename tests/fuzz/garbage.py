"""Connections that speak HTTP/2 badly, or not at all."""

from __future__ import annotations

import asyncio
import random
import struct
from collections import Counter

import wire

from fuzz.messages import anything, mutated

PATIENCE_SECONDS = 0.2
"""For the server to answer, or to hang up."""


def conversation(rng: random.Random) -> list[bytes]:
    """What is sent after connecting, part by part: noise, or a call by hand of which some parts are spoilt."""
    if rng.random() < 0.2:
        return [rng.randbytes(rng.choice((1, 24, 1000)))]
    parts = [wire.PREFACE, wire.frame(wire.SETTINGS, 0, 0), wire.call(1)]
    parts += [wire.data(1, wire.message(data)) for data in anything(rng)][:20]
    for _ in range(rng.randrange(10)):
        parts.insert(rng.randrange(2, len(parts) + 1), _frame(rng))
    if rng.random() < 0.5:
        place = rng.randrange(len(parts))
        parts[place] = mutated(rng, parts[place])
    if rng.random() < 0.2:  # lies about a message's length, or that it is compressed
        parts.append(
            wire.data(1, wire.message(b"x" * 10, rng.choice((0, 9, 11, 1 << 31)), compressed=rng.random() < 0.5))
        )
    return parts


async def converse(address: str, rng: random.Random) -> int:
    """Connect, say it all, wait a little, hang up; how many parts went out."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    said = 0
    try:
        for part in conversation(rng):
            writer.write(part)
            await writer.drain()
            said += 1
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await reader.read(65536):
                pass
    except (OSError, TimeoutError):
        pass
    finally:
        writer.close()
    return said


async def run(address: str, seed: str, told: Counter[str]) -> None:
    """One connection after another until cancelled; counts parts in ``told``."""
    rng = random.Random(seed)
    while True:
        told["raw parts"] += await converse(address, random.Random(rng.random()))
        told["raw connections"] += 1


def _frame(rng: random.Random) -> bytes:
    """A frame of any kind, flags, stream and length, the latter not always true."""
    kind, flags, stream = rng.randrange(12), rng.randrange(256), rng.choice((0, 1, 1, 3, 2, (1 << 31) - 1))
    whole = wire.frame(kind, flags, stream, rng.randbytes(rng.choice((0, 1, 4, 5, 6, 8, 100))))
    return struct.pack(">I", rng.randrange(1 << 24))[1:] + whole[3:] if rng.random() < 0.1 else whole
