"""Several ports of one server, each for its purpose, of a real master and a real proxy."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import redis

from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until


def client(port: int, user: str = "default", password: str = PASSWORD) -> redis.Redis:
    return redis.Redis(
        *("127.0.0.1", port),
        username=user,
        password=password,
        socket_timeout=20,
        decode_responses=True,
    )


def give(master: Master, app: str, words: dict[str, str], ports: dict[str, int]) -> None:
    """Gives an Application these ports beside its default one: transport parameters by id."""
    rows = [
        {"id": name, "port": str(ports[name]), "transportParams": text}
        for name, text in words.items()
    ]
    delta = json.dumps({"added": {"portInfos": rows}})
    done = master.cli("update", f"CfgApplication/name={app}", delta)
    assert done.returncode == 0, done.stderr


def is_open(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_a_master_opens_its_other_ports_when_it_knows_them(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("ui", "ha", "bad")}
    with Master(tmp_path, workers=2) as master:
        give(master, "confserv", {"ui": "user=1", "ha": "ha-sync=1", "bad": "user=2"}, ports)
        assert not is_open(ports["ui"])
        master.stop()
        master.start()
        wait_until(lambda: is_open(ports["ha"]), 10, "the port is open")
        with client(ports["ui"]) as one:
            wait_until(lambda: one.execute_command("DBSIZE") > 0, 20, "it is served")
        assert not is_open(ports["bad"])
        assert "port bad, user=2: it is 0 or 1" in master.log_text()
        assert f"port ui is open at 127.0.0.1:{ports['ui']}: user-interface, unsec" in (
            master.log_text()
        )
