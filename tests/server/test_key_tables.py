"""Servers whose key tables differ: no filter answers with nothing where there is something (G1).

The older release is this one without the filter key `last_name` of persons.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.neighbours.server import ROOT, Master, Proxy, Server
from tests.neighbours.waiting import wait_until

ROW = '  { n = 14, name = "last_name", kind = "list", value = "text", from = "lastName" },\n'


@pytest.fixture
def older(tmp_path: Path) -> dict[str, str]:
    """The environment of a server of the older release."""
    folder = tmp_path / "older"
    leave_out = shutil.ignore_patterns("__pycache__", "*.c", "node_modules")
    shutil.copytree(ROOT / "csp", folder / "csp", ignore=leave_out)
    table = folder / "csp" / "tables" / "objects.toml"
    text = table.read_text(encoding="utf-8")
    assert text.count(ROW) == 1
    table.write_text(text.replace(ROW, ""), encoding="utf-8")
    return {"PYTHONPATH": str(folder)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "servers"
    made.mkdir()
    return made


def make(master: Server, number: int, last_name: str) -> None:
    person = {
        "userName": f"user{number}",
        "employeeID": str(number),
        "lastName": last_name,
        "tenantDBID": 1,
    }
    with master.client() as client:
        client.execute_command("CFG.CREATE", "CfgPerson", json.dumps(person))


def count(server: Server, last_name: str) -> int:
    with server.client() as client:
        found = client.execute_command("CFG.COUNT", "CfgPerson", "FILTER", "last_name", last_name)
    assert isinstance(found, int)
    return found


def finds(server: Server, **counts: int) -> None:
    """Each name is found so often, soon."""
    for name, expected in counts.items():

        def is_so(name: str = name, expected: int = expected) -> bool:
            return count(server, name) == expected

        wait_until(is_so, 10, f"{name}: {expected}")


@pytest.mark.long
def test_an_older_master_and_a_newer_proxy(folder: Path, older: dict[str, str]) -> None:
    with Master(folder, environment=older) as master:
        make(master, 1, "Lovelace")
        with Proxy(folder, master) as proxy:
            finds(proxy, Lovelace=1, Hopper=0)
            make(master, 2, "Hopper")
            finds(proxy, Lovelace=1, Hopper=1)
            assert "key table is another" in proxy.log_text()


@pytest.mark.long
def test_a_newer_master_behind_an_older_proxy(folder: Path, older: dict[str, str]) -> None:
    with Master(folder) as master:
        make(master, 1, "Lovelace")
        with Proxy(folder, master, app="last"):
            pass  # its Application can be made at the master alone
        with Proxy(folder, master, environment=older) as between:
            assert "key table is another" in between.log_text()
            with Proxy(folder, between, app="last", extra=()) as last:
                finds(last, Lovelace=1, Hopper=0)
                make(master, 2, "Hopper")
                finds(last, Lovelace=1, Hopper=1)
            with between.client() as client, master.client() as at_master:
                assert client.execute_command("CFG.COUNT", "CfgPerson") == 3
                assert client.get("CfgPerson:101") == at_master.get("CfgPerson:101")


def test_a_newer_release_on_the_segments_of_an_older_one(
    folder: Path, older: dict[str, str]
) -> None:
    with Master(folder, environment=older) as master:
        make(master, 1, "Lovelace")
        master.kill()
        master.environment = {}
        master.start()
        finds(master, Lovelace=1)
        assert "its filter keys were built by another key table" in master.log_text()
