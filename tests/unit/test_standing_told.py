"""What clients are told of a server's pair and pool, and who may have its pair switch over."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.conf.options import in_force, load
from csp.model.keys import KEYS
from csp.process.own_options import CHECK_MS
from csp.process.standing import NO_PAIR, ROLE_BACKUP, ROLE_PRIMARY, Standing, show
from csp.store.alarms import ALARM_POOL
from tests.unit.fake_loop import Server

NAME = KEYS["CfgApplication", "name"].key_id
SERVER = {"type": "configurationserver", "state": "enabled", "isServer": True}
PAIRED = ("role", "serving", "peer", "peer_state", "pair_number", "seamless", "seamless_why")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, options=in_force(load({}), "proxy"), mode="proxy")
    put(server, 99, "confserv", serverInfo={"backupServerDBID": 98}, **SERVER)
    put(server, 98, "second", serverInfo={"hostDBID": 201, "port": "2020"}, **SERVER)
    put(server, 120, "desk", type="agentdesktop", isServer=False)
    server.reader.put("CfgHost", 201, DBID=201, name="balancer.example")
    server.ask("HELLO", "3")
    yield server
    server.close()


def put(server: Server, dbid: int, name: str, **attributes: Any) -> None:
    server.reader.put("CfgApplication", dbid, DBID=dbid, name=name, **attributes)
    server.reader.finds[NAME, name.encode()] = [dbid]


def joins(server: Server, pool: str) -> None:
    """From now on it is a member of this pool."""
    options = {"csproxy": {"proxy-cluster-name": pool}}
    put(server, 99, "confserv", serverInfo={"backupServerDBID": 98}, options=options, **SERVER)
    server.loop.pass_time(CHECK_MS)


def status(server: Server, conn: int = 1) -> dict[str, Any]:
    found = server.ask("CFG.STATUS", conn=conn)
    assert isinstance(found, dict)
    return {str(name, "utf-8"): one for name, one in found.items()}


def told(server: Server) -> tuple[Any, ...]:
    """What CFG.REGISTER says of the server: name, DBID, address, backup."""
    found = server.ask("CFG.REGISTER", "desk")
    assert isinstance(found, dict), found
    return tuple(found[one] for one in (b"server", b"server_dbid", b"server_address", b"backup"))


def test_a_single_server_says_why_there_is_no_switchover(server: Server) -> None:
    found = status(server)
    assert [found[one] for one in PAIRED] == [
        *(b"single", 1, b"", b"", 0, 0), NO_PAIR.encode()
    ]  # fmt: skip


@pytest.mark.parametrize(("why", "seamless"), [("", 1), ("the link to the other one is cut", 0)])
def test_a_half_says_whether_a_switchover_would_be_seamless(
    server: Server, why: str, seamless: int
) -> None:
    standing = Standing(ROLE_PRIMARY, True, "second", 98, "h:2", "ready", 7, why)
    show(server.lane.control, standing)
    found = status(server)
    assert [found[one] for one in PAIRED] == [
        *(b"primary", 1, b"second", b"ready", 7, seamless), why.encode()
    ]  # fmt: skip
    assert f"seamless_why:{why}\r\n" in (server.raw("INFO", "csp") or b"").decode()
    show(server.lane.control, Standing(ROLE_BACKUP, False, "second", 98))
    assert [status(server)[one] for one in PAIRED[:2]] == [b"backup", 0]


def test_t57_a_member_of_a_pool_tells_clients_the_pool_and_no_backup(server: Server) -> None:
    assert told(server) == (b"confserv", 99, b"", b"balancer.example:2020")
    put(server, 130, "pool", serverInfo={"hostDBID": 201, "port": "3030"}, **SERVER)
    joins(server, "pool")
    assert told(server) == (b"pool", 130, b"balancer.example:3030", b"")
    assert server.lane.moving_to() == b"balancer.example:3030"
    found = status(server)
    assert (found["application"], found["application_dbid"]) == (b"pool", 130)
    assert found["member"] == b"confserv"
    server.connect(2, administrator=False)
    server.ask("HELLO", "3", conn=2)
    assert status(server, conn=2)["member"] == b""  # clients see the pool, and it alone
    assert server.control.names() == []


def test_a_pool_without_its_application_is_an_alarm_and_the_own_name_is_told(
    server: Server,
) -> None:
    joins(server, "pool")
    assert told(server)[:2] == (b"confserv", 99)
    assert "pool does not exist" in server.control.texts()[0]
    server.control.end_alarm(ALARM_POOL.place)
    put(server, 131, "pool", type="statserver")
    server.loop.pass_time(CHECK_MS)
    assert told(server)[:2] == (b"confserv", 99)
    assert "pool is of type statserver, not configurationserver" in server.control.texts()[0]
    put(server, 130, "pool", **SERVER)
    server.loop.pass_time(CHECK_MS)
    assert server.control.names() == []
    assert told(server)[:2] == (b"pool", 130)


def test_f71_who_is_no_administrator_is_refused_a_switchover(server: Server) -> None:
    server.connect(2, administrator=False)
    assert str(server.ask("CFG.SWITCHOVER", conn=2)).startswith("NOPERM")


def test_an_administrator_is_answered_when_it_is_done_or_why_not(server: Server) -> None:
    for answer, told_ in ((("DONE",), "OK"), (("FAIL", "NOREF it is single"), "NOREF it is sing")):
        assert server.raw("CFG.SWITCHOVER") is None
        verb, req = server.writer.take()[:2]
        assert verb == b"SWITCHOVER"
        server.writer.answer(answer[0], req, *answer[1:])
        assert str(server.later()).startswith(told_)
