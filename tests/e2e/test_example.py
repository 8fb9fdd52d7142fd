"""The ten-line program in ``examples``, against a real server."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.bench.process import server_process

PROGRAM = Path(__file__).parents[2] / "examples" / "minimal.py"


async def test_it_prints_a_line_for_every_frame():
    async with server_process("--engine", "identity") as server:
        process = await asyncio.create_subprocess_exec(
            sys.executable, PROGRAM, BUNDLED_CLIP, server.address, stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(120):
            out, _ = await process.communicate()
    lines = out.decode().splitlines()
    assert process.returncode == 0
    assert [line.partition(":")[0] for line in lines] == [f"frame {i}" for i in range(125)]
    assert "(360, 640, 3)" in lines[-1]
