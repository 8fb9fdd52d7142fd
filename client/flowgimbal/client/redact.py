"""Addresses as they may be shown: without the password that some carry."""

from __future__ import annotations

import re

_PASSPHRASE = re.compile(r"(?<=[?&]passphrase=)[^&]*")
_HOST = re.compile(r"(\[[^]@]*]|[^][:/?#@]*)(:\d{1,5})?(?=[/?#]|$)")
"""A host, a port if there is one, and the end of both: nobody is named before them."""


def shown(url: str) -> str:
    """``url`` without user and password, and with SRT's passphrase hidden, for logs and pages.

    Passwords are written with characters that should have been escaped, an ``@``, ``/``, ``?`` or ``#``. So all goes up
    to the last ``@``: better to leave out a part of the path than to show one of the password.
    """
    url = _PASSPHRASE.sub("***", url)
    scheme, separator, rest = url.partition("://")
    if not separator or _HOST.match(rest):
        return url
    return f"{scheme}://{rest.rpartition('@')[2]}"
