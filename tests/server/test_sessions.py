"""CFG.HISTORY SESSIONS: who signed in, was restored, and ended, on all servers of a master."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import DESK, create_desk, wait_level
from tests.server.hot_stage import Raw
from tests.server.test_tokens import registered

TIMEOUT = "client-response-timeout"
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
        expect(servers, raw, [("sign-in", "", ""), ("end", "its client ended it", DESK)])
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


def test_what_ended_a_connection_is_told(servers: tuple[Master, Proxy]) -> None:
    """Told apart: a client that leaves, breaks off, sends no commands, or takes nothing."""
    for server in servers:
        broken, _ = registered(server)
        odd, _ = registered(server)
        told = [("sign-in", "", "")]
        broken.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        place = address_of(broken)
        broken.close()
        odd.send(b"*1\r\nPING\r\n")
        expect(servers, odd, [*told, ("end", "what it sent was no command", DESK)])
        end = [*told, ("end", "its connection broke", DESK)]
        wait_until(lambda place=place, end=end: of(servers[0], place) == end, 10, "broken")


def test_a_client_that_takes_nothing_is_ended_for_that(tmp_path: Path) -> None:
    with Master(tmp_path) as master:
        create_desk(master)
        key = "CfgApplication/name=confserv"
        assert master.cli("option", key, "confserv", TIMEOUT, "1").returncode == 0
        taken = f"option confserv/{TIMEOUT} is 1"
        wait_until(lambda: taken in master.log_text(1_000_000), 10, taken)
        slow = Raw(master.port, receive_bytes=4096)
        assert isinstance(slow.call("AUTH", PASSWORD), str)
        command = b"*1\r\n$7\r\nCOMMAND\r\n"
        slow.send(command * 200)  # megabytes of replies, which nobody reads
        why = f"it took nothing of what it was sent within {TIMEOUT}"
        expect((master,), slow, [("sign-in", "", ""), ("end", why, "")])


def test_a_server_that_stops_tells_the_ends_it_makes(tmp_path: Path) -> None:
    with Master(tmp_path) as master:
        create_desk(master)
        raw, _ = registered(master)
        place = address_of(raw)
        with Proxy(tmp_path, master) as proxy:
            wait_level(master, proxy)
            there, _ = registered(proxy)
            there_place = address_of(there)
            proxy.stop()
            end = [("sign-in", "", ""), ("end", "the server stopped", DESK)]
            wait_until(lambda: of(master, there_place) == end, 10, "the proxy's end")
        began = [("sign-in", "", "")]
        wait_until(lambda: of(master, place) == began, 10, "what its own client began")
        master.stop()
        master.start()
        ASKERS.pop(master.port, None)
        assert of(master, place) == end


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
