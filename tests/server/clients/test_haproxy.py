"""A real HAProxy before csp: its redis-check, a check by hand, and reads through it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import redis

from tests.neighbours.haproxy import HAProxy
from tests.neighbours.server import PASSWORD, ROOT, Master, Proxy
from tests.neighbours.waiting import wait_until

pytestmark = pytest.mark.needs("haproxy")

REDIS_CHECK = "    option redis-check"
BY_HAND = """\
    option tcp-check
    tcp-check send PING\\r\\n
    tcp-check expect string +PONG
    tcp-check send QUIT\\r\\n
    tcp-check expect string +OK"""


@pytest.mark.parametrize("checks", [REDIS_CHECK, BY_HAND], ids=["redis-check", "by hand"])
def test_a_server_is_up_while_it_serves(master: Master, tmp_path: Path, checks: str) -> None:
    with (
        Proxy(tmp_path, master, workers=1, app=f"ha-{len(checks)}") as proxy,
        HAProxy(tmp_path, checks, [proxy.port]) as balancer,
    ):
        wait_until(lambda: balancer.state() == "UP", 10, "HAProxy finds the proxy up")
        with redis.Redis(port=balancer.port, username="default", password=PASSWORD) as client:
            assert client.exists("CfgTenant:1") == 1
        proxy.stop()
        wait_until(lambda: balancer.state() == "DOWN", 10, "HAProxy finds the proxy down")
        proxy.start()
        wait_until(lambda: balancer.state() == "UP", 10, "HAProxy finds the proxy up again")


def test_a_server_that_has_nothing_to_serve_is_down(master: Master, tmp_path: Path) -> None:
    with Master(tmp_path, workers=1) as lost:
        waiting = Proxy(tmp_path, lost, workers=1, app="waits", extra=("--create-app",))
        lost.stop()
        waiting.start(ready=False)
        try:
            wait_until(lambda: _listens(waiting.port), 10, "the proxy's port is open")
            with HAProxy(tmp_path, REDIS_CHECK, [waiting.port, master.port]) as balancer:
                wait_until(lambda: balancer.state(1) == "UP", 10, "the other one is up")
                wait_until(lambda: balancer.state(0) == "DOWN", 10, "the waiting one is down")
        finally:
            waiting.stop()


def _listens(port: int) -> bool:
    try:
        with redis.Redis(port=port) as client:
            client.execute_command("CFG.STATUS")
    except redis.ConnectionError as error:
        return "refused" not in str(error)
    except redis.ResponseError:
        return True
    return True


def test_the_example_is_valid() -> None:
    example = ROOT / "deploy" / "haproxy" / "csp.cfg"
    done = subprocess.run(["haproxy", "-c", "-f", str(example)], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
