"""The camera's own beat, behind the times that its frames bear.

A sensor takes its pictures evenly; what stamps them may not: a driver, a network, a phone that is busy. Where frames
are said to be 9 to 109 ms apart, the motion between two of them has nothing to do with how far apart they are said to
be. So times are believed while they are even: whole multiples of a beat, since frames may be dropped. Else each frame
counts for one usual interval, unless many must have been dropped.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import islice

from flowgimbal.engines.timeline import REACH
from flowgimbal.server.window import NOMINAL

RECENT = 30  # intervals that are judged: about a second of them
FEW = 4  # intervals that are too few to judge
KEPT = 90  # intervals that say what is usual
LOW = 8  # one interval in so many may be shorter than a beat
MOST_DROPPED = 4  # beats to a frame, on average; where there would be more, frames came in bursts
REFINED = 3  # rounds in which the beat is refined
EVEN = 0.06  # of the beat: what three quarters of even times differ from its multiples by, at most
TICK = 0.6e-3  # seconds; times are often told in milliseconds
MANY = 6.0  # usual intervals; what comes later than that was not just stamped late
BURSTS = 1 / 3  # of the mean; a median further from it is of frames in a burst, or of what is between bursts


class Metronome:
    """Listens to the times of one stream's frames."""

    def __init__(self) -> None:
        self._time_ns: int | None = None
        self._intervals: deque[float] = deque(maxlen=KEPT)

    def since(self, time_ns: int) -> float:
        """Seconds in which the camera came to the frame of this time from the one before; more than REACH are a gap.

        Times that stand still or go back say nothing: then it is one usual interval.
        """
        seconds = -1.0 if self._time_ns is None else (time_ns - self._time_ns) * 1e-9
        self._time_ns = time_ns
        if seconds > REACH:
            return seconds
        if seconds >= 0.0:
            self._intervals.append(seconds)
        recent = sorted(islice(self._intervals, max(0, len(self._intervals) - RECENT), None))
        if seconds > 0.0 and (len(recent) < FEW or _even(recent)):
            return seconds
        usual = _usual(sorted(self._intervals)) or NOMINAL
        return seconds if seconds > MANY * usual else usual


def _even(ordered: Sequence[float]) -> bool:
    """Whether three quarters of the intervals, shortest first, are whole multiples of a beat."""
    beat = ordered[len(ordered) // LOW]
    for _ in range(REFINED):
        if beat * len(ordered) * MOST_DROPPED < sum(ordered):
            return False
        beat = sum(ordered) / sum(max(1, round(interval / beat)) for interval in ordered)
    away = sorted(abs(interval - beat * max(1, round(interval / beat))) for interval in ordered)
    return away[(3 * len(away) - 1) // 4] < max(EVEN * beat, TICK)


def _usual(ordered: Sequence[float]) -> float:
    """The usual one of the intervals, shortest first, but for those before which many frames were dropped; 0 of none.

    It is the median, which a hiccup does not move, or the mean where frames come in bursts.
    """
    longest = MANY * sum(ordered) / max(1, len(ordered))
    usual = [interval for interval in ordered if interval <= longest]
    if not usual:
        return 0.0
    mean, median = sum(usual) / len(usual), usual[len(usual) // 2]
    return median if abs(median - mean) < BURSTS * mean else mean
