"""Options that change while a server runs: master and proxy take them without a restart."""

from __future__ import annotations

import time
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


def test_the_level_of_the_log_changes_and_comes_back(servers: tuple[Master, Proxy]) -> None:
    master, _ = servers
    key = f"CfgApplication/name={master.app}"

    def tells() -> dict[str, bool]:
        """Whether a process that maps no data, and one that does, write what they do."""
        pid = master.child("worker 1").pid
        master.child("worker 1").kill()
        wait_until(
            lambda: (one := master.children().get("worker 1")) and one.pid != pid, 10, "another one"
        )
        with master.client() as client:
            name = f"skill {time.monotonic_ns()}"
            text = f'{{"name":"{name}","tenantDBID":1}}'
            client.execute_command("CFG.CREATE", "CfgSkill", text)
        log = master.log_text(1_000_000)
        return {
            "supervisor": f"worker 1 (pid {pid}) died" in log,
            "writer": any("24200" in line and name in line for line in log.split("\n")),
        }

    wait_until(lambda: tells() == {"supervisor": True, "writer": True}, 20, "each tells")
    assert master.cli("option", key, "log", "verbose", "none").returncode == 0
    wait_until(lambda: tells() == {"supervisor": False, "writer": False}, 20, "silence")
    assert master.cli("option", key, "log", "verbose", "standard").returncode == 0
    wait_until(lambda: tells() == {"supervisor": True, "writer": True}, 20, "each tells")
    assert "option log/verbose is standard from now on" in master.log_text(1_000_000)
    assert master.cli("option", key, "log", "verbose", "none").returncode == 0
    wait_until(lambda: tells() == {"supervisor": False, "writer": False}, 20, "silence")
    assert master.cli("option", key, "log", "verbose", "--delete").returncode == 0
    wait_until(lambda: tells() == {"supervisor": True, "writer": True}, 20, "as at the start")


def pages(server: Server) -> set[int]:
    """What the workers answer to a read without LIMIT, at most; a few connections reach all."""
    found = set()
    for _ in range(6):
        with server.client() as client:
            _, following, objects = client.execute_command("CFG.READ", "CfgFolder")
            found.add(1000 if following == "0" else len(objects))
    return found


@pytest.mark.parametrize("which", [0, 1], ids=["master", "proxy"])
def test_the_rule_for_failing_sign_ins_is_an_option(
    servers: tuple[Master, Proxy], which: int
) -> None:
    master, server = servers[0], servers[which]
    key = f"CfgApplication/name={server.app}"
    for option in ("failure-alarm-period", "failure-alarm-count"):
        assert master.cli("option", key, "security", option, "2").returncode == 0
    taken = "option security/failure-alarm-count is 2 from now on"
    wait_until(lambda: taken in server.log_text(100_000), 10, "the rule is taken")

    def fails() -> bool:
        with pytest.raises(redis.AuthenticationError, match="invalid username-password"):
            redis.Redis(port=server.port, username="ann", password="wrong").ping()
        return "sign-ins fail" in server.alarms()

    wait_until(fails, 10, "three failures are an alarm")
    assert "within 120 s" in server.alarms()["sign-ins fail"]["text"]
