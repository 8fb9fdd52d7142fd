"""An hour of ``flowgimbal live``: does it drift, and does it grow?

    python tests/tools/soak/live.py [--seconds 3600]

ffmpeg publishes the bundled clip, 640x360 at 30 fps, as H.264 over RTP; its packets pass through this program on their
way to ``flowgimbal live``, and what comes back arrives here again. The RTP time stamps say which picture is which, so
that the delay is that of flowgimbal alone, by one clock. Prints a line a minute, and at the end how the delay, memory,
threads and descriptors changed. Fails if the delay changed by a frame, memory by 3 %, or threads or descriptors grew.
"""

from __future__ import annotations

import argparse
import socket
import statistics
import subprocess
import sys
import threading
import time
from contextlib import ExitStack

from watch import Watch, report

from flowgimbal.client.assets import BUNDLED_CLIP

RATE = 30
TICKS = 90_000
MINUTE = 60.0
RTP_TIME = slice(4, 8)


class Tap:
    """Notes when the last packet of each picture came to a UDP port, and passes packets on."""

    def __init__(self, onward: int | None = None) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind(("127.0.0.1", 0))
        self._onward = onward
        self.port = self._socket.getsockname()[1]
        self.came: list[tuple[int, float]] = []
        """(time stamp since the first [1/90000 s], arrival [s])."""
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        first: int | None = None
        while True:
            packet = self._socket.recv(65536)
            now = time.monotonic()
            if self._onward is not None:
                self._socket.sendto(packet, ("127.0.0.1", self._onward))
            if len(packet) < 12 or not packet[1] & 0x80:  # the marker: a picture's last packet
                continue
            stamp = int.from_bytes(packet[RTP_TIME])
            first = stamp if first is None else first
            self.came.append(((stamp - first) % 2**32, now))


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1]) & ~1


def delays(before: Tap, after: Tap) -> list[tuple[float, float]]:
    """(arrival after flowgimbal [s], delay [s]) of every picture that came back.

    The stamps of both begin anywhere. They are matched so that the delay is the least that is above nothing: it may be
    whole frames too short, the same for all.
    """
    sent = dict(before.came)
    offsets = [stamp for stamp, _ in reversed(before.came[:300])]
    returned = after.came[:300]

    def shared(offset: int) -> int:
        return sum(stamp + offset in sent and at >= sent[stamp + offset] for stamp, at in returned)

    offset = max(offsets, key=shared)
    return [(at, at - sent[stamp + offset]) for stamp, at in after.came if stamp + offset in sent]


def main() -> bool:
    """Whether nothing drifted and nothing grew."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=3600.0)
    seconds = parser.parse_args().seconds
    source = free_port()
    before, after = Tap(source), Tap()
    live = (sys.executable, "-m", "flowgimbal.client.cli", "live")
    publish = ("ffmpeg", "-v", "error", "-re", "-stream_loop", "-1", "-i", str(BUNDLED_CLIP), "-an")
    coding = ("-vf", f"scale=640:360,fps={RATE}", "-c:v", "libx264", "-preset", "ultrafast", "-tune", "zerolatency",
              "-g", str(RATE), "-bf", "0")  # fmt: skip
    with ExitStack() as stack:
        ways = ("--source", f"rtp://127.0.0.1:{source}", "--sink", f"rtp://127.0.0.1:{after.port}")
        relay = subprocess.Popen([*live, *ways])
        stack.callback(relay.wait)
        stack.callback(relay.terminate)
        camera = subprocess.Popen([*publish, *coding, "-f", "rtp", f"rtp://127.0.0.1:{before.port}"],
                                  stdout=subprocess.DEVNULL)  # fmt: skip
        stack.callback(camera.wait)
        stack.callback(camera.kill)
        while not after.came:
            time.sleep(0.1)
        watch, began = Watch(relay.pid), time.monotonic()
        while (elapsed := time.monotonic() - began) < seconds:
            time.sleep(min(MINUTE / 6, seconds - elapsed))
            held = watch.take()
            if len(watch.samples) % 6 == 0:
                counts = f"{len(before.came)} sent, {len(after.came)} returned"
                report(f"{held.seconds / MINUTE:5.1f} min: {counts}; {held}")
        found, sent = delays(before, after), len(before.came)
    span = min(8 * MINUTE, seconds / 4)
    start = found[0][0] + MINUTE / 2  # what FFmpeg buffered while it looked at the stream came at once
    early = [delay for at, delay in found if start <= at < start + span]
    late = [delay for at, delay in found if at >= found[-1][0] - span]
    quick = [statistics.quantiles(part, n=10)[0] for part in (early, late)]
    growth, level = watch.growth(), statistics.median(sample.mebibytes for sample in watch.samples)
    drift = statistics.median(late) - statistics.median(early)
    report(
        f"{sent} pictures sent, {len(found)} returned; from the first to the last {span / MINUTE:.0f} minutes the delay"
        f" grew by {(quick[1] - quick[0]) * 1e3:+.1f} ms (p10), {drift * 1e3:+.1f} ms (p50);"
        f" memory {growth.mebibytes:+.1f} of {level:.1f} MiB,"
        f" threads {growth.threads:+d}, descriptors {growth.descriptors:+d}"
    )
    return abs(drift) < 1 / RATE and growth.mebibytes < 0.03 * level and growth.threads <= 0 and growth.descriptors <= 0


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
