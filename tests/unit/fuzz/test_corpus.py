"""What fuzzing found worth keeping, once more, and without the fuzzer."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from fuzz import decoder, returned, session
from fuzz.pictures import ENCODINGS, LENGTH, SIZES
from fuzz.seeds import decoder_seed
from fuzz.verdict import ServersFault

CORPUS = Path(__file__).parents[2] / "fuzz" / "corpus"


@pytest.mark.parametrize(
    "target",
    [pytest.param(decoder, id="decoder"), pytest.param(session, id="session", marks=pytest.mark.slow)],
)
def test_no_input_of_the_corpus_is_too_much(target):
    inputs = sorted((CORPUS / target.__name__.removeprefix("fuzz.")).iterdir())
    assert len(inputs) > 50
    for path in inputs:
        try:
            target.run(path.read_bytes())
        except BaseException as error:
            error.add_note(f"the input: {path.name}")
            raise


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_what_is_as_it_should_be_comes_back(encoding, monkeypatch):
    seen = []
    check = returned.check
    monkeypatch.setattr(returned, "check", lambda steady, limit: (seen.append(steady), check(steady, limit)))
    for output in decoder.OUTPUTS:
        decoder.run(decoder_seed(encoding, output, SIZES[0], lossless=True))
    assert len(seen) == LENGTH * len(decoder.OUTPUTS)


def at_random(count: int) -> None:
    """Streams of whose frames some are raw pictures."""
    for seed in range(count):
        session.run(random.Random(seed).randbytes(600))


def test_a_fault_would_be_seen(monkeypatch):
    """A target that accepts everything proves nothing: one fault of each kind, made on purpose."""
    gray = bytes((decoder.INPUTS.index(5), 1, 0)) + bytes((4, 0, 2, 0, 0, 0, 8, 0)) + bytes(8)
    decoder.run(gray)
    monkeypatch.setattr(decoder._Road, "_drop", lambda self: None)
    broken = bytes((decoder.INPUTS.index(6), 0, 0)) + bytes(6) + bytes((1, 0, 9))
    with pytest.raises(ServersFault):  # a frame that nobody counted
        decoder.run(broken)

    def failing(*_: object) -> None:
        raise RuntimeError("made on purpose")

    monkeypatch.setattr("flowgimbal.server.codecs.raw.RawCodec.decode", failing)
    with pytest.raises(RuntimeError, match="made on purpose"):
        decoder.run(gray)
    with pytest.raises(ServersFault, match="INTERNAL"):
        at_random(12)
