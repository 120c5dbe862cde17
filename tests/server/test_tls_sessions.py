"""Sessions are resumed at any worker, after any reload, and no longer than they may."""

from __future__ import annotations

import contextlib
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neighbours.certificates import DAY, Authority, Certificate
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import command, person
from tests.server.tls_stage import SecureRaw, TlsServer, WireClient, showing, trusting

pytestmark = pytest.mark.needs("openssl")

PERSONS = [("CfgPerson", person(dbid)) for dbid in range(1, 10)]
VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
REQUIRED = 2


@pytest.fixture(scope="module")
def leaf(authority: Authority) -> Certificate:
    return authority.issue()


@pytest.fixture(params=VERSIONS, ids=lambda version: version.name)
def context(request: pytest.FixtureRequest, authority: Authority) -> ssl.SSLContext:
    version = request.param
    return trusting(authority.root, minimum_version=version, maximum_version=version)


class Visitor:
    """A client that comes again and again, each time with the session of the last."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.context = context
        self.session: ssl.SSLSession | None = None

    def visit(self, server: TlsServer, *calls: tuple[str, ...]) -> bool:
        """Whether his session was resumed."""
        client = SecureRaw(server.port, self.context, session=self.session)
        assert client.call("AUTH", "x") == "OK"
        for call in calls:
            assert client.call(*call) == "OK"
        self.session = client.secure.session
        resumed = client.secure.session_reused
        client.secure.unwrap()
        return bool(resumed)


@pytest.fixture
def two(leaf: Certificate) -> Iterator[list[TlsServer]]:
    """Two workers of one pool: they share the key of tokens, and nothing else."""
    servers = [TlsServer(PERSONS, leaf.bundle()) for _ in range(2)]
    yield servers
    for one in servers:
        one.stop()


def test_any_worker_resumes_what_another_began(
    two: list[TlsServer], context: ssl.SSLContext
) -> None:
    visitor = Visitor(context)
    assert [visitor.visit(two[number % 2]) for number in range(6)] == [False] + [True] * 5


def test_a_new_certificate_ends_no_session(
    leaf: Certificate, authority: Authority, context: ssl.SSLContext
) -> None:
    server = TlsServer(PERSONS, leaf.bundle(), others=[authority.issue().bundle()])
    try:
        visitor = Visitor(context)
        assert not visitor.visit(server, ("TAKE", "1"))
        assert visitor.visit(server)
    finally:
        server.stop()


def test_another_key_of_tokens_begins_anew_without_an_error(
    two: list[TlsServer], context: ssl.SSLContext
) -> None:
    visitor = Visitor(context)
    assert not visitor.visit(two[0], ("KEY", "2"))
    assert [visitor.visit(two[0]) for _ in range(2)] == [False, True]
    assert two[0].control.slot_counters(0)["handshakes_failed"] == 0


def test_without_a_key_there_are_no_tickets(leaf: Certificate, context: ssl.SSLContext) -> None:
    server = TlsServer(PERSONS, leaf.bundle(), tickets=False)
    try:
        visitor = Visitor(context)
        assert [visitor.visit(server) for _ in range(3)] == [False] * 3
        assert visitor.session is None or not visitor.session.has_ticket
    finally:
        server.stop()


def test_a_ticket_lives_for_two_periods_at_most(leaf: Certificate, context: ssl.SSLContext) -> None:
    period_ms = 1500
    server = TlsServer(PERSONS, leaf.bundle(), ticket_ms=period_ms)

    def period() -> int:
        return int(time.time() * 1000) // period_ms

    try:
        visitor = Visitor(context)
        assert not visitor.visit(server)
        kept, begun = visitor.session, period()  # sealed now, or a moment ago in the one before
        seen: dict[int, bool] = {}
        while period() <= begun + 3:
            before = period()
            visitor.session = kept
            resumed = visitor.visit(server)
            if before == period():
                seen[before - begun] = resumed
        assert seen[0] or seen[1]
        assert not seen[2]
        assert not seen[3]
        assert visitor.visit(server)  # by the ticket of the last visit
    finally:
        server.stop()


def mutual(leaf: Certificate, authority: Authority, crl: Path | None = None) -> dict[str, object]:
    text = crl.read_bytes() if crl else b""
    return leaf.bundle(ca=authority.root.read_bytes(), mutual=REQUIRED, crl=text)


def test_no_session_outlives_what_its_port_demands(
    leaf: Certificate, authority: Authority, tmp_path: Path
) -> None:
    """Another list of the revoked, other authorities, or a certificate demanded at all."""
    jo = authority.issue("jo")
    other = Authority(tmp_path / "other")
    both = authority.root.read_bytes() + other.root.read_bytes()
    bundles = [
        mutual(leaf, authority, authority.crl()),
        mutual(leaf, authority, authority.crl()),
        leaf.bundle(ca=both, mutual=REQUIRED),
        leaf.bundle(),
        mutual(leaf, authority),
    ]
    server = TlsServer(PERSONS, mutual(leaf, authority), others=bundles)
    try:
        visitor = Visitor(showing(authority.root, jo))
        assert [visitor.visit(server) for _ in range(2)] == [False, True]
        for number in range(1, len(bundles) + 1):
            assert visitor.visit(server, ("TAKE", str(number)))  # the last visit by the old one
            assert [visitor.visit(server) for _ in range(2)] == [False, True], number
    finally:
        server.stop()


def test_a_revoked_client_cannot_resume(leaf: Certificate, authority: Authority) -> None:
    jo = authority.issue("jo")
    before = authority.crl()
    authority.revoke(jo)
    revoked = mutual(leaf, authority, authority.crl())
    server = TlsServer(PERSONS, mutual(leaf, authority, before), others=[revoked])
    try:
        visitor = Visitor(showing(authority.root, jo))
        assert [visitor.visit(server), visitor.visit(server, ("TAKE", "1"))] == [False, True]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            visitor.visit(server)
    finally:
        server.stop()


@pytest.mark.parametrize("version", VERSIONS, ids=lambda version: version.name)
def test_a_handshake_begun_before_a_revocation_is_judged_by_it(
    leaf: Certificate, authority: Authority, version: ssl.TLSVersion
) -> None:
    """Whoever stalls his handshake until he is on the list would else be let in for good."""
    jo, ann = authority.issue("stalling"), authority.issue("ann")
    before = mutual(leaf, authority, authority.crl())
    authority.revoke(jo)
    newer = {**authority.issue("newer").bundle(), "mutual": REQUIRED, "ca": before["ca"]}
    others = [{**newer, "crl": before["crl"]}, mutual(leaf, authority, authority.crl())]
    server = TlsServer(PERSONS, before, others=others)
    words = {"minimum_version": version, "maximum_version": version}
    try:
        boss = SecureRaw(server.port, showing(authority.root, ann))
        assert boss.call("AUTH", "x") == "OK"
        renewed, stalled = (
            WireClient(server.port, showing(authority.root, one, **words)) for one in (ann, jo)
        )
        for client in (renewed, stalled):
            client.step()
            client.push()
            client.pull()
        assert boss.call("TAKE", "1") == "OK"
        renewed.shake()
        renewed.tls.write(command("PING"))
        renewed.push()
        assert renewed.read(7) == b"+PONG\r\n"
        assert boss.call("TAKE", "2") == "OK"
        with contextlib.suppress(ssl.SSLError, ConnectionError):
            stalled.shake()
            stalled.tls.write(command("PING"))
            stalled.push()
            assert stalled.read(7) == b""
        failed = wait_until(lambda: boss.call("FAILED"), what="why")
        assert "what its port asks of clients has changed" in failed[0]
    finally:
        server.stop()


def test_a_client_cannot_resume_when_his_certificate_has_ended(
    leaf: Certificate, authority: Authority
) -> None:
    seconds = 3
    jo = authority.issue("jo", until_days=seconds / DAY.total_seconds())
    end = time.time() + seconds + 1
    server = TlsServer(PERSONS, mutual(leaf, authority))
    try:
        visitor = Visitor(showing(authority.root, jo))
        assert [visitor.visit(server) for _ in range(2)] == [False, True]
        wait_until(lambda: time.time() > end, what="its end")
        with pytest.raises((ssl.SSLError, ConnectionError)):
            visitor.visit(server)
    finally:
        server.stop()


def test_open_connections_keep_their_certificate(leaf: Certificate, authority: Authority) -> None:
    """A reload is for those who come: nobody is cut off, and each sees the one he came by."""
    new = authority.issue("newer")
    server = TlsServer(PERSONS, leaf.bundle(), others=[new.bundle(), None])
    try:
        context = trusting(authority.root)
        old = SecureRaw(server.port, context)
        assert old.call("AUTH", "x") == "OK"
        assert old.call("TAKE", "1") == "OK"
        later = SecureRaw(server.port, context)
        seen = [one.secure.getpeercert() for one in (old, later)]
        assert [dict(sum(one["subject"], ()))["commonName"] for one in seen if one] == [
            "localhost",
            "newer",
        ]
        assert old.call("TAKE", "2") == "OK"  # none any more
        with pytest.raises((ssl.SSLError, ConnectionError)):
            SecureRaw(server.port, context)
        assert [one.call("PING") for one in (old,)] == ["PONG"]
        assert later.call("AUTH", "x") == "OK"
    finally:
        server.stop()
