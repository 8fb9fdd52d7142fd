"""The options of commands with a page, and what it needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flowgimbal.client.web.door import Door

NO_WEB = "web: the page needs aiohttp; pip install 'flowgimbal[web]'"


@dataclass(frozen=True, kw_only=True)
class Page:
    """Where the page is, and who may see it."""

    web: str = field(default="", metadata={"help": "HOST:PORT of a page to watch and tune the streams; empty: none"})
    web_certificate: str = field(default="", metadata={"help": "PEM file of the page's certificate: https"})
    web_key: str = field(default="", metadata={"help": "PEM file of its key"})
    web_token_file: str = field(
        default="", metadata={"help": "file of the token that the page asks for; FLOWGIMBAL_WEB_TOKEN does, too"}
    )
    web_token: str = field(default="", repr=False, metadata={"help": "the token that it asks for", "secret": True})
    insecure: bool = False

    def __post_init__(self) -> None:
        from flowgimbal.server.config import host_and_port, is_local

        if not self.web:
            return
        host_and_port("web", self.web)
        if bool(self.web_certificate) != bool(self.web_key):
            raise ValueError("web_key: a certificate and its key go together; give both or neither")
        wanted = []
        if not self.web_certificate:
            wanted.append("TLS (web_certificate, web_key)")
        if not self.web_token_file and not self.web_token:
            wanted.append("a token (web_token_file)")
        if wanted and not self.insecure and not is_local(self.web):
            missing = " and ".join(wanted)
            raise ValueError(f"web: others reach {self.web}: it needs {missing}; take 127.0.0.1, or say insecure")

    def door(self) -> Door:
        """As the options say; ValueError, naming the option, if a file cannot be read or a token can be guessed."""
        from flowgimbal.client.web.door import Door
        from flowgimbal.server.config import host_and_port
        from flowgimbal.server.tokens import long_enough

        host, port = host_and_port("web", self.web)
        token = self.web_token and long_enough("web_token", self.web_token)
        if self.web_token_file:
            origin = f"web_token_file: {self.web_token_file}"
            try:
                content = Path(self.web_token_file).read_text("utf-8", "replace")
            except OSError as error:
                raise ValueError(f"{origin}: {error.strerror}") from error
            token = long_enough(origin, content.strip())
        return Door(host, port, self.web_certificate, self.web_key, token)
