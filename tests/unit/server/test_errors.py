"""What clients send comes back in errors, and no error is too long for gRPC."""

from __future__ import annotations

import pytest

from flowgimbal.server.errors import InvalidArgument, to_status

MAX_METADATA = 8 << 10
"""Of gRPC: more is refused by chance, and twice as much always."""


@pytest.mark.parametrize("letter", ["x", "\N{LATIN SMALL LETTER E WITH ACUTE}", "\N{GRINNING FACE}", "\udc80"])
def test_errors_are_cut_to_what_grpc_takes(letter):
    status = to_status(InvalidArgument("REASON", letter * 100_000, field="field", value=letter * 100_000))
    ((_, details),) = status.trailing_metadata
    assert 3 * len(status.details.encode()) + 4 * len(details) // 3 < MAX_METADATA  # each escaped as it is at worst
    assert status.details.endswith("...")
    short = InvalidArgument("REASON", letter * 10)
    assert len(short.message) == 10
