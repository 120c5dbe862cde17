"""The first commands of clients: HELLO, AUTH, and what an unknown one hears, word for word."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.process.channel.asking import Asker
from csp.process.channel.framing import AUTH_LIMITS
from csp.process.standing import ROLE_BACKUP, ROLE_PRIMARY, ROLE_SINGLE
from csp.worker.handshake import AUTH_RETRIES_MAX, AUTH_RETRY_MS
from tests.unit.fake_loop import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.reader.put("CfgPerson", 100, userName="default")
    yield server
    server.close()


ACCOUNT = '{"user":"default","dbid":100,"revision":3}'


def test_hello_maps(server: Server) -> None:
    two = server.ask("HELLO")
    assert isinstance(two, list)
    assert two[:6] == [b"server", b"redis", b"version", b"7.4.0", b"proto", 2]
    three = server.ask("HELLO", "3")
    assert isinstance(three, dict)
    assert (three[b"proto"], three[b"mode"], three[b"role"]) == (3, b"standalone", b"master")
    assert three[b"id"] == 1
    modules = three[b"modules"]
    assert isinstance(modules, list)
    assert isinstance(modules[0], dict)
    assert modules[0][b"name"] == b"csp"
    assert server.loop.session(1).proto == 3


@pytest.mark.parametrize(
    ("serving", "role", "told"),
    [
        (True, ROLE_SINGLE, b"master"),
        (True, ROLE_PRIMARY, b"master"),
        (True, ROLE_BACKUP, b"replica"),
        (False, ROLE_SINGLE, b"replica"),
    ],
)
def test_hello_role_of_proxy(tmp_path: Path, serving: bool, role: int, told: bytes) -> None:
    server = Server(tmp_path, mode="proxy", upstream="m:1")
    server.control.serving, server.control.role = serving, role
    hello = server.ask("HELLO", "3")
    assert isinstance(hello, dict)
    assert hello[b"role"] == told
    server.close()


@pytest.mark.parametrize(
    "changed",
    [
        {"state": "disabled"},
        {"userProperties": {"authentication": {"certificate-only": "true"}}},
    ],
)
def test_what_became_of_the_person_since_auth_decided_counts(
    server: Server, changed: dict[str, object]
) -> None:
    """The session would begin behind the change that is to end it, and stay."""
    server.connect(2, authenticated=False, user="", account_dbid=0)
    assert server.raw("AUTH", "default", "secret", conn=2) is None
    req = server.auth.take()[1]
    server.auth.answer("DONE", req, ACCOUNT)
    server.reader.put("CfgPerson", 100, userName="default", **changed)
    assert str(server.later(2)).startswith("WRONGPASS")
    assert not server.loop.session(2).authenticated


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["HELLO", "4"], "NOPROTO unsupported protocol version"),
        (["HELLO", "x"], "ERR Protocol version is not an integer or out of range"),
        (["HELLO", "3", "FOO"], "ERR Syntax error in HELLO option 'FOO'"),
        (
            ["HELLO", "3", "SETNAME", "a b"],
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ),
    ],
)
def test_hello_refused_changes_nothing(server: Server, words: list[str], text: str) -> None:
    assert server.ask(*words) == text
    assert server.loop.session(1).proto == 2


def test_hello_before_sign_in(server: Server) -> None:
    server.connect(2, authenticated=False)
    answer = server.ask("HELLO", "3", conn=2)
    assert str(answer).startswith(
        "NOAUTH HELLO must be called with the client already authenticated"
    )
    assert server.ask("GET", "x", conn=2) == "NOAUTH Authentication required."
    assert server.ask("CLIENT", "ID", conn=2) == "NOAUTH Authentication required."


def test_hello_auth_waits_for_the_auth_process(server: Server) -> None:
    server.connect(2, authenticated=False)
    words = ["HELLO", "3", "AUTH", "default", "pw", "SETNAME", "me"]
    assert server.raw(*words, conn=2) is None
    assert not server.loop.session(2).authenticated
    verb, req, host, user, password = server.auth.take()
    assert (verb, host, user, password) == (b"VERIFY", b"127.0.0.1", b"default", b"pw")
    server.auth.answer("DONE", req, ACCOUNT)
    hello = server.later(2)
    assert isinstance(hello, dict)
    session = server.loop.session(2)
    assert (session.authenticated, session.proto, session.name) == (True, 3, "me")
    assert (session.user, session.account_dbid) == ("default", 100)


def test_hello_auth_refused(server: Server) -> None:
    server.connect(2, authenticated=False)
    assert server.raw("HELLO", "3", "AUTH", "default", "no", conn=2) is None
    req = server.auth.take()[1]
    text = "WRONGPASS invalid username-password pair or user is disabled."
    server.auth.answer("FAIL", req, text)
    assert server.later(2) == text
    assert server.loop.session(2).proto == 2
    assert not server.loop.session(2).authenticated


def test_auth_with_one_argument_means_default(server: Server) -> None:
    assert server.raw("AUTH", "pw") is None
    _, req, _, user, _ = server.auth.take()
    assert user == b"default"
    server.auth.answer("DONE", req, ACCOUNT)
    assert server.later() == "OK"
    assert server.ask("AUTH", "a", "b", "c") == "ERR syntax error"


def test_a_sign_in_leaves_nothing_for_the_collector_of_cycles(server: Server) -> None:
    """What it makes goes at once, or a worker would hold that of thousands which have gone."""

    def sign_in_and_go(conn: int) -> None:
        server.connect(conn, authenticated=False)
        assert server.raw("HELLO", "3", "AUTH", "default", "pw", conn=conn) is None
        server.auth.answer("DONE", server.auth.take()[1], ACCOUNT)
        assert isinstance(server.later(conn), dict)
        server.disconnect(conn)

    sign_in_and_go(2)
    gc.collect()
    gc.disable()
    try:
        for conn in range(3, 13):
            sign_in_and_go(conn)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_auth_of_a_connection_that_went(server: Server) -> None:
    assert server.raw("AUTH", "pw") is None
    req = server.auth.take()[1]
    server.disconnect()
    server.auth.answer("DONE", req, ACCOUNT)
    server.loop.poll()
    assert server.loop.sent[1] == []


def test_a_sign_in_waits_for_auths_successor(server: Server) -> None:
    assert server.raw("AUTH", "pw") is None
    server.auth.take()
    server.auth.hang_up()
    server.loop.poll()
    assert server.loop.sent[1] == []
    server.loop.pass_time(AUTH_RETRY_MS)  # the channel is there again: the question comes again
    server.loop.pass_time(AUTH_RETRY_MS)
    req = server.auth.take()[1]
    server.auth.answer("DONE", req, ACCOUNT)
    assert server.later() == "OK"


def test_a_sign_in_does_not_wait_for_ever(server: Server) -> None:
    server.auth.close()
    server.lane.auth.close()
    server.lane.auth = Asker(server.loop, "/nowhere", AUTH_LIMITS)
    assert server.raw("AUTH", "pw") is None
    server.loop.pass_time(AUTH_RETRY_MS * (AUTH_RETRIES_MAX + 1))
    assert str(server.later()).startswith("BUSY can't sign in now")


def test_plain_ones(server: Server) -> None:
    assert server.ask("ECHO", b"\x00\xff") == b"\x00\xff"
    assert server.ask("SELECT", "0") == "OK"
    assert server.ask("SELECT", "1") == "ERR DB index is out of range"
    assert server.ask("READONLY") == "OK"
    assert server.ask("QUIT") == "OK"
    assert server.loop.closing == {1}
    seconds = server.ask("TIME")
    assert isinstance(seconds, list)
    assert len(seconds) == 2
    assert server.ask("CLUSTER", "NODES") == "ERR This instance has cluster support disabled"


def test_reset(server: Server) -> None:
    server.ask("HELLO", "3", "SETNAME", "x")
    server.ask("MULTI")
    assert server.ask("RESET") == "RESET"
    session = server.loop.session(1)
    assert (session.proto, session.name, session.in_multi, session.authenticated) == (
        2,
        "",
        False,
        False,
    )


def test_unknown(server: Server) -> None:
    assert (
        server.ask("foo", "a", "b")
        == "ERR unknown command 'foo', with args beginning with: 'a' 'b' "
    )
    assert server.ask("SENTINEL", "MASTERS") == (
        "ERR unknown command 'SENTINEL', with args beginning with: 'MASTERS' "
    )
    assert server.ask("CLIENT", "UNHEARD-OF", "ON") == (
        "ERR unknown subcommand 'UNHEARD-OF'. Try CLIENT HELP."
    )
    assert server.ask("echo") == "ERR wrong number of arguments for 'echo' command"
    assert (
        server.ask("client", "id", "x") == "ERR wrong number of arguments for 'client|id' command"
    )
    assert server.ask("client") == "ERR wrong number of arguments for 'client' command"


def test_loading(server: Server) -> None:
    server.control.state = 0
    server.loop.reader = None
    assert server.ask("ECHO", "x") == "LOADING csp is loading the configuration"
    assert server.ask("CLIENT", "ID") == "LOADING csp is loading the configuration"
    assert server.ask("PING") == "LOADING csp is loading the configuration"
    assert isinstance(server.ask("HELLO"), list)
    assert b"loading:1\r\n" in (server.raw("INFO") or b"")
    assert isinstance(server.ask("CFG.STATUS"), list)
    assert server.ask("QUIT") == "OK"


def test_loading_before_sign_in(server: Server) -> None:
    """Nobody can sign in, but everybody can see why."""
    server.control.state = 0
    server.loop.reader = None
    server.connect(2, authenticated=False)
    assert server.ask("GET", "x", conn=2) == "LOADING csp is loading the configuration"
    assert b"loading:1\r\n" in (server.raw("INFO", conn=2) or b"")
    assert isinstance(server.ask("CFG.STATUS", conn=2), list)
    server.control.state = 1
    server.loop.reader = server.reader
    assert str(server.ask("CFG.STATUS", conn=2)).startswith("NOAUTH")


def test_not_supported_yet(server: Server) -> None:
    assert server.ask("CFG.QUERY", "CfgPerson", "x") == "ERR CFG.QUERY is not supported yet"


def test_an_oversize_password_is_refused_and_harms_no_other_sign_in(server: Server) -> None:
    server.connect(2)
    assert server.raw("AUTH", "pw", conn=2) is None
    req = server.auth.take()[1]
    assert str(server.ask("AUTH", "x" * 70_000)).startswith("TOOBIG ")
    server.auth.answer("DONE", req, ACCOUNT)
    assert server.later(conn=2) == "OK"
