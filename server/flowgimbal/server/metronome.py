"""The camera's own beat, behind the times that its frames bear.

A sensor takes its pictures evenly; what stamps them may not: a driver, a network, a phone that is busy. Where frames
are said to be 9 to 109 ms apart, the motion between two of them has nothing to do with how far apart they are said to
be. So times are believed while they are even: whole multiples of a beat, since frames may be dropped. Else each frame
counts for one usual interval, unless many must have been dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from flowgimbal.engines.timeline import REACH
from flowgimbal.server.window import NOMINAL

RECENT = 30  # intervals that are judged: about a second of them
FEW = 8  # intervals that are too few to judge
LOW = 8  # one interval in so many may be shorter than a beat
MOST_DROPPED = 4  # beats to a frame, on average; where there would be more, frames came in bursts
REFINED = 3  # rounds in which the beat is refined
EVEN = 0.06  # of the beat: what three quarters of even times differ from its multiples by, at most
TICK = 0.6e-3  # seconds; times are often told in milliseconds
MANY = 6.0  # usual intervals; what comes later than that was not just stamped late


class Metronome:
    """Listens to the times of one stream's frames."""

    def __init__(self) -> None:
        self._time_ns: int | None = None
        self._recent: deque[float] = deque(maxlen=RECENT)

    def since(self, time_ns: int) -> float:
        """Seconds in which the camera came to the frame of this time from the one before; more than REACH are a gap.

        Times that stand still or go back say nothing: then it is one usual interval.
        """
        seconds = -1.0 if self._time_ns is None else (time_ns - self._time_ns) * 1e-9
        self._time_ns = time_ns
        if seconds > REACH:
            return seconds
        if seconds >= 0.0:
            self._recent.append(seconds)
        ordered = sorted(self._recent)
        if seconds > 0.0 and (len(ordered) < FEW or _even(ordered)):
            return seconds
        usual = _usual(ordered) or NOMINAL
        return seconds if seconds > MANY * usual else usual


def _even(ordered: Sequence[float]) -> bool:
    """Whether three quarters of the intervals, shortest first, are whole multiples of a beat."""
    beat = ordered[len(ordered) // LOW]
    for _ in range(REFINED):
        if beat * len(ordered) * MOST_DROPPED < sum(ordered):
            return False
        beat = sum(ordered) / sum(max(1, round(interval / beat)) for interval in ordered)
    away = sorted(abs(interval - beat * max(1, round(interval / beat))) for interval in ordered)
    return away[3 * len(away) // 4] < max(EVEN * beat, TICK)


def _usual(ordered: Sequence[float]) -> float:
    """The mean of the intervals, but for those before which many frames were dropped; 0 of none."""
    longest = MANY * sum(ordered) / max(1, len(ordered))
    usual = [interval for interval in ordered if interval <= longest]
    return sum(usual) / max(1, len(usual))
