"""Half-open links between servers: who stands still is left, and its place is free, in time."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import application_of, status

SECONDS = 2  # both time-outs of the connection


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("keepalive")) as master:
        yield master


def make_application(master: Server, name: str, above: str, seconds: int) -> None:
    """An Application of a proxy whose connection to the server above states time-outs."""
    with master.client() as client:
        up = {"appServerDBID": application_of(client, above)["DBID"], "connProtocol": "addp"}
        up |= {"timeoutLocal": seconds, "timeoutRemote": seconds}
        like = application_of(client, "confserv")
        value: dict[str, Any] = {"name": name, "appPrototypeDBID": like["appPrototypeDBID"]}
        value |= {"isServer": True, "tenantDBIDs": [1], "appServerDBIDs": [up]}
        value |= {"workDirectory": ".", "commandLine": "csp proxy"}
        value |= {"portInfos": [{"id": "default", "port": "2020"}]}
        client.execute_command("CFG.CREATE", "CfgApplication", json.dumps(value))


def links(server: Server) -> int:
    """How many connections of proxies it has."""
    with server.client() as client:
        return sum(str(one["name"]).startswith("csp-proxy-") for one in client.client_list())


def all_of(server: Server) -> list[psutil.Process]:
    assert server.process is not None
    supervisor = psutil.Process(server.process.pid)
    return [supervisor, *supervisor.children(recursive=True)]


@pytest.fixture(scope="module")
def proxy(master: Master) -> Iterator[Proxy]:
    make_application(master, "watched", "confserv", SECONDS)
    with Proxy(master.folder, master, app="watched", extra=()) as proxy:
        yield proxy


def test_the_place_of_a_proxy_that_stands_still_is_freed(master: Master, proxy: Proxy) -> None:
    wait_until(lambda: links(master) == 2, 10, "it follows")
    stopped = all_of(proxy)
    for process in stopped:
        process.suspend()
    began = time.monotonic()
    try:
        wait_until(lambda: links(master) == 0, 2 * SECONDS, "its connections are ended")
        assert time.monotonic() - began > SECONDS / 2
        assert "nothing was heard of the server watched" in master.log_text()
    finally:
        for process in reversed(stopped):
            process.resume()
    wait_until(lambda: links(master) == 2, 20, "it is back")
    assert status(proxy)["link"] == "up"
    assert "51301" not in proxy.log_text()  # nothing was loaded for it


@pytest.mark.long
def test_a_master_that_stands_still_is_left_by_its_proxy(master: Master, proxy: Proxy) -> None:
    wait_until(lambda: links(master) == 2, 10, "it follows")
    stopped = all_of(master)
    for process in stopped:
        process.suspend()
    try:
        wait_until(lambda: status(proxy)["link"] == "down", 2 * SECONDS, "it is given up")
        with proxy.client() as client:
            assert client.execute_command("CFG.COUNT", "CfgPerson") >= 1
    finally:
        for process in reversed(stopped):
            process.resume()
    wait_until(lambda: status(proxy)["link"] == "up", 30, "it is followed again")


def test_any_client_may_ask_to_be_watched(master: Master, tmp_path: Path) -> None:
    with master.client() as client:
        words = ("CFG.CREATE", "CfgApplication")
        desk = {"name": "desk", "appPrototypeDBID": 10, "tenantDBIDs": [1], "isServer": False}
        client.execute_command(*words, json.dumps(desk))
        with master.client(client_name="watched-desk") as watched:
            watched.execute_command("CFG.REGISTER", "desk", "KEEPALIVE", 0, 1_000)

            def is_there() -> bool:
                return any(one["name"] == "watched-desk" for one in client.client_list())

            assert is_there()
            wait_until(lambda: not is_there(), 5, "it is ended")
