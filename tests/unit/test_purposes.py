"""Whom each port lets in: user interfaces, the peer of a pair, administrators."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.model.keys import KEYS
from csp.process.ports import Port, Purpose
from tests.unit.fake_loop import Server

CLIENTS, UI, HA, MANAGEMENT = 0, 1, 2, 3
PORTS = (
    Port(CLIENTS, address="127.0.0.1:7000"),
    Port(UI, "ui", address="127.0.0.1:7001", purpose=Purpose.USER_INTERFACE),
    Port(HA, "ha", address="127.0.0.1:7002", purpose=Purpose.HA_SYNC),
    Port(MANAGEMENT, "my port", address="127.0.0.1:7003", purpose=Purpose.MANAGEMENT),
)
SERVER = {"isServer": True, "type": "configurationserver"}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, ports=PORTS)
    has_backup = {"serverInfo": {"backupServerDBID": 110}}
    put(server, 99, "confserv", **SERVER, **has_backup)
    put(server, 110, "backup", **SERVER)
    put(server, 111, "front", **SERVER, serverInfo={"backupServerDBID": 99})
    put(server, 112, "other", **SERVER)
    put(server, 113, "statserver", isServer=True, type="statserver")
    put(server, 114, "desktop", isServer=False, type="agentdesktop")
    server.reader.put("CfgPerson", 101, userName="ann")
    put(server, 115, "odd", isServer=False, type="agentdesktop", **{"serverInfo": {}})
    yield server
    server.close()


def put(server: Server, dbid: int, name: str, **attributes: Any) -> None:
    server.reader.put("CfgApplication", dbid, DBID=dbid, name=name, **attributes)
    server.reader.finds[KEYS["CfgApplication", "name"].key_id, name.encode()] = [dbid]


def comes_by(server: Server, port: int, conn: int = 2, **session: Any) -> None:
    server.connect(conn, port=port, peer_first=port == HA, server=False, **session)


def registers(server: Server, name: str, conn: int = 2) -> str:
    """The refusal, or what became of it."""
    data = server.raw("CFG.REGISTER", name, conn=conn)
    if data is not None:
        return data.decode()
    _, req, _ = server.writer.take()
    server.writer.answer("DONE", req, "0", '{"since":1,"replaced":[]}')
    server.later(conn)
    return "granted"


@pytest.mark.parametrize("name", ["statserver", "other", "backup"])
def test_f106_a_port_for_user_interfaces_refuses_servers(server: Server, name: str) -> None:
    comes_by(server, UI)
    refusal = registers(server, name)
    assert refusal.startswith("-NOPERM this port is for user interfaces, and ")
    assert not server.loop.session(2).server
    assert server.loop.session(2).application_dbid == 0


def test_f106_a_port_for_user_interfaces_takes_them(server: Server) -> None:
    comes_by(server, UI)
    assert b"session" in (server.raw("CFG.REGISTER", "desktop", conn=2) or b"")


@pytest.mark.parametrize("name", ["backup", "front"])
def test_f107_the_peer_of_a_pair_registers_and_goes_on(server: Server, name: str) -> None:
    comes_by(server, HA)
    assert str(server.ask("CFG.STATUS", conn=2)).startswith("NOPERM this port is for the peer")
    assert str(server.ask("DBSIZE", conn=2)).startswith("NOPERM this port is for the peer")
    assert registers(server, name) == "granted"
    assert isinstance(server.ask("CFG.STATUS", conn=2), list)
    assert server.ask("RESET", conn=2) == "RESET"
    server.loop.sessions[2].authenticated = True
    assert str(server.ask("CFG.STATUS", conn=2)).startswith("NOPERM this port is for the peer")


@pytest.mark.parametrize("name", ["confserv", "other", "statserver", "desktop", "odd"])
def test_f107_nobody_else_does(server: Server, name: str) -> None:
    comes_by(server, HA)
    refusal = registers(server, name)
    assert refusal.startswith(f"-NOPERM this port is for the peer of this server, and {name} is")
    assert str(server.ask("CFG.STATUS", conn=2)).startswith("NOPERM this port is for the peer")


def test_who_is_not_signed_in_is_told_that_first(server: Server) -> None:
    comes_by(server, HA, authenticated=False)
    assert str(server.ask("DBSIZE", conn=2)).startswith("NOAUTH")
    assert server.ask("QUIT", conn=2) == "OK"


def signs_in(server: Server, conn: int = 2, more: str = "") -> str:
    assert server.raw("AUTH", "ann", "pw", conn=conn) is None
    req = server.auth.take()[1]
    server.auth.answer("DONE", req, '{"user":"ann","dbid":101,"revision":3' + more + "}")
    return str(server.later(conn))


def test_a_port_for_management_takes_administrators(server: Server) -> None:
    comes_by(server, MANAGEMENT, authenticated=False)
    assert signs_in(server) == "OK"
    assert server.loop.session(2).account_dbid == 101


@pytest.mark.parametrize("more", ["", ',"must_change":1'])
def test_a_port_for_management_takes_nobody_else(server: Server, more: str) -> None:
    comes_by(server, MANAGEMENT, authenticated=False, administrator=False, account_dbid=0)
    assert signs_in(server, more=more).startswith("NOPERM this port is for administrators alone")
    session = server.loop.session(2)
    assert (session.authenticated, session.must_change, session.account_dbid) == (False, False, 0)


def test_who_is_signed_in_there_stays_who_he_is(server: Server) -> None:
    comes_by(server, MANAGEMENT, administrator=False, user="default")
    assert signs_in(server).startswith("NOPERM")
    session = server.loop.session(2)
    assert (session.authenticated, session.user, session.account_dbid) == (True, "default", 100)


def test_client_list_shows_by_which_port_a_client_came(server: Server) -> None:
    comes_by(server, MANAGEMENT)
    server.raw("CLIENT", "LIST")
    [text] = [row for row in _lines(server) if row["id"] == "2"]
    assert (text["laddr"], text["port"]) == ("127.0.0.1:7003", "my_port")
    [text] = [row for row in _lines(server) if row["id"] == "1"]
    assert (text["laddr"], text["port"]) == ("127.0.0.1:7000", "default")


def _lines(server: Server) -> list[dict[str, str]]:
    rows = []
    for conn in (1, 2):
        shown = server.ask("CLIENT", "INFO", conn=conn)
        assert isinstance(shown, bytes)
        rows.append(dict(field.partition("=")[::2] for field in shown.decode().split()))
    return rows


@pytest.mark.parametrize(
    ("words", "told"), [("", None), ("tls=1", "LOADING"), ("addresses=10.0.0.0/8", "LOADING")]
)
def test_nobody_signs_in_by_a_port_that_is_about_to_be_narrower(
    tmp_path: Path, words: str, told: str | None
) -> None:
    """A master's default port is open before the Application is known that says what it demands."""
    server = Server(tmp_path, app_dbid=0)
    port = {"id": "default", "port": "7000", "transportParams": words}
    put(server, 99, "confserv", **SERVER, state="enabled", portInfos=[port])
    server.lane.attached()
    data = server.raw("AUTH", "ann", "pw")
    assert (data is None) if told is None else (data or b"").startswith(b"-" + told.encode())
    server.close()


def test_a_change_of_the_application_later_holds_up_no_sign_in(tmp_path: Path) -> None:
    server = Server(tmp_path, app_dbid=0)
    put(server, 99, "confserv", **SERVER, state="enabled")
    server.lane.attached()
    port = {"id": "default", "port": "7000", "transportParams": "tls=1"}
    put(server, 99, "confserv", **SERVER, state="enabled", portInfos=[port])
    server.lane.attached()
    assert server.raw("AUTH", "ann", "pw") is None
    server.close()
