"""Somebody removes a segment of a running server from /dev/shm."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until

ALARM = "memory without a name"


def status(server: Server) -> dict[str, Any]:
    with server.client(protocol=3) as client:
        return dict(client.execute_command("CFG.STATUS"))


def data_of(server: Server) -> Path:
    shown = status(server)
    return Path(f"/dev/shm/csp-{shown['instance']}-{shown['generation']}")


@pytest.mark.parametrize("is_proxy", [True, False])
def test_a_data_segment_that_lost_its_name_is_loaded_anew(
    tmp_path: Path, master: Master, *, is_proxy: bool
) -> None:
    with Proxy(tmp_path, master, workers=2) as proxy:
        server: Server = proxy if is_proxy else master
        with server.client() as client:
            count = client.execute_command("DBSIZE")
            data_of(server).unlink()
            wait_until(lambda: data_of(server).exists(), 20, "another generation is in force")
            assert client.execute_command("DBSIZE") == count
        assert "51108" in server.log_text()
        wait_until(lambda: "51109" in server.log_text(), 10, "the alarm is over")
        server.child("worker 0").kill()
        wait_until(lambda: answers_all(server), 20, "its successor serves")


def answers_all(server: Server) -> bool:
    """Whether a few new connections, on whichever worker, are answered."""
    try:
        for _ in range(8):
            with server.client() as client:
                client.execute_command("DBSIZE")
    except (redis.ConnectionError, redis.BusyLoadingError):
        return False
    return True


def test_without_its_master_a_proxy_serves_on_and_says_so(tmp_path: Path, master: Master) -> None:
    with Proxy(tmp_path, master) as proxy, proxy.client() as client:
        count = client.execute_command("DBSIZE")
        master.stop()
        data_of(proxy).unlink()
        wait_until(lambda: ALARM in json.dumps(status(proxy), default=str), 10, "the alarm")
        assert client.execute_command("DBSIZE") == count
        master.start()
        wait_until(lambda: data_of(proxy).exists(), 30, "it is loaded anew")
        assert client.execute_command("DBSIZE") == count
