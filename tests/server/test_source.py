"""A proxy's links come from the address and the ports that are stated, for firewalls (F108)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neighbours.ports import free_port
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until

ADDRESS = "127.0.0.5"


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("source")) as server:
        yield server


def free_pair() -> int:
    """The first of two ports that are free, one behind the other."""
    while True:
        first = free_port()
        if free_port() == first + 1:
            return first


def sources(server: Server, name: str = "csp-proxy-") -> set[str]:
    """From where the links of proxies come, as the server sees it."""
    with server.client() as client:
        found = client.client_list()
    return {one["addr"] for one in found if str(one["name"]).startswith(name)}


def pair(port: int, address: str = ADDRESS) -> set[str]:
    return {f"{address}:{port}", f"{address}:{port + 1}"}


def state_of(server: Server) -> str:
    with server.client(protocol=3) as client:
        return str(client.execute_command("CFG.STATUS")["state"])


def connect(master: Master, app: str, parameters: str) -> None:
    """States the transport parameters of an Application's connection to the master."""
    with master.client() as client:
        own = json.loads(client.execute_command("CFG.FIND", "CfgApplication", "name", app))
        above = client.execute_command("CFG.FIND", "CfgApplication", "name", master.app)
        link = {
            "appServerDBID": json.loads(above)["DBID"],
            "transportParams": parameters,
        }
        op = "changed" if own.get("appServerDBIDs") else "added"
        delta = json.dumps({op: {"appServerDBIDs": [link]}})
        client.execute_command("CFG.UPDATE", "CfgApplication", own["DBID"], delta)


def test_links_come_from_where_the_command_line_says(tmp_path: Path, master: Master) -> None:
    port = free_pair()
    extra = ("--create-app", "--source", f"{ADDRESS}:{port}")
    with Proxy(tmp_path, master, app="told", extra=extra):
        wait_until(lambda: sources(master) == pair(port), 10, "session and feed")
        # The start before, which asked for the Application, came from there too.
        assert "04502" not in master.log_text()


def test_links_come_from_where_the_application_says_and_do_so_again(
    tmp_path: Path, master: Master
) -> None:
    port = free_pair()
    with Proxy(tmp_path, master, app="stated") as proxy:
        connect(master, "stated", f"address={ADDRESS};port={port}")
        assert sources(master).isdisjoint(pair(port))
        proxy.stop()
        proxy.start()
        wait_until(lambda: sources(master) == pair(port), 10, "they are taken at the start")
        for _ in range(3):
            with master.client() as client:
                ended = [one for one in client.client_list() if one["addr"] in pair(port)]
                for one in ended:
                    client.client_kill_filter(_id=one["id"])
            wait_until(
                lambda ended=ended: (
                    sources(master) == pair(port) and not {one["id"] for one in ended} & ids(master)
                ),
                20,
                "new links come from the same ports",
            )
        wait_until(lambda: state_of(proxy) == "ready", 20, "it follows")


def ids(server: Server) -> set[str]:
    with server.client() as client:
        return {one["id"] for one in client.client_list()}


def test_parameters_that_are_wrong_are_told_and_stop_nothing(
    tmp_path: Path, master: Master
) -> None:
    with Proxy(tmp_path, master, app="wrong") as proxy:
        connect(master, "wrong", "port=many")
        proxy.stop()
        proxy.start()
        assert "51338" in proxy.log_text()
        assert "port=many is no port from 1 to 65534" in proxy.log_text()
        assert state_of(proxy) == "ready"


def test_an_address_that_this_host_has_not_is_said(tmp_path: Path, master: Master) -> None:
    extra = ("--create-app", "--source", "192.0.2.1:5000")
    proxy = Proxy(tmp_path, master, app="elsewhere", extra=extra).start(ready=False)
    try:
        words = "can't come from 192.0.2.1, port 5000"
        wait_until(lambda: words in proxy.log_text(), 20, "the reason is in the log")
    finally:
        proxy.stop()
