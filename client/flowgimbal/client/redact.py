"""Addresses as they may be shown: without the password that some carry."""

from __future__ import annotations

import re

_PASSPHRASE = re.compile(r"(?<=[?&]passphrase=)[^&]*")


def shown(url: str) -> str:
    """``url`` without user and password, and with SRT's passphrase hidden, for logs and pages."""
    scheme, separator, rest = _PASSPHRASE.sub("***", url).partition("://")
    if not separator:
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
