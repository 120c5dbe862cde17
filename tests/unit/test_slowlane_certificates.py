"""A worker's ports get new certificates; clients are signed in by those that they show."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.model.keys import KEYS
from csp.model.sessions import CERTIFICATE
from csp.model.types import ACCOUNT_CLASS_ID, CLASSES
from csp.process.ports import Port, Security
from csp.tls.files import Bundle
from csp.tls.published import Memory, make_memory
from csp.worker.bundles import AWAITED_MS, LOOK_AWAITED_MS, LOOK_MS
from csp.worker.certificates import ENDED, LOADING_MS, SLICE_SESSIONS
from csp.worker.handshake import AUTH_RETRY_MS
from tests.unit.fake_loop import Server
from tests.unit.tls_stage import Fitting

PERSON = CLASSES["CfgPerson"]
USER_NAME = KEYS["CfgPerson", "user_name"].key_id
EXTERNAL_ID = KEYS["CfgPerson", "external_id"].key_id
CONN = 7
ACCOUNT = '{"user":"ann","dbid":200,"revision":3,"sessions":2}'


def make(bundle: Bundle) -> Fitting:
    """A context for the test: a certificate is its subject."""
    text = bundle["certificate"]
    assert isinstance(text, bytes)
    if text == b"bad":
        raise ValueError("it is bad")
    return Fitting(text.decode())


class Accounts:
    """Whose sessions there are."""

    def __init__(self) -> None:
        self.others = 0
        self.sessions: list[tuple[int, int, int]] = []

    def count(self, account: int) -> int:
        return self.others

    def of(self, accounts: list[int] | None) -> list[tuple[int, int, int]]:
        return self.sessions


class Stage:
    """A worker with a plain port, and TLS ones: by common name, by URI, for whoever has one."""

    def __init__(self, folder: Path, published: dict[int, Bundle]) -> None:
        self.fd = make_memory("test")
        self.keeper = Memory(self.fd)
        if published:
            self.keeper.write(published)
        mutual = {"tls-mutual": "1"}
        self.ports = (
            Port(0),
            Port(1, "cn", security=Security.SECURED, tls=mutual | {"certificate-user": "cn"}),
            Port(2, "uri", security=Security.AUTO, tls=mutual | {"certificate-user": "uri"}),
            Port(3, "none", security=Security.SECURED, tls=mutual),
        )
        self.server = Server(folder, ports=self.ports, tls_fd=self.fd)
        self.lane, self.loop = self.server.lane, self.server.loop
        self.accounts = Accounts()
        self.loop.accounts = self.accounts  # type: ignore[attr-defined]
        self.person(200, "ann")

    def person(self, dbid: int, user: str, external: str = "", **more: Any) -> None:
        reader = self.server.reader
        found = {"DBID": dbid, "userName": user, "externalID": external, **more}
        reader.objects[PERSON.id, dbid] = (1, found)
        reader.finds[USER_NAME, user.encode()] = [dbid]
        if external:
            reader.finds.setdefault((EXTERNAL_ID, external.encode()), []).append(dbid)

    def come(self, conn: int = CONN, port: int = 1, cn: str = "ann", *uris: str) -> None:
        """A client has shown a certificate."""
        shown = {"common_name": cn, "uris": uris, "subject": f"CN={cn}"}
        fields = {"port": port, "certificate": shown, "authenticated": False, "user": ""}
        self.server.connect(conn, account_dbid=0, **fields)
        self.lane.certified(conn)

    def question(self) -> list[bytes]:
        """What auth is asked, without the number."""
        words = self.server.auth.take()
        self.number = words[1]
        return [words[0], *words[2:]]

    def answer(self, *words: str | bytes) -> None:
        self.server.auth.answer(words[0], self.number, *words[1:])
        self.loop.poll()

    def session(self, conn: int = CONN) -> Any:
        return self.loop.sessions[conn]

    def close(self) -> None:
        self.server.close()
        os.close(self.fd)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    monkeypatch.setattr("csp.worker.slowlane.make_context", make)
    stage = Stage(tmp_path, {1: {"certificate": b"one"}})
    yield stage
    stage.close()


# ---- new certificates of ports


def subjects(stage: Stage) -> dict[int, str]:
    """What new connections are served by."""
    return {port: found.subject for port, found in stage.loop.contexts.items() if found}


def test_what_is_published_is_taken_before_anybody_is_accepted(stage: Stage) -> None:
    assert subjects(stage) == {1: "one"}
    assert stage.lane.bundles.shown[1].number == 1


def waiting(stage: Stage) -> set[int]:
    """The ports at which hellos wait."""
    return {port for port, awaits in stage.loop.awaited.items() if awaits}


def test_hellos_wait_at_ports_that_the_keeper_has_not_looked_at(stage: Stage) -> None:
    tls = {port.number for port in stage.lane.info.ports if port.security.value}
    assert waiting(stage) == tls - {1}
    stage.keeper.write({2: {"certificate": b"two"}}, looked_at=[3])  # which has no good one
    stage.loop.pass_time(LOOK_AWAITED_MS)
    assert waiting(stage) == tls - {1, 2, 3}


def test_hellos_do_not_wait_for_a_keeper_that_never_looks(stage: Stage) -> None:
    assert waiting(stage)
    stage.loop.pass_time(AWAITED_MS)
    assert not waiting(stage)


def test_only_what_has_changed_is_taken_later(stage: Stage) -> None:
    stage.loop.contexts.clear()
    stage.loop.pass_time(LOOK_MS)
    assert subjects(stage) == {}
    stage.keeper.write({1: {"certificate": b"one"}, 2: {"certificate": b"two"}})
    stage.loop.pass_time(LOOK_MS)
    assert subjects(stage) == {2: "two"}


def test_a_half_that_is_being_written_is_taken_when_it_is_whole(stage: Stage) -> None:
    stage.keeper.write({1: {"certificate": b"two"}})
    whole = bytes(stage.keeper._map[:])
    stage.keeper._map[100] ^= 0xFF
    stage.loop.pass_time(LOOK_MS)
    assert subjects(stage) == {1: "one"}
    stage.keeper._map[:] = whole
    stage.loop.pass_time(LOOK_MS)
    assert subjects(stage) == {1: "two"}


def test_what_can_not_be_used_here_leaves_the_one_before(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.keeper.write({1: {"certificate": b"bad"}, 2: {"certificate": b"two"}})
    stage.loop.pass_time(2 * LOOK_MS)
    assert subjects(stage) == {1: "one", 2: "two"}
    assert stage.lane.bundles.shown[1].number == 1
    assert caplog.text.count("port cn: this worker can't use certificate 2: it is bad") == 1


def test_a_bundle_for_a_port_that_is_not_tls_is_left_alone(stage: Stage) -> None:
    stage.keeper.write({0: {"certificate": b"one"}, 9: {"certificate": b"two"}})
    stage.loop.pass_time(LOOK_MS)
    assert subjects(stage) == {1: "one"}


# ---- clients


def test_the_common_name_says_who_it_is(stage: Stage) -> None:
    stage.come()
    assert stage.question() == [b"CERTIFICATE", b"127.0.0.1", b"ann", b"ann"]
    assert stage.loop.admitted == [], "its requests wait"
    stage.answer("DONE", ACCOUNT)
    session = stage.session()
    assert (session.user, session.account_dbid, session.authenticated) == ("ann", 200, True)
    assert session.credential_revision == 3
    assert stage.loop.admitted == [CONN]
    assert stage.lane.certificates.account_of(CONN) == 200
    (record,) = [one for one in stage.lane.session_records._waiting if one[3] == CONN]
    assert record[1] == CERTIFICATE


@pytest.mark.parametrize(
    ("uris", "user"),
    [
        (["csp:ann"], b"ann"),
        (["https://other.example/x", "spiffe://site/bob"], b"bob"),
        (["csp:ann", "csp:ann"], b"ann"),
    ],
)
def test_a_uri_says_who_it_is(stage: Stage, uris: list[str], user: bytes) -> None:
    stage.person(201, "bob", "spiffe://site/bob")
    stage.come(CONN, 2, "whatever", *uris)
    assert stage.question() == [b"CERTIFICATE", b"127.0.0.1", user, b"whatever"]


@pytest.mark.parametrize(
    ("port", "cn", "uris"),
    [
        (1, "nobody", ["csp:ann"]),
        (1, "", ["csp:ann"]),
        (2, "ann", []),
        (2, "ann", ["csp:nobody", "csp:"]),
        (2, "ann", ["csp:ann", "spiffe://site/bob"]),  # both: who is it
        (2, "ann", ["spiffe://site/two"]),
    ],
)
def test_who_is_named_nobody_may_sign_in_by_a_password(
    stage: Stage, port: int, cn: str, uris: list[str]
) -> None:
    stage.person(201, "bob", "spiffe://site/bob")
    stage.person(202, "carl", "spiffe://site/two")
    stage.person(203, "dan", "spiffe://site/two")
    stage.come(CONN, port, cn, *uris)
    assert stage.question() == [b"CERTIFICATE", b"127.0.0.1", b"", cn.encode()], "for auth to tell"
    stage.answer("FAIL", "WRONGPASS the certificate names nobody who may sign in here")
    assert not stage.session().authenticated
    assert stage.loop.admitted == [CONN]


def test_a_port_that_maps_nobody_only_lets_in(stage: Stage) -> None:
    stage.come(CONN, 3)
    assert stage.loop.admitted == [CONN]
    assert not stage.session().authenticated


def test_whom_auth_refuses_is_not_signed_in(stage: Stage) -> None:
    stage.come()
    stage.question()
    stage.answer("FAIL", "LOCKED the account is locked: too many wrong passwords")
    assert not stage.session().authenticated
    assert stage.loop.admitted == [CONN]


def test_more_sessions_than_the_rules_allow_are_refused(stage: Stage) -> None:
    stage.accounts.others = 2
    stage.come()
    stage.question()
    stage.answer("DONE", ACCOUNT)
    assert stage.question()[:3] == [b"REFUSED", b"127.0.0.1", b"ann"]
    assert not stage.session().authenticated
    assert stage.loop.admitted == [CONN]


def test_while_the_store_is_loaded_it_waits(stage: Stage) -> None:
    stage.server.control.state = 0
    stage.come()
    stage.loop.pass_time(LOADING_MS)
    assert stage.loop.admitted == []
    stage.server.control.state = 1
    stage.loop.pass_time(LOADING_MS)
    assert stage.question()[0] == b"CERTIFICATE"


def test_a_restarted_auth_is_asked_again(stage: Stage) -> None:
    stage.come()
    stage.question()
    stage.server.auth.hang_up()
    stage.loop.poll()
    stage.loop.pass_time(AUTH_RETRY_MS)
    stage.loop.pass_time(1_000)
    assert stage.question()[0] == b"CERTIFICATE"


def test_a_client_that_goes_meanwhile_is_forgotten(stage: Stage) -> None:
    stage.come()
    stage.question()
    stage.server.disconnect(CONN)
    stage.answer("DONE", ACCOUNT)
    assert stage.loop.admitted == []
    assert CONN not in stage.lane.states


def test_who_is_disabled_while_auth_decides_is_not_signed_in(stage: Stage) -> None:
    stage.come()
    stage.question()
    stage.person(200, "ann", state="disabled")
    stage.answer("DONE", ACCOUNT)
    assert not stage.session().authenticated
    assert stage.loop.admitted == [CONN]


# ---- what was revoked


def test_who_came_by_a_certificate_that_is_revoked_is_ended(stage: Stage) -> None:
    for conn, port in ((10, 1), (11, 1), (12, 3)):
        stage.come(conn, port, "nobody" if conn == 11 else "ann")
    stage.session(10).revoked = stage.session(12).revoked = True
    stage.keeper.write({1: {"certificate": b"new"}})
    stage.loop.pass_time(LOOK_MS + 1)
    assert stage.loop.closing == {10}, "of the port that has the list alone"
    assert stage.lane.states[10].why_ending == ENDED
    stage.keeper.write({1: {"certificate": b"new"}, 3: {"certificate": b"three"}})
    stage.loop.pass_time(LOOK_MS + 1)
    assert stage.loop.closing == {10, 12}


def test_who_began_before_the_list_came_and_ends_the_handshake_after_it_is_ended(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    shown = {"common_name": "ann", "uris": (), "subject": "CN=ann"}
    fields = {"port": 1, "certificate": shown, "authenticated": False, "user": ""}
    stage.server.connect(CONN, account_dbid=0, **fields)
    stage.session().revoked = True
    stage.keeper.write({1: {"certificate": b"new"}})
    stage.loop.pass_time(LOOK_MS + 1)
    stage.lane.certified(CONN)
    assert stage.loop.closing == {CONN}
    assert stage.loop.admitted == []
    assert stage.lane.states[CONN].why_ending == ENDED
    assert "port cn: 1 connections ended" in caplog.text


def test_many_are_looked_at_in_slices(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    many = range(100, 101 + SLICE_SESSIONS)
    for conn in many:
        stage.come(conn, 3)
        stage.session(conn).revoked = True
    stage.lane.certificates.changed(3, Fitting("new"))  # type: ignore[arg-type]
    stage.loop.turn()
    assert len(stage.loop.closing) == SLICE_SESSIONS
    stage.loop.turn()
    assert stage.loop.closing == set(many)
    assert f"port none: {len(many)} connections ended" in caplog.text


# ---- accounts that sign in by a certificate alone


def test_another_password_does_not_end_who_signed_in_by_a_certificate(stage: Stage) -> None:
    reader = stage.server.reader
    stage.come()
    stage.question()
    stage.answer("DONE", ACCOUNT)
    record = {"user": "ann", "algorithm": "a", "hash": "h", "revision": 9}
    reader.objects[ACCOUNT_CLASS_ID, 200] = (9, record)
    stage.accounts.sessions = [(CONN, 200, 3)]
    stage.lane.accounts_changed([200])
    assert stage.loop.closing == set()
    stage.person(200, "ann", state="disabled")
    stage.lane.accounts_changed([200])
    assert stage.loop.closing == {CONN}
    assert stage.lane.states[CONN].why_ending == "its account was disabled or deleted"


def test_a_sign_in_by_a_password_makes_it_one_by_a_password(stage: Stage) -> None:
    stage.come()
    stage.question()
    stage.answer("DONE", ACCOUNT)
    stage.server.raw("AUTH", "ann", "secret", conn=CONN)
    stage.question()
    stage.answer("DONE", ACCOUNT)
    assert stage.lane.certificates.account_of(CONN) == 0


def test_failed_handshakes_are_told_with_the_port_by_its_id(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    stage.lane.handshakes_failed(3, "192.0.2.1:5000", 0, "certificate has expired")
    port = stage.lane.info.ports[0].id
    words = f"port {port}: 3 TLS handshakes failed; the last of 192.0.2.1:5000: certificate has"
    assert words in caplog.text
