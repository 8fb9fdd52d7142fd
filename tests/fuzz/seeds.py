"""Writes inputs of the decoder that are as they should be, for a fuzzer to begin with: ``python -m fuzz.seeds FOLDER``.

What the session's target reads is made of decisions: it begins with nothing. The corpora are what came of both.
"""

from __future__ import annotations

import sys
from pathlib import Path

from flowgimbal.v1 import stabilizer_pb2 as pb
from fuzz import decoder
from fuzz.pictures import ENCODINGS, SIZES, sequence


def decoder_seed(encoding: pb.Encoding, output: pb.Encoding, size: tuple[int, int], *, lossless: bool) -> bytes:
    """A sequence of one encoding, to be encoded in another."""
    head = (decoder.INPUTS.index(encoding), lossless, decoder.OUTPUTS.index(output))
    frames = (
        b"".join(number.to_bytes(2, "little") for number in (*size, 0, len(data))) + data
        for data in sequence(encoding, size)
    )
    return bytes(head) + b"".join(frames)


def write(folder: Path) -> None:
    """Every encoding in every size, as it is and encoded in another."""
    folder.mkdir(parents=True, exist_ok=True)
    for encoding in ENCODINGS:
        for number, size in enumerate(SIZES):
            for output in (pb.ENCODING_UNSPECIFIED, ENCODINGS[(ENCODINGS.index(encoding) + 3 * number + 1) % 8]):
                name = f"{pb.Encoding.Name(encoding)}-{pb.Encoding.Name(output)}-{size[0]}x{size[1]}".lower()
                seed = decoder_seed(encoding, output, size, lossless=number % 2 == 0)
                (folder / name).write_bytes(seed)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
