"""The client verbs on a running master: what they print and their exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neighbours.server import PASSWORD, ROOT, Master, run_cli
from tests.neighbours.waiting import wait_until


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("verbs")) as master:
        yield master


def created(master: Master, class_name: str, **attributes: object) -> str:
    done = master.cli("create", class_name, json.dumps(attributes), "--json")
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["key"])


def test_an_object_lives(master: Master) -> None:
    key = created(master, "CfgSkill", tenantDBID=1, name="Žonglování")
    shown = master.cli("get", key, "--json")
    assert shown.returncode == 0, shown.stderr
    assert json.loads(shown.stdout)["name"] == "Žonglování"
    symbolic = master.cli("get", "CfgSkill/name=Žonglování,tenant_dbid=1", "--json")
    assert json.loads(symbolic.stdout)["DBID"] == json.loads(shown.stdout)["DBID"]

    delta = json.dumps({"changed": {"state": "disabled"}})
    assert master.cli("update", key, delta).returncode == 0
    assert json.loads(master.cli("get", key).stdout)["state"] == "disabled"

    assert master.cli("delete", key).returncode == 0
    assert master.cli("get", key).returncode == 1
    assert master.cli("delete", key).returncode == 1
    assert master.cli("update", key, delta).returncode == 1


def test_read_and_count_take_filters(master: Master) -> None:
    for name in ("r1", "r2", "r3"):
        created(master, "CfgSkill", tenantDBID=1, name=name)
    disabled = created(master, "CfgSkill", tenantDBID=1, name="r4", state="disabled")
    read = master.cli("read", "CfgSkill", "state=disabled", "--json")
    assert read.returncode == 0, read.stderr
    keys = [json.loads(line)["DBID"] for line in read.stdout.splitlines()]
    assert int(disabled.partition(":")[2]) in keys
    counted = master.cli("count", "CfgSkill", "state=disabled", "--json")
    assert json.loads(counted.stdout)["count"] == len(keys)
    assert len(master.cli("read", "CfgSkill", "--limit", "2").stdout.splitlines()) == 2
    brief = master.cli("read", "CfgSkill", "--brief", "--limit", "1").stdout
    assert "name" in json.loads(brief)


def test_an_id_makes_a_repeat_do_nothing(master: Master) -> None:
    value = json.dumps({"tenantDBID": 1, "name": "once"})
    first = master.cli("create", "CfgSkill", value, "--id", "verb-1", "--json")
    second = master.cli("create", "CfgSkill", value, "--id", "verb-1", "--json")
    assert first.returncode == second.returncode == 0, second.stderr
    assert json.loads(first.stdout) == json.loads(second.stdout)


def test_exit_codes(master: Master) -> None:
    assert master.cli("get", "CfgSkill:999999").returncode == 1
    assert master.cli("get", "CfgSkill/name=nobody,tenant_dbid=1").returncode == 1
    assert master.cli("get", "nonsense").returncode == 2
    assert master.cli("read", "CfgNothing").returncode == 2
    assert master.cli("read", "CfgSkill", "shoe_size=44").returncode == 2
    assert master.cli("create", "CfgSkill", '{"tenantDBID":1}').returncode == 2
    assert master.cli("create", "CfgSkill", "{").returncode == 2
    assert master.cli("create").returncode == 2
    assert run_cli("status", "--server", "127.0.0.1:1").returncode == 3
    assert master.cli("status", CSP_PASSWORD="wrong").returncode == 4
    conflict = created(master, "CfgSkill", tenantDBID=1, name="conflict")
    delta = json.dumps({"changed": {"state": "disabled"}})
    assert master.cli("update", conflict, delta, "--if", "1").returncode == 1


def test_passwords_are_not_arguments(master: Master) -> None:
    done = master.cli("status", "--password", "x")
    assert done.returncode == 2
    assert PASSWORD not in done.stdout + done.stderr


def test_status_and_clients(master: Master) -> None:
    status = master.cli("status", "--json", "--classes")
    assert status.returncode == 0, status.stderr
    found = json.loads(status.stdout)
    assert found["revision"] >= 1
    assert found["classes"]["CfgTenant"] >= 1
    assert "revision" in master.cli("status").stdout
    clients = master.cli("clients", "--json")
    assert clients.returncode == 0, clients.stderr
    assert any(row.get("name") == "csp-clients" for row in json.loads(clients.stdout))


def test_watch_shows_changes(master: Master, tmp_path: Path) -> None:
    output = tmp_path / "watched"
    with output.open("wb") as stream:
        watcher = subprocess.Popen(
            [
                *(sys.executable, "-m", "csp", "watch", "cfg:CfgSkill", "--count", "2", "--json"),
                *("--server", f"127.0.0.1:{master.port}"),
            ],
            env=os.environ | {"PYTHONPATH": str(ROOT), "CSP_PASSWORD": PASSWORD},
            stdin=subprocess.DEVNULL,
            stdout=stream,
        )
    try:
        wait_until(lambda: _is_watching(master), 20, "the watcher subscribes")
        key = created(master, "CfgSkill", tenantDBID=1, name="watched")
        master.cli("delete", key)
        assert watcher.wait(20) == 0
    finally:
        watcher.kill()
        watcher.wait(5)
    messages = [json.loads(line) for line in output.read_text().splitlines()]
    assert [message["op"] for message in messages] == ["create", "delete"]
    assert messages[0]["object"]["name"] == "watched"


def _is_watching(master: Master) -> bool:
    rows = json.loads(master.cli("clients", "--json").stdout)
    return any(row.get("name") == "csp-watch" and row.get("sub") == "1" for row in rows)


def test_store_looks_into_shared_memory(master: Master) -> None:
    key = created(master, "CfgSkill", tenantDBID=1, name="in memory")
    (instance,) = [
        name
        for path in Path("/dev/shm").glob(f"csp-*-{master.port}-*-control")
        for name in [path.name.removeprefix("csp-").removesuffix("-control")]
    ]
    stat = run_cli("store", "stat", "--instance", instance, "--json")
    assert stat.returncode == 0, stat.stderr
    found = json.loads(stat.stdout)
    assert found["state"] == "ready"
    assert found["classes"]["CfgSkill"] >= 1
    assert "generation" in run_cli("store", "stat", "--instance", instance).stdout

    dumped = run_cli("store", "dump", "--instance", instance, "CfgSkill")
    objects = [json.loads(line) for line in dumped.stdout.splitlines()]
    assert f"CfgSkill:{objects[-1]['DBID']}" == key

    checked = run_cli("store", "verify", "--instance", instance, "--json")
    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert json.loads(checked.stdout)["sound"]
    assert master.cli("store", "stat", "--json").stdout == stat.stdout
    assert run_cli("store", "stat", "--instance", "nobody").returncode == 3
    assert run_cli("store", "stat", "--server", "127.0.0.1:1").returncode == 3
