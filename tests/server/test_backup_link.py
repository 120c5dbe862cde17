"""A proxy whose master is gone goes on at the backup that the master's Application names (T14)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.neighbours.certificates import Authority
from tests.neighbours.ports import free_port, is_listening
from tests.neighbours.secured_ports import give_secured_ports
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until

HERE = "127.0.0.1"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    """Above all: the servers below stand for a master and its backup."""
    with Master(tmp_path_factory.mktemp("root")) as server:
        with server.client() as client:
            client.execute_command("CFG.CREATE", "CfgHost", json.dumps({"name": HERE}))
        yield server


def find(root: Master, class_name: str, name: str) -> dict[str, Any]:
    with root.client() as client:
        found: dict[str, Any] = json.loads(
            client.execute_command("CFG.FIND", class_name, "name", name)
        )
    return found


def update(root: Master, name: str, changed: dict[str, Any]) -> None:
    dbid = find(root, "CfgApplication", name)["DBID"]
    with root.client() as client:
        client.execute_command(
            "CFG.UPDATE", "CfgApplication", dbid, json.dumps({"changed": changed})
        )


def pair(root: Master, folder: Path, name: str) -> tuple[Proxy, Proxy]:
    """A server and its backup, which stands by."""
    halves = singles(root, folder, name)
    join(root, *halves)
    return halves


def singles(root: Master, folder: Path, name: str) -> tuple[Proxy, Proxy]:
    """Two servers that are to be a pair."""
    first = Proxy(folder, root, app=f"{name}-1").start()
    return first, Proxy(folder, root, app=f"{name}-2").start()


def join(root: Master, first: Proxy, second: Proxy) -> None:
    """Makes a pair of them; clients are let in by the first alone from then on."""
    host = find(root, "CfgHost", HERE)["DBID"]
    update(root, second.app, {"serverInfo.hostDBID": host})
    backup = find(root, "CfgApplication", second.app)["DBID"]
    warm = {"serverInfo.backupServerDBID": backup, "redundancyType": "htwarmstanby"}
    update(root, first.app, warm)
    wait_until(lambda: not is_listening(second.port), 20, "the backup stands by")


def below(root: Master, folder: Path, first: Server, name: str) -> Proxy:
    """A proxy of the pair; its Application can be made at the root alone."""
    with Proxy(folder, root, app=name):
        pass
    return Proxy(folder, first, app=name, extra=())


def new_skill(root: Master, name: str) -> str:
    with root.client() as client:
        value = json.dumps({"name": name, "tenantDBID": 1})
        _, dbid = client.execute_command("CFG.CREATE", "CfgSkill", value)
    return f"CfgSkill:{dbid}"


def has(server: Server, key: str) -> bool:
    with server.client() as client:
        return bool(client.exists(key))


def links_at(server: Server) -> int:
    """How many links it has from below; none where it lets nobody in."""
    try:
        with server.client() as client:
            return sum(str(one["name"]).startswith("csp-proxy-") for one in client.client_list())
    except redis.ConnectionError:
        return 0


def add_port(root: Master, proxy: Proxy, port: int) -> None:
    """Has the Application of a proxy state one more port, from its next start on."""
    dbid = find(root, "CfgApplication", proxy.app)["DBID"]
    delta = json.dumps({"added": {"portInfos": [{"id": "more", "port": str(port)}]}})
    with root.client() as client:
        client.execute_command("CFG.UPDATE", "CfgApplication", dbid, delta)


def test_f52_f54_t13_it_goes_on_at_the_backup_serves_all_the_while_and_stays(
    tmp_path: Path, root: Master
) -> None:
    first, second = pair(root, tmp_path, "pair")
    with second, first, below(root, tmp_path, first, "under") as proxy, proxy.client() as client:
        key = new_skill(root, "before")
        wait_until(lambda: has(proxy, key), 20, "it follows the first")
        generation = client.execute_command("CFG.STATUS")
        assert generation
        assert links_at(second) == 0
        first.kill()
        key = new_skill(root, "behind it")
        wait_until(lambda: client.exists(key), 20, "the change comes by the backup")
        assert links_at(second) == 2
        assert "51337" in proxy.log_text()
        assert "51301" not in proxy.log_text()  # nothing was loaded anew
        before = first.log_text().count(" 04503 ")
        first.start(ready=False)  # it is there again: nobody goes back to it
        wait_until(lambda: first.log_text().count(" 04503 ") > before, 30, "the first follows")
        key = new_skill(root, "with both there")
        wait_until(lambda: client.exists(key), 20, "the change comes")
        assert links_at(second) == 2
        assert proxy.log_text().count("51337") == 1


def test_it_finds_the_backup_after_a_start_of_its_own(tmp_path: Path, root: Master) -> None:
    """The master went first, then the proxy: it comes up with what it has, and then follows."""
    first, second = pair(root, tmp_path, "late")
    proxy = below(root, tmp_path, first, "late-under")
    with second, first, proxy:
        wait_until(lambda: links_at(first) == 2, 20, "it follows the first")
        first.kill()
        wait_until(lambda: links_at(second) == 2, 20, "it follows the backup")
        proxy.stop()
        add_port(root, proxy, port := free_port())
        proxy.start()
        key = new_skill(root, "after its start")
        wait_until(lambda: has(proxy, key), 30, "the change comes by the backup")
        # What its Application says now, it has asked of the backup before it began.
        wait_until(lambda: is_listening(port), 20, "the port that was added is open")


@pytest.mark.parametrize("is_consistent", [True, pytest.param(False, marks=pytest.mark.long)])
def test_t14_it_takes_the_port_of_the_same_id_where_that_is_wanted(
    tmp_path: Path, root: Master, is_consistent: bool
) -> None:
    name = f"ports-{is_consistent}".lower()
    first, second = singles(root, tmp_path, name)
    up = {server.app: free_port() for server in (first, second)}
    for server in (first, second):
        row = {"id": "up", "port": str(up[server.app])}
        dbid = find(root, "CfgApplication", server.app)["DBID"]
        with root.client() as client:
            delta = json.dumps({"added": {"portInfos": [row]}})
            client.execute_command("CFG.UPDATE", "CfgApplication", dbid, delta)
        server.stop()
        server.start()
        wait_until(lambda port=up[server.app]: is_listening(port), 20, "the other port is open")
    join(root, first, second)
    proxy = below(root, tmp_path, first, f"{name}-under")
    proxy.master_port = up[first.app]
    value = str(is_consistent).lower()
    at = (f"CfgApplication/name={proxy.app}", "system", "consistent-port-selection", value)
    assert root.cli("option", *at).returncode == 0
    with second, first, proxy:
        wait_until(lambda: ports_of_links(first) == {"up"}, 20, "it came by that port")
        first.kill()
        wanted = {"up" if is_consistent else "default"}
        wait_until(lambda: ports_of_links(second) == wanted, 20, "it goes on by this one")
        key = new_skill(root, f"by a port {value}")
        wait_until(lambda: has(proxy, key), 20, "the change comes")


def test_by_tls_it_goes_on_by_tls(tmp_path: Path, root: Master) -> None:
    """Whatever its options say: the plain port of the backup is not told to who speaks TLS."""
    authority = Authority(tmp_path / "authority")
    certificate = authority.issue(until_days=90)
    first, second = singles(root, tmp_path, "by-tls")
    at = {
        server.app: give_secured_ports(
            root, certificate, authority.root, to=server, app=server.app
        ).tls
        for server in (first, second)
    }
    join(root, first, second)
    proxy = below(root, tmp_path, first, "by-tls-under")
    proxy.master_port = at[first.app]
    proxy.extra = ("--tls", "--tls-ca", str(authority.root))
    with second, first, proxy:
        wait_until(lambda: ports_of_links(first) == {"tls"}, 20, "it came by TLS")
        first.kill()
        wait_until(lambda: ports_of_links(second) == {"tls"}, 20, "it goes on by TLS")
        key = new_skill(root, "by tls at the backup")
        wait_until(lambda: has(proxy, key), 20, "the change comes")


def ports_of_links(server: Server) -> set[str]:
    try:
        with server.client() as client:
            found = client.client_list()
    except redis.ConnectionError:  # it stands by yet
        return set()
    return {one["port"] for one in found if str(one["name"]).startswith("csp-proxy-")}
