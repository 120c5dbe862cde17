"""Who has to show a certificate is let in by a good one alone, and looked at before he asks."""

from __future__ import annotations

import ast
import hashlib
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.process.ports import Security
from tests.neighbours.certificates import Authority, Certificate, self_signed
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import command, person
from tests.server.tls_stage import SecureRaw, TlsServer, WireClient, showing, trusting

pytestmark = pytest.mark.needs("openssl")

PERSONS = [("CfgPerson", person(dbid)) for dbid in range(1, 10)]
REQUIRED, ASKED = 2, 1
END = "-----END CERTIFICATE-----\n"
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> Certificate:
    return authority.issue()


def mutual(
    leaf: Certificate, authority: Authority, how: int, crl: bytes = b""
) -> dict[str, object]:
    return leaf.bundle(ca=authority.root.read_bytes(), mutual=how, crl=crl)


@pytest.fixture
def server(leaf: Certificate, authority: Authority) -> Iterator[TlsServer]:
    one = TlsServer(PERSONS, mutual(leaf, authority, REQUIRED))
    yield one
    one.stop()


def sign_in(server: TlsServer, context: ssl.SSLContext, **words: Any) -> SecureRaw:
    """A client that got an answer: under TLS 1.3 a refusal comes after its own handshake."""
    client = SecureRaw(server.port, context, **words)
    assert client.call("AUTH", "x") == "OK"
    return client


def is_refused(server: TlsServer, context: ssl.SSLContext) -> bool:
    try:
        sign_in(server, context).close()
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def facts(client: SecureRaw) -> dict[str, Any] | None:
    said: dict[str, Any] | None = ast.literal_eval(client.call("CERTIFICATE"))
    return said


@pytest.mark.parametrize("version", VERSIONS)
def test_what_a_certificate_says_is_known(
    server: TlsServer, authority: Authority, version: ssl.TLSVersion
) -> None:
    jo = authority.below().issue("Jörg", uris=("csp:joerg", "urn:x"), names=(), addresses=())
    context = showing(authority.root, jo, minimum_version=version, maximum_version=version)
    known = facts(sign_in(server, context))
    assert known is not None
    assert (known["common_name"], known["subject"]) == ("Jörg", "CN=Jörg")
    assert (known["uris"], known["names"]) == (("csp:joerg", "urn:x"), ())
    first, _, _ = jo.certificate.read_text().partition(END)
    assert known["fingerprint"] == hashlib.sha256(ssl.PEM_cert_to_DER_cert(first + END)).hexdigest()


def test_each_bad_certificate_is_refused_and_counted(
    server: TlsServer, authority: Authority, tmp_path: Path
) -> None:
    other = Authority(tmp_path / "other")
    server_only = authority.issue("server", purposes="serverAuth")
    bad = [
        None,
        authority.expired("jo"),
        authority.not_yet("jo"),
        other.issue("jo"),
        self_signed(tmp_path / "self", "jo"),
        server_only,
    ]
    for one in bad:
        assert is_refused(server, showing(authority.root, one)), one
    sign_in(server, showing(authority.root, authority.issue("jo")))
    counters = server.control.slot_counters(0)
    assert (counters["handshakes_failed"], counters["handshakes"]) == (len(bad), 1)


@pytest.mark.parametrize("number", range(6))
def test_why_one_was_refused_is_told(
    leaf: Certificate, authority: Authority, tmp_path: Path, number: int
) -> None:
    """The first failure of a worker is told at once, in OpenSSL's words."""
    revoked = authority.issue("revoked")
    authority.revoke(revoked)
    crl = authority.crl().read_bytes()
    one, why = [
        (None, "peer did not return a certificate"),
        (authority.expired("jo"), "certificate has expired"),
        (Authority(tmp_path / "other").issue("jo"), "unable to get local issuer certificate"),
        (self_signed(tmp_path / "self", "jo"), "self-signed certificate"),
        (authority.issue("server", purposes="serverAuth"), "unsuitable certificate purpose"),
        (revoked, "certificate revoked"),
    ][number]
    server = TlsServer(PERSONS, mutual(leaf, authority, REQUIRED, crl))
    try:
        assert is_refused(server, showing(authority.root, one))
        good = sign_in(server, showing(authority.root, authority.issue("jo")))
        assert why in wait_until(lambda: good.call("FAILED"), what="why")[0]
    finally:
        server.stop()


