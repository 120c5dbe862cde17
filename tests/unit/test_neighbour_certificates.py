"""The certificates that tests are made with are what they say, as Python's own TLS sees them."""

from __future__ import annotations

import socket
import ssl
import threading
from pathlib import Path

import pytest

from tests.neighbours.certificates import Authority, Certificate, self_signed

pytestmark = pytest.mark.needs("openssl")


def shake(authority: Authority, leaf: Certificate, crl: Path | None = None) -> dict[str, object]:
    """The certificate that a client of localhost sees, by Python on both sides; ssl.SSLError."""
    here, there = socket.socketpair()
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(leaf.certificate, leaf.key)
    client = ssl.create_default_context(cafile=str(authority.root))
    if crl is not None:
        client.load_verify_locations(crl)
        client.verify_flags |= ssl.VerifyFlags.VERIFY_CRL_CHECK_LEAF

    def serve() -> None:
        try:
            server.wrap_socket(there, server_side=True).close()
        except OSError:
            there.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with client.wrap_socket(here, server_hostname="localhost") as connection:
            return dict(connection.getpeercert() or {})
    finally:
        here.close()
        thread.join()


def test_good_ones_are_taken_also_by_way_of_an_authority_between(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    leaf = authority.below().issue("Jörg", uris=["csp:joerg"], rsa=True)
    seen = shake(authority, leaf, None)
    assert seen["subject"] == ((("commonName", "Jörg"),),)
    assert ("URI", "csp:joerg") in seen["subjectAltName"]  # type: ignore[operator]


def test_each_bad_one_is_refused_for_what_it_is(tmp_path: Path) -> None:
    authority, other = Authority(tmp_path / "ca"), Authority(tmp_path / "other")
    revoked = authority.issue("revoked")
    authority.revoke(revoked)
    crl = authority.crl()
    bad: list[tuple[Certificate, Path | None, str]] = [
        (authority.expired(), None, "expired"),
        (authority.not_yet(), None, "not yet valid"),
        (authority.other_name(), None, "[Hh]ostname mismatch"),
        (other.issue(), None, "unable to get local issuer"),
        (self_signed(tmp_path / "self"), None, "self-signed"),
        (revoked, crl, "revoked"),
        (authority.issue(), authority.crl(until_days=-1), "CRL has expired"),
    ]
    for leaf, with_crl, why in bad:
        with pytest.raises(ssl.SSLCertVerificationError, match=why):
            shake(authority, leaf, with_crl)
    shake(authority, authority.issue(), crl)
