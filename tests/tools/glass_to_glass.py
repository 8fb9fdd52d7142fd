"""Glass to glass: what a middle adds to the delay of a video over RTP.

    python tests/tools/glass_to_glass.py ffmpeg | flowgimbal

Sends the bundled clip as H.264 over RTP, 1280x720 at 30 fps, a time code of sixteen squares burnt into each picture;
reads the code from what comes out of the middle, decoded, and prints the delay. The middle is ffmpeg, decoding and
encoding, or ``flowgimbal live``. Run the two in turns and compare. The crop is 2 %: the code stays where it is read.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any, cast

import av
import numpy as np
from numpy.typing import NDArray

from flowgimbal.client.assets import BUNDLED_CLIP
from flowgimbal.client.bench.content import to_and_fro
from flowgimbal.client.sources.opening import session_description

WIDTH, HEIGHT, FPS = 1280, 720, 30
FRAMES, WARM_UP = 450, 150
IN, OUT = 6000, 6002
LEFT, TOP, SIDE = 512, 328, 32  # of the code, in the middle of the picture
CLOCK = Fraction(1, 90_000)
OPTIONS = {"protocol_whitelist": "file,udp,rtp", "analyzeduration": "0", "max_delay": "0", "reorder_queue_size": "0"}
X264 = {"preset": "ultrafast", "tune": "zerolatency"}

Luma = NDArray[np.uint8]


def square(luma: Luma, bit: int, inset: int = 0) -> Luma:
    """The square of a bit of the code, less a margin of ``inset`` pixels."""
    row, column = divmod(bit, 8)
    y, x = TOP + row * SIDE, LEFT + column * SIDE
    return luma[y + inset : y + SIDE - inset, x + inset : x + SIDE - inset]


def burn(luma: Luma, code: int) -> None:
    """Write ``code`` into the picture, on a ground of gray."""
    luma[TOP - 16 : TOP + 2 * SIDE + 16, LEFT - 16 : LEFT + 8 * SIDE + 16] = 128
    for bit in range(16):
        square(luma, bit)[:] = 235 if code >> bit & 1 else 16


def read(luma: Luma) -> int:
    """The code in the picture."""
    return sum(1 << bit for bit in range(16) if square(luma, bit, 12).mean() > 128)


def luma_of(frame: av.VideoFrame) -> Luma:
    """A view of the first plane."""
    plane = frame.planes[0]
    return np.frombuffer(cast(Any, plane), np.uint8).reshape(-1, plane.line_size)[: frame.height, : frame.width]


def send(pictures: list[Any], taken: dict[int, float]) -> None:
    """Encode and send in real time; ``taken`` gets when each picture was."""
    with av.open(f"rtp://127.0.0.1:{IN}", "w", format="rtp", options={"flush_packets": "1"}) as out:
        stream: Any = out.add_stream("libx264", rate=FPS, options=X264 | {"crf": "23", "g": str(FPS)})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.time_base, stream.codec_context.thread_count = CLOCK, 1
        begin = time.perf_counter()
        for number, picture in enumerate(to_and_fro(pictures, FRAMES)):
            frame = av.VideoFrame.from_ndarray(cast(Any, picture), "yuv420p")
            burn(luma_of(frame), number)
            time.sleep(max(0.0, begin + number / FPS - time.perf_counter()))
            taken[number] = time.perf_counter()
            frame.pts, frame.time_base = number * CLOCK.denominator // FPS, CLOCK
            out.mux(stream.encode(frame))


def receive(session: Path, seen: list[tuple[int, float]]) -> None:
    """Decode what comes out of the middle; ``seen`` gets each code and when it was there."""
    decoder: Any = av.CodecContext.create("h264", "r")
    decoder.thread_count = 1
    with av.open(str(session), format="sdp", options=OPTIONS) as source:
        for packet in source.demux(video=0):
            for frame in decoder.decode(packet):
                now = time.perf_counter()
                seen.append((read(luma_of(frame)), now))


def middle(name: str, session: Path) -> list[str]:
    """The command that goes between."""
    sink = f"rtp://127.0.0.1:{OUT}"
    if name == "flowgimbal":
        command = [sys.executable, "-m", "flowgimbal.client.cli", "live", "--source", f"rtp://127.0.0.1:{IN}"]
        return [*command, "--sink", sink, "--max-crop-ratio", "0.02"]
    reading = [part for key, value in OPTIONS.items() for part in (f"-{key}", value)]
    coding = ["-c:v", "libx264", *(part for key, value in X264.items() for part in (f"-{key}", value))]
    command = ["ffmpeg", "-v", "error", *reading, "-flags", "low_delay", "-threads", "1", "-i", str(session)]
    return [*command, *coding, "-threads", "1", "-crf", "20", "-g", "60", "-flush_packets", "1", "-f", "rtp", sink]


def main(name: str) -> None:
    """Measure one middle."""
    with av.open(str(BUNDLED_CLIP)) as clip:
        frames = islice(clip.decode(video=0), 90)
        pictures = [frame.reformat(WIDTH, HEIGHT, "yuv420p").to_ndarray() for frame in frames]
    with tempfile.TemporaryDirectory() as folder:
        sessions = {port: Path(folder) / f"{port}.sdp" for port in (IN, OUT)}
        for port, path in sessions.items():
            path.write_text(session_description("127.0.0.1", port, "H264"))
        between = subprocess.Popen(middle(name, sessions[IN]), stdout=subprocess.DEVNULL)
        taken: dict[int, float] = {}
        seen: list[tuple[int, float]] = []
        threading.Thread(target=receive, args=(sessions[OUT], seen), daemon=True).start()
        time.sleep(4)  # the middle is ready
        send(pictures, taken)
        time.sleep(1)
        between.send_signal(signal.SIGTERM)
        between.wait()
    delays = [(when - taken[code]) * 1e3 for code, when in seen if code in taken and code > WARM_UP]
    p50, p95, p99 = np.percentile(delays, (50, 95, 99))
    sys.stdout.write(f"{name}: {len(delays)} frames, p50 {p50:.1f}  p95 {p95:.1f}  p99 {p99:.1f} ms\n")
    sys.stdout.flush()
    os._exit(0)  # the receiver waits for packets that will not come


if __name__ == "__main__":
    main(sys.argv[1])
