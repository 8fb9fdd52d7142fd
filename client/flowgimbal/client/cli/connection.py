"""The options of commands that talk to a server: where it is, and how they make themselves known."""

from __future__ import annotations

from dataclasses import dataclass, field

from flowgimbal.client.endpoint import DEFAULT_ADDRESS, Endpoint, Tls, token_file


@dataclass(frozen=True, kw_only=True)
class Connection:
    """Which server, and what it is shown."""

    server: str = field(
        default="",
        metadata={
            "help": "address of the server, HOST:PORT or unix:PATH, or several, separated by commas",
            "default": "one of its own",
        },
    )
    tls: bool = field(default=False, metadata={"help": "speak TLS, trusting the system's authorities"})
    tls_ca: str = field(default="", metadata={"help": "PEM file of the authorities to trust; speaks TLS"})
    tls_certificate: str = field(default="", metadata={"help": "PEM file of the certificate to show (mutual TLS)"})
    tls_key: str = field(default="", metadata={"help": "PEM file of its key"})
    tls_name: str = field(default="", metadata={"help": "name that the server's certificate must bear"})
    token_file: str = field(default="", metadata={"help": "file of the token to show; FLOWGIMBAL_TOKEN does, too"})
    token: str = field(default="", repr=False, metadata={"help": "the token to show", "secret": True})
    insecure: bool = field(default=False, metadata={"help": "send the token also where others can read it"})

    def __post_init__(self) -> None:
        if self.server:
            self.endpoint()  # its errors are this command's

    def endpoint(self, address: str = "") -> Endpoint:
        """As the options say, or at ``address``; ValueError, naming the option, for what cannot be meant."""
        wanted = address or self.server or DEFAULT_ADDRESS
        speaks_tls = self.tls or bool(self.tls_ca or self.tls_certificate or self.tls_name)
        tls = Tls(ca=self.tls_ca, certificate=self.tls_certificate, key=self.tls_key, name=self.tls_name)
        return Endpoint(
            tuple(part.strip() for part in wanted.split(",")),
            tls if speaks_tls else None,
            token_file(self.token_file) if self.token_file else self.token,
            self.insecure,
        )
