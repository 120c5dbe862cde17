"""What a server counts: each process for itself, seen by CFG.METRICS and `csp metrics`."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import redis

from csp.tables.metrics import METRICS
from tests.neighbours.server import Master, Proxy
from tests.neighbours.waiting import wait_until


def metrics(server: Master | Proxy) -> dict[str, dict[str, int]]:
    shown = server.cli("metrics", "--json")
    assert shown.returncode == 0, shown.stderr
    found: dict[str, dict[str, int]] = json.loads(shown.stdout)
    return found


def skill(name: str) -> str:
    return json.dumps({"name": name, "tenantDBID": 1})


def test_each_process_counts_what_it_does(tmp_path: Path) -> None:
    with Master(tmp_path, workers=2).start() as master, master.client() as client:
        for number in range(3):
            _, dbid = client.execute_command("CFG.CREATE", "CfgSkill", skill(f"s{number}"))
        for number in range(3):
            delta = json.dumps({"changed": {"name": f"renamed {number}"}})
            client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta)
        with pytest.raises(redis.ResponseError):
            client.execute_command("CFG.CREATE", "CfgSkill", skill("s0"))
        with (
            master.client(single_connection_client=False) as other,
            pytest.raises(redis.AuthenticationError),
        ):
            other.execute_command("AUTH", "default", "wrong")
        wait_until(lambda: metrics(master)["writer"]["reclaimed"], 10, "what was replaced is freed")
        found = metrics(master)
        processes = ["worker 0", "worker 1", "writer", "reading", "auth", "supervisor"]
        assert list(found) == processes
        assert found["reading"] == {"database_questions": 0}
        writer, auth = found["writer"], found["auth"]
        assert (writer["writes"], writer["writes_refused"]) == (7, 1)
        assert (writer["published"], writer["applied"]) == (6, 6)
        assert writer["connects"] == 0
        assert auth["hashes"] >= 2
        assert auth["remembered"] >= 1
        assert auth["refused"] >= 1
        assert sum(found[f"worker {n}"]["commands"] for n in (0, 1)) > 8
        assert found["supervisor"]["worker_restarts"] == 0


def test_restarts_are_shown(tmp_path: Path) -> None:
    with Master(tmp_path, workers=2).start() as master:
        for role in ("worker 1", "auth"):
            child = master.child(role)
            child.kill()
            wait_until(
                lambda pid=child.pid, role=role: master.child(role).pid != pid,
                20,
                f"another {role}",
            )
        with master.client(retry=None) as client:
            assert _status(client)["restarts"] == 2
        counted = metrics(master)["supervisor"]
        restarts = {name: number for name, number in counted.items() if number}
        assert restarts == {"worker_restarts": 1, "auth_restarts": 1}


def _status(client: redis.Redis) -> dict[str, int]:
    reply = client.execute_command("CFG.STATUS")
    return dict(zip(reply[::2], reply[1::2], strict=True)) if isinstance(reply, list) else reply


def test_people_see_units_and_meanings(tmp_path: Path) -> None:
    with Master(tmp_path).start() as master:
        shown = master.cli("metrics").stdout.splitlines()
    for one in METRICS:
        line = next(line for line in shown if re.search(rf"^[a-z]+( \d)? +{one.name} ", line))
        assert line.startswith(one.process)
        assert re.search(rf" \d+ +{one.unit} +{re.escape(one.help)}$", line)


def test_a_proxy_counts_its_link(tmp_path: Path) -> None:
    with (
        Master(tmp_path).start() as master,
        Proxy(tmp_path, master).start() as proxy,
    ):
        assert metrics(proxy)["writer"]["connects"] == 1
