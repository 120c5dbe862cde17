"""The certificates of a port are read whole or refused in words that say which part is wrong."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from csp._fastpath import TlsContext
from tests.neighbours.certificates import (
    Authority,
    Certificate,
    encrypted_key,
    run_openssl,
    self_signed,
)

pytestmark = pytest.mark.needs("openssl")

DAY_MS = 86_400_000
SLACK_MS = 600_000


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> Certificate:
    return authority.issue("Jörg, the server", uris=("csp:joerg",))


def is_about(when_ms: int, days: float) -> bool:
    return abs(when_ms - time.time() * 1000 - days * DAY_MS) < SLACK_MS


def test_it_says_whose_it_is_and_until_when(authority: Authority, leaf: Certificate) -> None:
    context = TlsContext(leaf.bundle())
    assert context.subject == "CN=Jörg\\, the server"
    assert context.names == ("localhost", "127.0.0.1", "::1")
    assert is_about(context.not_before_ms, -1)
    assert is_about(context.not_after_ms, 30)
    assert (context.crl_next_ms, context.mutual) == (0, 0)
    assert "BEGIN" not in repr(context)


def test_the_first_of_a_chain_to_end_counts(authority: Authority, tmp_path: Path) -> None:
    below = authority.below()
    long = below.issue(until_days=2000)  # longer than who vouches for it
    assert is_about(TlsContext(long.bundle()).not_after_ms, 365)
    short = below.issue(until_days=3)
    assert is_about(TlsContext(short.bundle()).not_after_ms, 3)


def test_an_expired_one_is_read_and_says_so(authority: Authority) -> None:
    """Whether it is used is for its keeper to decide."""
    assert is_about(TlsContext(authority.expired().bundle()).not_after_ms, -1)
    assert is_about(TlsContext(authority.not_yet().bundle()).not_before_ms, 1)


def test_the_first_list_to_end_counts(authority: Authority, leaf: Certificate) -> None:
    lists = authority.crl(until_days=7).read_bytes() + authority.crl(until_days=2).read_bytes()
    bundle = leaf.bundle(ca=authority.root.read_bytes(), crl=lists, mutual=2)
    context = TlsContext(bundle)
    assert is_about(context.crl_next_ms, 2)
    assert context.mutual == 2


def test_what_cannot_be_used_is_named(
    authority: Authority, leaf: Certificate, tmp_path: Path
) -> None:
    other = self_signed(tmp_path)
    root = authority.root.read_bytes()
    text = leaf.certificate.read_bytes()
    broken = text.replace(b"MII", b"!!!", 1)
    secret = encrypted_key(other, "open sesame").read_bytes()
    for change, words in [
        ({"certificate": b""}, "certificate: there is none in PEM form"),
        ({"certificate": b"no PEM"}, "certificate: there is none in PEM form"),
        ({"certificate": broken}, r"certificate: it is broken \("),
        ({"certificate": text + broken}, r"certificate: it is broken \("),
        ({"key": b""}, r"key: there is no private key in PEM form \("),
        ({"key": text}, r"key: there is no private key in PEM form \("),
        ({"key": other.key.read_bytes()}, r"key: it is not the certificate's"),
        ({"key": secret}, "key: it needs a password, which nobody could give it"),
        ({"mutual": 2}, "ca: there is none in PEM form"),
        ({"mutual": 1, "ca": broken}, r"ca: it is broken \("),
        ({"mutual": 2, "ca": root, "crl": root}, "crl: there is none in PEM form"),
        ({"mutual": 3}, "mutual: 3 is none of 0"),
        ({"protocols": "tlsv1.1"}, "protocols: 'tlsv1.1' is none of tlsv1.2, tlsv1.3"),
        ({"ciphers": "NO-SUCH"}, r"ciphers: 'NO-SUCH' can't be used \("),
        ({"ciphers": "TLS_NO_SUCH"}, r"ciphers: 'TLS_NO_SUCH' can't be used"),
        (
            {"ciphers": "TLS_AES_256_GCM_SHA384", "protocols": "tlsv1.2"},
            "ciphers: 'TLS_AES_256_GCM_SHA384' are of TLS 1.3, which the protocols leave out",
        ),
    ]:
        with pytest.raises(ValueError, match=words) as raised:
            TlsContext(leaf.bundle(**change))
        assert "BEGIN" not in str(raised.value)


def test_a_weak_key_is_refused(authority: Authority, tmp_path: Path) -> None:
    key, made = tmp_path / "weak.key", tmp_path / "weak.pem"
    kind = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]
    run_openssl("genpkey", *kind, "-out", str(key))
    run_openssl("req", "-x509", "-new", "-key", str(key), "-subj", "/CN=weak", "-out", str(made))
    with pytest.raises(ValueError, match=r"certificate: it can't be used .*key too small"):
        TlsContext(Certificate("weak", made, key).bundle())
