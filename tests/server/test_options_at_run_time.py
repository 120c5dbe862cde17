"""Options that change while a server runs: master and proxy take them without a restart."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Master, Proxy]]:
    folder: Path = tmp_path_factory.mktemp("options")
    with Master(folder, workers=2) as master, Proxy(folder, master) as proxy:
        yield master, proxy


@pytest.mark.parametrize("which", [0, 1], ids=["master", "proxy"])
def test_a_limit_changes_and_comes_back(servers: tuple[Master, Proxy], which: int) -> None:
    master, server = servers[0], servers[which]
    app = f"CfgApplication/name={server.app}"
    before = {name: child.pid for name, child in server.children().items()}
    wait_until(lambda: pages(server) == {1000}, 10, "the default holds")

    assert master.cli("option", app, "csp", "read-page-max", "3").returncode == 0
    wait_until(lambda: pages(server) == {3}, 10, "all workers have the new value")
    with server.client() as client, pytest.raises(redis.ResponseError, match="LIMIT"):
        client.execute_command("CFG.READ", "CfgFolder", "LIMIT", 4)

    assert master.cli("option", app, "csp", "read-page-max", "--delete").returncode == 0
    wait_until(lambda: pages(server) == {1000}, 10, "the default is back")
    assert {name: child.pid for name, child in server.children().items()} == before
    log = server.log_text(100_000)
    assert log.count("option csp/read-page-max is 3 from now on") == 1


def test_a_wrong_value_is_logged_once_and_changes_nothing(servers: tuple[Master, Proxy]) -> None:
    master, _ = servers
    key = f"CfgApplication/name={master.app}"
    assert master.cli("option", key, "csp", "read-page-max", "many").returncode == 0
    words = "option csp/read-page-max is set but not honoured: 'many' is not an integer"
    wait_until(lambda: words in master.log_text(100_000), 10, "the problem is logged")
    assert pages(master) == {1000}
    assert master.cli("option", key, "csp", "another", "1").returncode == 0
    wait_until(lambda: "csp/another" in master.log_text(100_000), 10, "the next one is logged")
    assert master.log_text(100_000).count(words) == 1


def pages(server: Server) -> set[int]:
    """What the workers answer to a read without LIMIT, at most; a few connections reach all."""
    found = set()
    for _ in range(6):
        with server.client() as client:
            _, following, objects = client.execute_command("CFG.READ", "CfgFolder")
            found.add(1000 if following == "0" else len(objects))
    return found
