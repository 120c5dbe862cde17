"""How a default port is secured, as the command line states it, at a real master."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.neighbours.certificates import Authority, Certificate
from tests.neighbours.server import PASSWORD, Master, run_cli
from tests.neighbours.waiting import wait_until


@pytest.fixture(scope="module")
def own(authority: Authority) -> Certificate:
    return authority.issue()


class BySecure(redis.Redis):
    """Signed in by TLS."""

    def __init__(self, master: Master, authority: Authority, **more: Any) -> None:
        super().__init__(
            *("127.0.0.1", master.port),
            username="default",
            password=PASSWORD,
            ssl=True,
            ssl_ca_certs=str(authority.root),
            decode_responses=True,
            protocol=3,
            **more,
        )


def answers(master: Master, authority: Authority) -> bool:
    try:
        with BySecure(master, authority) as client:
            return bool(client.execute_command("DBSIZE"))
    except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
        return False


def test_the_default_port_is_secured_from_the_first_moment(
    tmp_path: Path, authority: Authority, own: Certificate
) -> None:
    words = ("--listen-tls", "secured", "--listen-certificate", str(own.certificate))
    master = Master(tmp_path, extra=(*words, "--listen-key", str(own.key)))
    with master.start(ready=False):
        wait_until(lambda: answers(master, authority), 30, "it serves by TLS")
        with socket.create_connection(("127.0.0.1", master.port), timeout=10) as plain:
            plain.sendall(b"PING\r\n")
            assert not plain.recv(100).startswith(b"+PONG")
        with BySecure(master, authority) as client:
            status = client.execute_command("CFG.STATUS")
        assert status["ports"] == f"default 127.0.0.1:{master.port} clients secured"
        told = "the default port takes TLS alone: cut off is every client without TLS"
        assert status["narrowed"].startswith(told)
        wait_until(lambda: told in master.log_text(), 10, "the warning")


def test_a_server_that_locks_all_out_is_mended_by_a_start_in_the_clear(
    tmp_path: Path, authority: Authority
) -> None:
    with Master(tmp_path) as master:
        row = {
            "id": "default",
            "port": str(master.port),
            "transportParams": "tls=1;certificate=/nowhere/c.pem",
        }
        delta = json.dumps({"changed": {"portInfos": [row]}})
        assert master.cli("update", "CfgApplication/name=confserv", delta).returncode == 0
        master.stop()
        master.start(ready=False)
        wait_until(lambda: "certificate" in master.log_text(), 20, "it is told")
        assert not answers(master, authority)
        master.stop()
        master.extra = ("--listen-tls", "unsecured")
        master.start()
        row["transportParams"] = ""
        delta = json.dumps({"changed": {"portInfos": [row]}})
        assert master.cli("update", "CfgApplication/name=confserv", delta).returncode == 0
        master.stop()
        master.extra = ()
        master.start()


def test_an_auto_port_takes_both(tmp_path: Path, authority: Authority, own: Certificate) -> None:
    words = ("--listen-tls", "auto", "--listen-certificate", str(own.certificate))
    with Master(tmp_path, extra=(*words, "--listen-key", str(own.key))) as master:
        wait_until(lambda: answers(master, authority), 10, "it serves by TLS")
        assert master.answers()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--listen-key", "/nowhere"), "--listen-key needs --listen-tls"),
        (
            ("--listen-tls", "secured", "--listen-certificate", "/nowhere"),
            "--listen-certificate /nowhere can't be read",
        ),
        (("--listen-tls", "yes"), "'yes' is not one of"),
    ],
)
def test_what_is_stated_in_vain_is_refused(words: tuple[str, ...], told: str) -> None:
    done = run_cli("master", "--db", "sqlite:///nowhere", "--listen", "127.0.0.1:0", *words)
    assert done.returncode == 2
    assert told in done.stderr
