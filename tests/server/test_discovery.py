"""A port for discovery of real servers, and one for agent checks, as clients and balancers ask."""

from __future__ import annotations

import asyncio
import re
import shlex
import socket
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import redis

from csp._fastpath import Control
from csp.process.standing import ROLE_BACKUP, ROLE_PRIMARY, Standing, show
from csp.store import segment
from tests.neighbours.discovering import SIGN_IN, add_port, async_sentinel, sentinel
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, ROOT, Master, Proxy
from tests.neighbours.waiting import wait_until
from tests.server.test_ports import is_open, state_of
from tests.server.test_security_page import shell

PAGE = (ROOT / "docs" / "operating" / "discovery.md").read_text()
[ADD] = re.findall(r"```sh\n(.*?)```", PAGE, re.S)
[PROGRAM] = re.findall(r"```python\n(.*?)```", PAGE, re.S)
[SCRIPT] = re.findall(r'^    script "(.*)"$', PAGE, re.M)
STATED = "26379"  # the port of the page
KEY = "CfgTenant:1"


class Site:
    """A master with a port for discovery, and a proxy of it that plays its peer."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.master = stack.enter_context(Master(folder, workers=1))
        self.port = free_port()
        shell(self.master, ADD.replace(STATED, str(self.port)))
        self.agent = add_port(self.master, "confserv", "agent-check=1")
        self.master.stop()
        self.master.start()
        address = '{"changed": {"IPaddress": "127.0.0.1"}}'
        done = self.master.cli("update", f"CfgHost/name={socket.gethostname()}", address)
        assert done.returncode == 0, done.stderr
        self.proxy = stack.enter_context(Proxy(folder, self.master))
        wait_until(lambda: is_open(self.port), 20, "the port for discovery is open")
        self.instance = state_of(self.master)["instance"]

    def stand(self, standing: Standing) -> None:
        """Has the master stand so in a pair, as its writer would show it."""
        show(Control(segment.open_control(self.instance)), standing)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with ExitStack() as stack:
        yield Site(tmp_path_factory.mktemp("discovery"), stack)


@pytest.fixture
def standing(site: Site) -> Iterator[Site]:
    """The pair's primary; it is a single server again afterwards."""
    site.stand(primary(site))
    yield site
    site.stand(Standing())


def primary(site: Site) -> Standing:
    at = f"127.0.0.1:{site.proxy.port}"
    return Standing(ROLE_PRIMARY, True, peer="proxy1", peer_address=at, peer_state="ready")


def backup(site: Site) -> Standing:
    at = f"127.0.0.1:{site.proxy.port}"
    return Standing(ROLE_BACKUP, True, peer="proxy1", peer_address=at, peer_state="serving")


def test_redis_py_finds_the_half_that_serves_and_follows_it(standing: Site) -> None:
    found = sentinel(standing.port)
    assert found.discover_master("confserv") == ("127.0.0.1", standing.master.port)
    assert found.discover_slaves("proxy1") == [("127.0.0.1", standing.proxy.port)]
    client = found.master_for("confserv", **SIGN_IN)
    assert client.get(KEY)
    with redis.Redis(port=standing.port) as listener, listener.pubsub() as changes:
        changes.psubscribe("*")  # as Lettuce does
        assert changes.get_message(timeout=10)["type"] == "psubscribe"
        standing.stand(backup(standing))
        told = changes.get_message(timeout=10)
        assert told["channel"] == b"+switch-master"
        ports = standing.master.port, standing.proxy.port
        assert told["data"] == "confserv 127.0.0.1 {} 127.0.0.1 {}".format(*ports).encode()
    assert found.discover_master("confserv") == ("127.0.0.1", standing.proxy.port)
    client.connection_pool.disconnect()
    assert client.get(KEY)
    assert client.info("server")["tcp_port"] == standing.proxy.port
    assert found.discover_slaves("confserv") == [("127.0.0.1", standing.master.port)]


def test_redis_py_by_asyncio(standing: Site) -> None:
    async def follow() -> tuple[Any, Any]:
        found = async_sentinel(standing.port)
        client = found.master_for("confserv", **SIGN_IN)
        first = await client.info("server")
        standing.stand(backup(standing))
        await client.connection_pool.disconnect()
        second = await client.info("server")
        await client.aclose()
        for one in found.sentinels:
            await one.aclose()
        return first["tcp_port"], second["tcp_port"]

    assert asyncio.run(follow()) == (standing.master.port, standing.proxy.port)


def test_the_program_of_the_page(site: Site, capsys: pytest.CaptureFixture[str]) -> None:
    exec(PROGRAM.replace(STATED, str(site.port)), {"password": PASSWORD})
    assert '"class":"CfgTenant"' in capsys.readouterr().out


def test_the_check_of_the_page_for_a_virtual_address(site: Site) -> None:
    def serves(port: int) -> bool:
        command = shlex.split(SCRIPT.replace("2020", str(port)))
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    assert serves(site.master.port)
    assert not serves(free_port())


def test_who_signs_in_is_answered_and_reads_nothing_there(site: Site) -> None:
    with redis.Redis(port=site.port, **SIGN_IN) as client:
        assert client.ping()
        assert client.execute_command("SENTINEL", "MASTERS")
        with pytest.raises(redis.exceptions.NoPermissionError, match="this port is for discovery"):
            client.get(KEY)
        with pytest.raises(redis.exceptions.NoPermissionError, match="this port is for discovery"):
            client.mget(KEY, KEY)
    with (
        redis.Redis(port=site.port, username="default", password=f"no {PASSWORD}") as client,
        pytest.raises(redis.AuthenticationError),
    ):
        client.ping()


def test_on_other_ports_sentinel_is_unknown(site: Site) -> None:
    with (
        site.master.client() as client,
        pytest.raises(redis.ResponseError, match="unknown command 'SENTINEL'"),
    ):
        client.execute_command("SENTINEL", "MASTERS")


@pytest.mark.long
def test_who_asks_nothing_goes_and_who_has_subscribed_stays(site: Site) -> None:
    key = f"CfgApplication/name={site.master.app}"
    done = site.master.cli("option", key, "confserv", "client-connect-timeout", "1")
    assert done.returncode == 0, done.stderr
    try:
        with redis.Redis(port=site.port) as listener, listener.pubsub() as changes:
            changes.subscribe("+switch-master")
            assert changes.get_message(timeout=10)["type"] == "subscribe"
            with socket.create_connection(("127.0.0.1", site.port), timeout=20) as silent:
                assert silent.recv(100) == b""
            changes.ping()
            assert changes.get_message(timeout=10)["type"] == "pong"
    finally:
        site.master.cli("option", key, "confserv", "client-connect-timeout", "--delete")


def agent(site: Site) -> bytes:
    with socket.create_connection(("127.0.0.1", site.agent), timeout=10) as one:
        return b"".join(iter(lambda: one.recv(100), b""))


def test_an_agent_check_is_one_line_and_the_end(standing: Site) -> None:
    assert agent(standing).startswith(b"ready up ")
    standing.stand(backup(standing))
    wait_until(lambda: agent(standing) == b"down\n", 5, "who stands by is down")
    control = Control(segment.open_control(standing.instance))
    control.set_drain(1, 2)
    try:
        wait_until(lambda: agent(standing) == b"drain\n", 5, "a drain is told")
    finally:
        control.set_drain(0, 0)
    with standing.master.client() as client:
        assert client.ping()
