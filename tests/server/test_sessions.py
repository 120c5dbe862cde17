"""CFG.HISTORY SESSIONS: who signed in, was restored, and ended, on all servers of a master."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import DESK, create_desk, wait_level
from tests.server.hot_stage import Raw
from tests.server.test_tokens import registered

ASKERS: dict[int, redis.Redis] = {}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Master, Proxy]]:
    folder = Path(tmp_path_factory.mktemp("sessions"))
    with Master(folder) as master:
        create_desk(master)
        with Proxy(folder, master) as proxy:
            wait_level(master, proxy)
            yield master, proxy


def records(server: Server, *words: str | int, since: int = 0) -> list[dict[str, Any]]:
    """By one connection of each server's: each that asks is told of, too."""
    asker = ASKERS.setdefault(server.port, server.client())
    found: list[dict[str, Any]] = []
    while True:
        asked = ("CFG.HISTORY", "SESSIONS", "SINCE", since, *words)
        since, page = asker.execute_command(*asked)
        found += [json.loads(one) for one in page]
        if not since:
            return found


def of(server: Server, address: str, *words: str | int) -> list[tuple[str, str, str]]:
    """(what, why, application) of the sessions of an address."""
    found = records(server, *words)
    return [(r["what"], r["why"], r["application"]) for r in found if r["address"] == address]


def address_of(raw: Raw) -> str:
    host, port = raw.socket.getsockname()
    return f"{host}:{port}"


def expect(servers: tuple[Server, ...], raw: Raw, told: list[tuple[str, str, str]]) -> None:
    for server in servers:
        wait_until(lambda server=server: of(server, address_of(raw)) == told, 10, f"{told}")


def test_sign_in_restore_and_end_are_told_everywhere(servers: tuple[Master, Proxy]) -> None:
    for server in servers:
        raw, granted = registered(server)
        place = raw.socket.getsockname()
        raw.close()
        raw.socket = type("Closed", (), {"getsockname": lambda _self, place=place: place})()
        expect(servers, raw, [("sign-in", "", ""), ("end", "its connection ended", DESK)])
        again, _ = registered(server, granted["token"])
        expect(servers, again, [("restore", "", DESK)])
        assert again.call("QUIT") == "OK"
        expect(servers, again, [("restore", "", DESK), ("end", "QUIT", DESK)])


def test_why_the_server_ended_it_is_told(servers: tuple[Master, Proxy]) -> None:
    master, _ = servers
    raw, _ = registered(master)
    with master.client() as client:
        assert client.execute_command("CLIENT", "KILL", address_of(raw)) in (b"OK", "OK", True)
    expect((master,), raw, [("sign-in", "", ""), ("end", "CLIENT KILL", DESK)])
    again, _ = registered(master)
    assert again.call("RESET") == "RESET"
    expect((master,), again, [("sign-in", "", ""), ("end", "RESET", DESK)])


def test_since_and_account_choose(servers: tuple[Master, Proxy]) -> None:
    master, _ = servers
    found = wait_until(lambda: records(master))
    assert all(one["account"] == "CfgPerson:100" for one in found)
    assert [one["time"] for one in found] == sorted(one["time"] for one in found)
    middle = found[len(found) // 2]["time"]
    assert all(one["time"] >= middle for one in records(master, since=middle))
    assert records(master, "ACCOUNT", "CfgPerson:100", since=middle)
    assert records(master, "ACCOUNT", "CfgPerson:101") == []
    raw, _ = registered(master)
    for words in (["ACCOUNT"], ["SINCE", "x"], ["ACCOUNT", "CfgSkill:1"], ["LIMIT", "2"]):
        assert str(raw.call("CFG.HISTORY", "SESSIONS", *words)).startswith(("-ERR", "-BADVALUE"))
