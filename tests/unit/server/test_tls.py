"""Certificates that are read again."""

from pathlib import Path

import trustme

from flowgimbal.server.config import ServeConfig
from flowgimbal.server.tls import Certificates


def write(folder: Path) -> None:
    leaf = trustme.CA().issue_cert("127.0.0.1")
    leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
    leaf.cert_chain_pems[0].write_to_path(str(folder / "certificate.pem"))


def test_only_other_certificates_are_given_to_grpc(tmp_path):
    write(tmp_path)
    names = {"tls_certificate": str(tmp_path / "certificate.pem"), "tls_key": str(tmp_path / "key.pem")}
    certificates = Certificates(ServeConfig(**names))
    assert certificates.fetch() is None
    write(tmp_path)
    assert certificates.fetch() is not None
    assert certificates.fetch() is None
    (tmp_path / "key.pem").write_text("half a key")
    assert certificates.fetch() is None
