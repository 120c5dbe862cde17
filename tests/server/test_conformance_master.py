"""What an operator meets at a master: refused addresses, events of changes, what must stay."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.neighbours.ports import free_port
from tests.neighbours.server import Master, Proxy
from tests.neighbours.waiting import wait_until

EXIT_USAGE, EXIT_REFUSED = 2, 4


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("conformance")) as master:
        yield master


class Misdirected(Master):
    """A master that is told a wrong address of its database."""

    address = ""

    def arguments(self) -> list[str]:
        arguments = super().arguments()
        return [*arguments[:2], self.address, *arguments[3:]]


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("oracle://x", "sqlite or postgresql"),
        ("nonsense", "no address such as sqlite:///PATH"),
        ("sqlite:////nowhere/at/all.db", "there is no folder /nowhere/at"),
        ("sqlite:////proc/csp.db", "can't be made"),
    ],
)
def test_a_wrong_database_is_refused(tmp_path: Path, address: str, says: str) -> None:
    server = Misdirected(tmp_path)
    server.address = address
    server.start(ready=False)
    assert server.process is not None
    assert server.process.wait(20) == EXIT_USAGE, server.log_text()
    assert says in server.log_text()
    assert "Traceback" not in server.log_text()


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("these are notes, and no database\n" * 40)
    before = file.read_bytes()
    server = Misdirected(tmp_path)
    server.address = f"sqlite:///{file}"
    server.start(ready=False)
    assert server.process is not None
    assert server.process.wait(20) == EXIT_USAGE, server.log_text()
    assert "--db: the database can't be read: file is not a database" in server.log_text()
    assert "Traceback" not in server.log_text()
    assert file.read_bytes() == before


def test_changes_are_events_of_the_log(master: Master) -> None:
    skill = {"tenantDBID": 1, "name": "Žonglování"}
    with master.client() as client:
        _, dbid = client.execute_command("CFG.CREATE", "CfgSkill", json.dumps(skill))
        client.execute_command("CFG.UPDATE", "CfgSkill", dbid, '{"changed":{"state":"disabled"}}')
        client.execute_command("CFG.UPDATE", "CfgSkill", dbid, '{"changed":{"state":"disabled"}}')
        client.execute_command("CFG.DELETE", "CfgSkill", dbid)
    words = {"24200": "created", "24201": "changed", "24202": "deleted"}

    def logged() -> list[tuple[str, str]]:
        pattern = (
            rf"(2420\d) writer: object (\w+): CfgSkill 1/Žonglování \(DBID {dbid}\) by "
            r"CfgPerson:100 127.0.0.1:\d+"
        )
        return re.findall(pattern, master.log_text())

    wait_until(lambda: len(logged()) >= len(words), 5, "the events of three changes")
    assert logged() == list(words.items())


@pytest.mark.parametrize(("name", "dbid"), [("CfgPerson", 100), ("CfgApplication", 99)])
def test_what_nobody_could_do_without_stays(master: Master, name: str, dbid: int) -> None:
    with master.client() as client, pytest.raises(redis.ResponseError, match=r"IMMUTABLE .*built"):
        client.execute_command("CFG.DELETE", name, dbid)


def test_the_masters_application_is_no_proxys(tmp_path: Path, master: Master) -> None:
    with Proxy(tmp_path, master, app="confserv", extra=()).start(ready=False) as proxy:
        wait_until(lambda: "confserv is connected already" in proxy.log_text(), 10, "the refusal")


def test_a_proxy_that_waits_tells_why(tmp_path: Path) -> None:
    """Its master was never there: nobody can sign in, but status and balancers learn the state."""
    with Proxy(tmp_path, free_port(), extra=()).start(ready=False) as proxy:
        wait_until(lambda: "worker 0 is ready" in proxy.log_text(), 10, "a worker")
        told = json.loads(proxy.cli("status", "--json").stdout)
        assert (told["state"], told["link"], told["age"]) == ("loading", "down", -1)
        assert proxy.cli("get", "CfgPerson:100").returncode == EXIT_REFUSED
        assert "04502 bootstrap: cannot connect" in proxy.log_text()


def test_store_verbs_take_a_server(master: Master) -> None:
    stat = json.loads(master.cli("store", "stat", "--json").stdout)
    assert stat["instance"].startswith(f"confserv-{master.port}-")
    checked = master.cli("store", "verify", "--json")
    assert (checked.returncode, json.loads(checked.stdout)["sound"]) == (0, True)
    dumped = master.cli("store", "dump", "CfgTenant", "--json").stdout.splitlines()
    assert json.loads(dumped[0])["name"] == "Environment"


def test_errors_speak_json(master: Master) -> None:
    with master.client() as client:
        for words, says in (
            (("CFG.UPDATE", "CfgPerson", 100, '{"changed":{"isAgent":true}}'), "it stays false"),
            (("CFG.UPDATE", "CfgPerson", 100, "{}", "IF", "x"), "IF takes a number, not 'x'"),
        ):
            with pytest.raises(redis.ResponseError) as refused:
                client.execute_command(*words)
            assert says in str(refused.value)
