"""A real HAProxy before a port of a real server: it says whose connections they are, and checks."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.neighbours.haproxy import HAProxy
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until

pytestmark = pytest.mark.needs("haproxy")

REDIS_CHECK = "    option redis-check"
MOST = 4  # connections of an address


class Site:
    """A master with a port for balancers, and one for others than those that are there."""

    def __init__(self, master: Master) -> None:
        self.master = master
        self.behind, self.elsewhere = free_port(), free_port()
        rows = [
            port_info("behind", self.behind, "proxy-protocol=127.0.0.0/8"),
            port_info("elsewhere", self.elsewhere, "proxy-protocol=192.0.2.7,192.0.2.8"),
        ]
        delta = json.dumps({"added": {"portInfos": rows}})
        done = master.cli("update", f"CfgApplication/name={master.app}", delta)
        assert done.returncode == 0, done.stderr
        master.stop()
        master.start()
        wait_until(lambda: "port behind is open" in master.log_text(), 15, "its ports are open")

    def option(self, name: str, *value: str) -> None:
        key = f"CfgApplication/name={self.master.app}"
        done = self.master.cli("option", key, "csp", name, *value)
        assert done.returncode == 0, done.stderr

    def shows(self, name: str, value: str) -> bool:
        """Whether every worker shows an option as it was set."""
        seen: dict[str, str] = {}
        while len(seen) < self.master.workers:
            with client(self.master.port) as one:
                seen[one.client_info()["worker"]] = one.config_get(name)[name]
        return set(seen.values()) == {value}

    def addresses(self) -> set[str]:
        """Of all clients, as CLIENT LIST shows them."""
        with self.master.client() as one:
            return {row["addr"] for row in one.client_list()}


def port_info(name: str, port: int, words: str) -> dict[str, str]:
    return {"id": name, "port": str(port), "transportParams": words}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Master(tmp_path_factory.mktemp("site"), workers=2) as master:
        yield Site(master)


def client(port: int) -> redis.Redis:
    return redis.Redis(
        port=port,
        username="default",
        password=PASSWORD,
        socket_timeout=10,
        single_connection_client=True,
        retry=None,
    )


@pytest.mark.parametrize(
    "words",
    ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"],
)
def test_who_connects_to_the_balancer_is_known(site: Site, tmp_path: Path, words: str) -> None:
    with HAProxy(tmp_path, REDIS_CHECK, [site.behind], words) as balancer:
        wait_until(lambda: balancer.state() == "UP", 10, "HAProxy finds the port up")
        with client(balancer.port) as one:
            assert one.exists("CfgTenant:1") == 1
            name = own_address(one)
            assert one.client_info()["addr"] == name
            assert name in site.addresses()
            assert one.exists(*["CfgTenant:1"] * 5_000) == 5_000  # what follows is all there
        wait_until(lambda: name not in site.addresses(), 5, "the client is gone")


def own_address(one: redis.Redis) -> str:
    """Where the client's connection begins, which is what the balancer sees."""
    connection = one.connection
    assert isinstance(connection, redis.Connection)
    host, port = connection._sock.getsockname()[:2]
    return f"{host}:{port}"


@pytest.mark.parametrize("words", ["send-proxy", "send-proxy-v2"])
def test_a_balancers_own_checks_are_let_in(site: Site, tmp_path: Path, words: str) -> None:
    """They come with LOCAL, or UNKNOWN, and count for no client's address."""
    site.option("max-connections-per-address", "1")
    try:
        with HAProxy(tmp_path, REDIS_CHECK, [site.behind] * 6, words) as balancer:
            for number in range(6):
                wait_until(lambda at=number: balancer.state(at) == "UP", 10, "all are up")
    finally:
        site.option("max-connections-per-address", "--delete")


def test_a_balancer_that_sends_no_header_finds_the_port_down(site: Site, tmp_path: Path) -> None:
    with HAProxy(tmp_path, REDIS_CHECK, [site.behind]) as balancer:
        wait_until(lambda: balancer.state() == "DOWN", 10, "HAProxy finds the port down")
        wait_until(lambda: "51272" in site.master.log_text(), 5, "it is told")
    assert "port behind: the balancer 127.0.0.1:" in site.master.log_text()


def test_a_balancer_that_is_not_listed_is_not_let_in(site: Site, tmp_path: Path) -> None:
    with HAProxy(tmp_path, REDIS_CHECK, [site.elsewhere], "send-proxy-v2") as balancer:
        wait_until(lambda: balancer.state() == "DOWN", 10, "HAProxy finds the port down")
        wait_until(lambda: "51271" in site.master.log_text(), 5, "it is told")
    assert "is none of the balancers that connect there" in site.master.log_text()


def test_a_client_behind_a_balancer_is_limited_and_the_balancer_is_not(
    site: Site, tmp_path: Path
) -> None:
    with HAProxy(tmp_path, REDIS_CHECK, [site.behind], "send-proxy-v2") as balancer:
        wait_until(lambda: balancer.state() == "UP", 10, "HAProxy finds the port up")
        site.option("max-connections-per-address", str(MOST))
        try:
            wait_until(lambda: site.shows("max-connections-per-address", str(MOST)), 10, "it holds")
            for address in ("127.0.0.3", "127.0.0.4") * 2:
                wait_until(lambda at=address: is_full(balancer.port, at), 10, "all of the address")
        finally:
            site.option("max-connections-per-address", "--delete")
    wait_until(lambda: "51274" in site.master.log_text(), 5, "it is told")


def is_full(port: int, source: str) -> bool:
    """Whether an address gets as many as it may: those before may go a moment late."""
    room = room_for(port, source)
    assert room <= MOST
    return room == MOST


def room_for(port: int, source: str) -> int:
    """How many connections an address of this machine gets; they are closed again."""
    held: list[socket.socket] = []
    try:
        while len(held) < 10 * MOST:
            one = socket.create_connection(("127.0.0.1", port), 5, source_address=(source, 0))
            held.append(one)
            one.sendall(b"PING\r\n")
            if one.recv(100) != b"+PONG\r\n":
                return len(held) - 1
        return len(held)
    finally:
        for one in held:
            one.close()
