"""Addresses as they may be shown: without the password that some carry."""

from __future__ import annotations


def shown(url: str) -> str:
    """``url`` without user and password, for logs and pages."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        return url
    authority, slash, path = rest.partition("/")
    return f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
