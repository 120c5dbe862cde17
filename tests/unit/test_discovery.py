"""What clients of Redis Sentinel are told at a port for discovery, and what is refused there."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.process.ports import Port, Purpose
from csp.process.standing import ROLE_BACKUP, ROLE_PRIMARY
from csp.resp import Value
from csp.worker.discovery import CHANNELS_MAX, WATCH_MS
from tests.unit.fake_loop import Server
from tests.unit.test_halves import OWN, OWN_HOST, PEER, PEER_HOST, put, stand

SENTINEL = 3
PORTS = (
    Port(0, "default", 7000, "0.0.0.0:7000"),
    Port(1, "other", 7001, "0.0.0.0:7001"),
    Port(2, "more", 7002, "0.0.0.0:7002"),
    Port(SENTINEL, "sentinel", 7003, "0.0.0.0:7003", purpose=Purpose.SENTINEL),
)
OWN_AT, PEER_AT = [b"192.0.2.1", b"7000"], [b"192.0.2.2", b"8000"]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path, ports=PORTS, app_name="main")
    put(server, OWN, "main", {"hostDBID": OWN_HOST})
    rows = [
        {"id": "default", "port": "8000"},
        {"id": "sentinel", "port": "8003", "transportParams": "sentinel=1"},
    ]
    put(server, PEER, "other", {"hostDBID": PEER_HOST}, portInfos=rows)
    for dbid, address in ((OWN_HOST, "192.0.2.1"), (PEER_HOST, "192.0.2.2")):
        server.reader.put("CfgHost", dbid, DBID=dbid, name=f"h{dbid}", IPaddress=address)
    server.connect(2, port=SENTINEL, authenticated=False, discovery=True, administrator=False)
    stand(server, ROLE_PRIMARY, "ready")
    yield server
    server.close()


def ask(server: Server, *args: str) -> Value:
    return server.ask(*args, conn=2)


def row_of(found: Any) -> dict[str, str]:
    texts = [one.decode() for one in found]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def test_the_half_that_serves_is_told_under_both_names(server: Server) -> None:
    for name in ("main", "other"):
        assert ask(server, "SENTINEL", "get-master-addr-by-name", name) == OWN_AT
    stand(server, ROLE_BACKUP, "serving")
    for name in ("main", "other"):
        assert ask(server, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name) == PEER_AT


def test_a_member_of_a_pool_answers_by_the_name_of_the_pool_too(server: Server) -> None:
    server.control.standing_text = b""
    options = {"csproxy": {"proxy-cluster-name": "pool"}}
    put(server, OWN, "main", {"hostDBID": OWN_HOST}, options=options)
    assert ask(server, "SENTINEL", "get-master-addr-by-name", "pool") == OWN_AT
    assert ask(server, "ROLE") == [b"sentinel", [b"main", b"pool"]]


def test_an_unknown_name(server: Server) -> None:
    assert ask(server, "SENTINEL", "get-master-addr-by-name", "nope") is None
    for verb in ("master", "replicas", "sentinels", "ckquorum"):
        assert ask(server, "SENTINEL", verb, "nope") == "ERR No such master with that name"


def test_rows_have_what_clients_read(server: Server) -> None:
    row = row_of(ask(server, "SENTINEL", "MASTER", "main"))
    assert (row["name"], row["ip"], row["port"], row["flags"]) == (
        "main", "192.0.2.1", "7000", "master"
    )  # fmt: skip
    assert (row["num-slaves"], row["num-other-sentinels"]) == ("1", "1")
    [replica] = ask(server, "SENTINEL", "REPLICAS", "main")  # type: ignore[misc]
    assert row_of(replica)["name"] == "192.0.2.2:8000"
    assert row_of(replica)["flags"] == "slave"
    [sentinel] = ask(server, "SENTINEL", "SENTINELS", "main")  # type: ignore[misc]
    found = row_of(sentinel)
    assert (found["ip"], found["port"], found["flags"]) == ("192.0.2.2", "8003", "sentinel")
    assert found["runid"] != ask(server, "SENTINEL", "MYID").decode()  # type: ignore[union-attr]


def test_where_neither_half_serves_it_is_said(server: Server) -> None:
    assert str(ask(server, "SENTINEL", "CKQUORUM", "main")).startswith("OK 2 usable Sentinels.")
    stand(server, ROLE_BACKUP, "away")
    assert "s_down" in row_of(ask(server, "SENTINEL", "MASTER", "main"))["flags"]
    assert str(ask(server, "SENTINEL", "CKQUORUM", "main")).startswith("NOQUORUM ")
    assert ask(server, "SENTINEL", "get-master-addr-by-name", "main") == PEER_AT  # it did last


def test_before_the_first_load_too(server: Server) -> None:
    server.loop.reader = None
    stand(server, ROLE_BACKUP, "serving", peer_address="192.0.2.9:9000")
    found = ask(server, "SENTINEL", "get-master-addr-by-name", "main")
    assert found == [b"192.0.2.9", b"9000"]


def test_the_greeting_is_a_sentinels_and_needs_no_sign_in(server: Server) -> None:
    hello = ask(server, "HELLO", "3")
    assert isinstance(hello, dict)
    assert hello[b"mode"] == b"sentinel"
    assert b"role" not in hello
    assert isinstance(ask(server, "SENTINEL", "MASTERS"), list)
    assert server.raw("HELLO", "2", conn=2)
    info = ask(server, "INFO")
    assert isinstance(info, bytes)
    assert b"redis_mode:sentinel\r\n" in info
    assert b"master0:name=main,status=ok,address=192.0.2.1:7000,slaves=1,sentinels=2\r\n" in info


@pytest.mark.parametrize(
    "words",
    [
        ("GET", "CfgPerson:100"),
        ("CFG.READ", "CfgPerson"),
        ("CFG.STATUS",),
        ("CONFIG", "GET", "*"),
        ("CLIENT", "LIST"),
        ("MULTI",),
        ("CFG.REGISTER", "default"),
    ],
)
def test_nothing_of_the_configuration_is_told_there_even_to_who_signed_in(
    server: Server, words: tuple[str, ...]
) -> None:
    for signed_in in (False, True):
        server.loop.session(2).authenticated = signed_in
        assert str(ask(server, *words)).startswith("NOPERM this port is for discovery")


def test_elsewhere_sentinel_is_an_unknown_command(server: Server) -> None:
    words = "ERR unknown command 'SENTINEL', with args beginning with: "
    assert str(server.ask("SENTINEL", "MASTERS")).startswith(words)
    assert str(server.ask("SENTINEL", "nonsense")).startswith(words)
    assert server.ask("COMMAND", "INFO", "sentinel") == [None]
    names = server.ask("COMMAND", "LIST")
    assert b"sentinel" not in names  # type: ignore[operator]
    there = ask(server, "COMMAND", "LIST")
    assert {b"sentinel", b"ping", b"client"} <= set(there)  # type: ignore[arg-type]
    assert b"get" not in there  # type: ignore[operator]


def heard(server: Server) -> list[Value]:
    server.loop.pass_time(WATCH_MS)
    return server.frames(2)


@pytest.mark.parametrize(("verb", "name"), [("SUBSCRIBE", "+switch-master"), ("PSUBSCRIBE", "*")])
def test_a_switchover_is_published(server: Server, verb: str, name: str) -> None:
    assert ask(server, verb, name) == [verb.lower().encode(), name.encode(), 1]
    assert heard(server) == []
    assert server.loop.session(2).listening
    stand(server, ROLE_BACKUP, "serving")
    messages = [one[-2:] for one in heard(server)]  # type: ignore[index]
    switched = [text for channel, text in messages if channel == b"+switch-master"]
    assert switched == [
        b"main 192.0.2.1 7000 192.0.2.2 8000",
        b"other 192.0.2.1 7000 192.0.2.2 8000",
    ]
    assert heard(server) == []


def test_a_peer_that_dies_and_comes_back(server: Server) -> None:
    ask(server, "PSUBSCRIBE", "?sdown")
    stand(server, ROLE_PRIMARY, "away")
    away = b"slave 192.0.2.2:8000 192.0.2.2 8000 @ main 192.0.2.1 7000"
    assert heard(server)[0] == [b"pmessage", b"?sdown", b"+sdown", away]
    stand(server, ROLE_PRIMARY, "ready")
    assert heard(server)[0][2] == b"-sdown"  # type: ignore[index]


def test_a_master_that_dies_is_told_before_the_other_one_serves(server: Server) -> None:
    stand(server, ROLE_BACKUP, "serving")
    server.raw("SUBSCRIBE", "+sdown", "+switch-master", conn=2)
    stand(server, ROLE_BACKUP, "away")
    assert heard(server)[0] == [b"message", b"+sdown", b"master main 192.0.2.2 8000"]
    stand(server, ROLE_PRIMARY, "away")
    assert heard(server)[0][1] == b"+switch-master"  # type: ignore[index]


def test_a_subscriber_pings_as_in_redis_and_leaves_as_in_redis(server: Server) -> None:
    assert ask(server, "PING") == "PONG"
    ask(server, "SUBSCRIBE", "+switch-master")
    assert ask(server, "PING") == [b"pong", b""]
    assert ask(server, "UNSUBSCRIBE") == [b"unsubscribe", b"+switch-master", 0]
    assert ask(server, "UNSUBSCRIBE") == [b"unsubscribe", None, 0]
    assert not server.loop.session(2).listening
    stand(server, ROLE_BACKUP, "serving")
    assert heard(server) == []


def test_who_has_gone_is_told_nothing_and_nobody_is_watched_for(server: Server) -> None:
    ask(server, "PSUBSCRIBE", "*")
    server.disconnect(2)
    stand(server, ROLE_BACKUP, "serving")
    timers = len(server.loop.timers)
    server.loop.pass_time(WATCH_MS)
    assert len(server.loop.timers) < timers


def test_reset_ends_the_subscriptions(server: Server) -> None:
    ask(server, "PSUBSCRIBE", "*")
    assert server.raw("RESET", conn=2) == b"+RESET\r\n"
    assert ask(server, "UNSUBSCRIBE") == [b"unsubscribe", None, 0]


def test_subscriptions_have_a_limit(server: Server) -> None:
    server.raw("SUBSCRIBE", *(f"c{at}" for at in range(CHANNELS_MAX)), conn=2)
    assert str(ask(server, "SUBSCRIBE", "one more")).startswith("TOOBIG ")
    assert str(ask(server, "SUBSCRIBE", "x" * 200)).startswith("TOOBIG ")
