"""Who may come in: the holder of a token, by the metadata of a call; the tokens' file is read again when it changes."""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from pathlib import Path

from flowgimbal.server import tokens
from flowgimbal.server.budget import Budget
from flowgimbal.server.config import ServeConfig
from flowgimbal.server.errors import StartupError, Unauthenticated
from flowgimbal.server.limits import Places
from flowgimbal.server.tokens import Grant

logger = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""So often the file is looked at."""
_SCHEME = "bearer "


class Holder:
    """One who holds a token: what it may still take. Belongs to the event loop."""

    def __init__(self, grant: Grant) -> None:
        self._places: Places | None = None
        self._budget: Budget | None = None
        self.revoked = False
        """Its token is not accepted any more."""
        self.take_over(grant)

    def take_over(self, grant: Grant) -> None:
        """Other limits from now on; what runs, runs on."""
        self.grant = grant
        if grant.max_streams is None:
            self._places = None
        elif self._places is None:
            self._places = Places(grant.max_streams, "streams", f"the token of {grant.name}")
        else:
            self._places.limit = grant.max_streams
        rate = grant.max_pixels_per_second
        if rate is None or self._budget is None or self._budget.rate != rate:
            self._budget = None if rate is None else Budget(rate)

    def place(self) -> AbstractContextManager[None]:
        """A place for a stream; TooMany on entering it if there is none."""
        return self._places.take() if self._places else nullcontext()

    def spend(self, pixels: int, now_ns: int) -> float:
        """0 if a frame of ``pixels`` is within its budget, else the seconds until it would be."""
        if self._budget is None or self._budget.spend(pixels, now_ns):
            return 0.0
        return self._budget.wait_seconds(pixels)

    def check(self) -> None:
        """Raise Unauthenticated if the token is not accepted any more."""
        if self.revoked:
            message = "the token was taken back while the stream ran; ask the operator for another"
            raise Unauthenticated("TOKEN_REVOKED", message)


ANYBODY = Holder(Grant("", b"", observe=True))
"""Who comes where no tokens are needed."""

holder: ContextVar[Holder] = ContextVar("holder", default=ANYBODY)
"""In whose name the present call runs."""


class Access:
    """The tokens in force. Belongs to the event loop; raises StartupError if they cannot be read at first."""

    def __init__(self, config: ServeConfig) -> None:
        self._path = Path(config.tokens_file) if config.tokens_file else None
        self._holders: dict[str, Holder] = {}
        self._seen: object = None
        self._needed = bool(config.tokens_file or config.tokens)
        try:
            self._fixed = tokens.of_pairs(config.tokens)
        except ValueError as error:
            raise StartupError(f"tokens: {error}") from None
        try:
            self._seen = self._stamp()
            self._replace(self._read())
        except (OSError, ValueError) as error:
            raise StartupError(f"tokens_file: {self._path}: {_why(error)}") from None

    def admit(self, metadata: Iterable[tuple[str, str | bytes]]) -> Holder:
        """Whose token the call shows; raises Unauthenticated."""
        if not self._needed:
            return ANYBODY
        shown = next((value for key, value in metadata if key == "authorization"), None)
        if shown is None:
            message = "this server wants a token: send the metadata `authorization: Bearer TOKEN`"
            raise Unauthenticated("TOKEN_MISSING", message)
        text = shown.decode("ascii", "replace") if isinstance(shown, bytes) else shown
        if not text.lower().startswith(_SCHEME):
            raise Unauthenticated("TOKEN_MISSING", "authorization: not of the form `Bearer TOKEN`")
        presented = tokens.digest(text[len(_SCHEME) :].strip())
        found = None
        for known in self._holders.values():  # all of them: the time tells nothing of which comes near
            if hmac.compare_digest(known.grant.digest, presented):
                found = known
        if found is None:
            raise Unauthenticated("TOKEN_UNKNOWN", "the token is none that this server knows; ask the operator for one")
        return found

    def issue(self, name: str) -> str:
        """A token for a part of this very process, good for every stream; empty if none is needed."""
        if not self._needed:
            return ""
        token = secrets.token_urlsafe(32)
        self._fixed += (Grant(name, tokens.digest(token), observe=True),)
        try:
            self._replace(self._read())
        except (OSError, ValueError) as error:
            raise StartupError(f"tokens: {self._path or 'of the settings'}: {_why(error)}") from None
        return token

    async def watch(self) -> None:
        """Keep up with the file until cancelled."""
        while self._path is not None:
            await asyncio.sleep(LOOK_SECONDS)
            self.refresh()

    def refresh(self) -> None:
        """Read the file again if it changed. A file that is broken changes nothing, and the log says so."""
        try:
            stamp = self._stamp()
            if stamp == self._seen:
                return
            self._seen = stamp
            self._replace(self._read())
        except (OSError, ValueError) as error:
            if self._seen is not None:
                logger.error("the tokens stay as they were: %s: %s", self._path, _why(error))
            if isinstance(error, OSError):
                self._seen = None
            return
        logger.info("the tokens were read again", extra={"holders": len(self._holders)})

    def _stamp(self) -> object:
        if self._path is None:
            return None
        status = self._path.stat()
        return status.st_mtime_ns, status.st_size, status.st_ino

    def _read(self) -> tuple[Grant, ...]:
        of_file = tokens.read(self._path.read_text("utf-8")) if self._path else ()
        return tokens.unique(self._fixed + of_file)

    def _replace(self, grants: Iterable[Grant]) -> None:
        """Holders keep their places and budgets while their token is the same."""
        before, self._holders = self._holders, {}
        for grant in grants:
            known = before.pop(grant.name, None)
            if known is not None and known.grant.digest == grant.digest:
                known.take_over(grant)
            else:
                if known is not None:
                    known.revoked = True
                known = Holder(grant)
            self._holders[grant.name] = known
        for gone in before.values():
            gone.revoked = True


def _why(error: Exception) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