def test_who_does_not_trust_the_server_is_counted_and_told(
    leaf: Certificate, authority: Authority, tmp_path: Path
) -> None:
    """His alert says so: the failure that a renewed certificate of another authority brings."""
    server = TlsServer(PERSONS, leaf.bundle())
    try:
        stranger = trusting(Authority(tmp_path / "other").root)
        client = WireClient(server.port, stranger)
        with pytest.raises(ssl.SSLCertVerificationError):
            client.shake()
        client.push()  # his alert
        good = sign_in(server, trusting(authority.root))
        assert "unknown ca" in wait_until(lambda: good.call("FAILED"), what="why")[0]
        assert server.control.slot_counters(0)["handshakes_failed"] == 1
    finally:
        server.stop()


def test_who_is_only_asked_may_come_without(leaf: Certificate, authority: Authority) -> None:
    """But not with a bad one."""
    server = TlsServer(PERSONS, mutual(leaf, authority, ASKED))
    try:
        assert facts(sign_in(server, trusting(authority.root))) is None
        known = facts(sign_in(server, showing(authority.root, authority.issue("jo"))))
        assert known is not None
        assert known["common_name"] == "jo"
        assert is_refused(server, showing(authority.root, authority.expired("jo")))
    finally:
        server.stop()


def test_nobody_is_asked_where_none_is_demanded(leaf: Certificate, authority: Authority) -> None:
    server = TlsServer(PERSONS, leaf.bundle(), security=Security.AUTO)
    try:
        assert facts(sign_in(server, showing(authority.root, authority.issue("jo")))) is None
        plain = server.connect()
        assert plain.call("CERTIFICATE") == "None"
        assert plain.call("SECURED") == ""
    finally:
        server.stop()


def test_a_name_with_two_cns_or_a_hidden_end_is_nobodys(
    server: TlsServer, authority: Authority
) -> None:
    two = authority.issue("jo/CN=default")
    known = facts(sign_in(server, showing(authority.root, two)))
    assert known is not None
    assert known["common_name"] == ""


def test_a_list_of_the_revoked_that_has_ended_lets_nobody_in(
    leaf: Certificate, authority: Authority
) -> None:
    crl = authority.crl(until_days=-1).read_bytes()
    server = TlsServer(PERSONS, mutual(leaf, authority, REQUIRED, crl))
    try:
        assert is_refused(server, showing(authority.root, authority.issue("jo")))
    finally:
        server.stop()


@pytest.mark.parametrize("version", VERSIONS)
def test_no_request_is_run_before_its_client_is_admitted(
    leaf: Certificate, authority: Authority, version: ssl.TLSVersion
) -> None:
    """Also where the request came in one piece with the end of the handshake."""
    server = TlsServer(
        PERSONS, mutual(leaf, authority, REQUIRED), security=Security.AUTO, holds=True
    )
    try:
        observer = server.connect()
        jo = authority.issue("jo")
        context = showing(authority.root, jo, minimum_version=version, maximum_version=version)
        client = WireClient(server.port, context)
        while not client.step():
            client.push()
            client.pull()
        client.tls.write(command("AUTH", "x") + command("GET", "CfgPerson:1"))
        client.push()
        wait_until(lambda: observer.call("HELD") == 1, what="it is looked at")
        commands = server.control.slot_counters(0)["commands"]
        assert observer.call("HELD") == 1
        assert server.control.slot_counters(0)["commands"] == commands + 1  # the observer's
        assert observer.call("ADMIT") == "OK"
        assert client.read(5) == b"+OK\r\n"
        assert client.read(1) == b"$"
    finally:
        server.stop()


def test_who_goes_while_he_is_looked_at_leaves_nothing(
    leaf: Certificate, authority: Authority
) -> None:
    server = TlsServer(
        PERSONS, mutual(leaf, authority, REQUIRED), security=Security.AUTO, holds=True
    )
    try:
        observer = server.connect()
        client = SecureRaw(server.port, showing(authority.root, authority.issue("jo")))
        wait_until(lambda: observer.call("HELD") == 1, what="it is looked at")
        client.close(reset=True)
        wait_until(lambda: "'connections': 1," in observer.call("counters"), what="it has gone")
        assert observer.call("ADMIT") == "OK"
        assert server.control.slot_counters(0)["tls_connections"] == 0
    finally:
        server.stop()
