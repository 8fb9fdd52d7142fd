"""Messages for a stream over the wire, as bytes: sensible, spoilt, or no messages at all."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from flowgimbal.v1 import stabilizer_pb2 as pb
from fuzz import grammar
from fuzz.choices import Choices
from fuzz.pictures import ENCODINGS, LENGTH, SIZES, sequence

Recipe = Callable[[random.Random], Iterator[bytes]]

MOST = 300
"""Messages a stream."""


def anything(rng: random.Random) -> Iterator[bytes]:
    """A configuration, and what the grammar has."""
    choices = Choices(rng.randbytes(1 << 14))
    yield pb.StreamRequest(config=grammar.config(choices)).SerializeToString()
    clip = grammar.Clip()
    for _ in range(rng.randrange(MOST)):
        yield grammar.request(choices, clip).SerializeToString()


def damaged(rng: random.Random) -> Iterator[bytes]:
    """What `anything` sends, with bytes changed, left out, put in and doubled anywhere, the configuration's too."""
    for data in anything(rng):
        yield mutated(rng, data) if rng.random() < 0.1 else data


def noise(rng: random.Random) -> Iterator[bytes]:
    """Random bytes, at first or after a configuration."""
    if rng.random() < 0.5:
        yield _live(rng)
    for _ in range(8):
        yield rng.randbytes(rng.choice((0, 1, 2, 5, 20, 200, 5000)))


def broken_pictures(rng: random.Random) -> Iterator[bytes]:
    """A live stream, which goes on, of pictures that are damaged."""
    yield _live(rng)
    encoding = rng.choice((pb.ENCODING_JPEG, pb.ENCODING_H264, pb.ENCODING_HEVC))
    for number in range(rng.randrange(MOST)):
        data = sequence(encoding, rng.choice(SIZES))[number % LENGTH]
        if rng.random() < 0.7:
            data = mutated(rng, data)
        yield pb.StreamRequest(frame=pb.Frame(frame_id=number, encoding=encoding, data=data)).SerializeToString()


def sizes(rng: random.Random) -> Iterator[bytes]:
    """Another size with each frame, from one pixel on."""
    yield _live(rng)
    for number in range(rng.randrange(MOST)):
        width, height = rng.randrange(1, 200), rng.randrange(1, 200)
        data = bytes(width * height)
        frame = pb.Frame(frame_id=number, encoding=pb.ENCODING_GRAY8, width=width, height=height, data=data)
        yield pb.StreamRequest(frame=frame).SerializeToString()


def tunings(rng: random.Random) -> Iterator[bytes]:
    """Tunings, and hardly a frame."""
    yield _live(rng)
    clip = grammar.Clip()
    choices = Choices(rng.randbytes(1 << 14))
    for _ in range(rng.randrange(MOST)):
        if rng.random() < 0.05:
            yield pb.StreamRequest(frame=grammar.frame(choices, clip)).SerializeToString()
        else:
            yield pb.StreamRequest(tuning=grammar.tuning(choices)).SerializeToString()


def huge(rng: random.Random) -> Iterator[bytes]:
    """A message above the server's limit, and one just below."""
    yield _live(rng)
    for length in (MESSAGE_BYTES - 100, MESSAGE_BYTES + rng.randrange(1, 1000)):
        yield pb.StreamRequest(frame=pb.Frame(encoding=pb.ENCODING_JPEG, data=bytes(length))).SerializeToString()


MESSAGE_BYTES = 1 << 20
"""The server's limit."""
RECIPES: tuple[Recipe, ...] = (anything, anything, damaged, noise, broken_pictures, sizes, tunings, huge)


def mutated(rng: random.Random, data: bytes) -> bytes:
    """``data`` with up to four places changed."""
    changed = bytearray(data)
    for _ in range(rng.randrange(1, 5)):
        place, length = rng.randrange(len(changed) + 1), rng.choice((1, 1, 2, 4, 16))
        kind = rng.randrange(4)
        if kind == 0:
            changed[place : place + length] = rng.randbytes(length)
        elif kind == 1:
            del changed[place : place + length]
        elif kind == 2:
            changed[place:place] = rng.choice((b"\0", b"\xff", rng.randbytes(1))) * length
        else:
            changed[place:place] = changed[rng.randrange(len(changed) + 1) :][:length]
    return bytes(changed)


def _live(rng: random.Random) -> bytes:
    output = rng.choice((pb.ENCODING_UNSPECIFIED, *ENCODINGS))
    return pb.StreamRequest(config=pb.StreamConfig(mode=pb.MODE_LIVE, output_encoding=output)).SerializeToString()
