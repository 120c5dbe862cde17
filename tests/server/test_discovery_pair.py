"""Stock clients follow a real pair through its ports for discovery: a kill, and a switchover."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tests.neighbours.discovering import SIGN_IN, Ioredis, add_port, async_sentinel, sentinel
from tests.neighbours.pairs import Half, ProxyPair
from tests.neighbours.server import Master
from tests.neighbours.waiting import wait_until

pytestmark = pytest.mark.long

KEY = "CfgTenant:1"


class Estate:
    """A pair with a port for discovery on each half."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.master = stack.enter_context(Master(folder, workers=1))
        self.pair = ProxyPair(folder, self.master)
        self.ports = [add_port(self.master, half.app, "sentinel=1") for half in self.pair.halves]
        stack.enter_context(self.pair)

    @property
    def name(self) -> str:
        """Under which clients ask for it."""
        return self.pair.first.app

    def serving(self) -> Half:
        """The half that serves."""
        wait_until(lambda: self.pair.serving is not None, 30, "one half serves")
        assert self.pair.serving is not None
        return self.pair.serving

    def move(self, how: str) -> tuple[Half, Half]:
        """Has the other half serve; the former and the new one."""
        before = self.serving()
        after = self.pair.other(before)
        wait_until(lambda: is_ready(after), 30, f"{after.app} is ready")
        if how == "kill":
            before.kill()
        else:
            with before.administrator() as administrator:
                administrator.execute_command("CFG.SWITCHOVER")
        return before, after

    def mend(self, half: Half, how: str) -> None:
        """The former half stands by again."""
        if how == "kill":
            half.start(ready=False)
            half.wait_ready()


def is_ready(half: Half) -> bool:
    shown = half.status()
    return shown["role"] == "backup" and shown["state"] == "ready"


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with ExitStack() as stack:
        yield Estate(tmp_path_factory.mktemp("discovery"), stack)


HOW = pytest.mark.parametrize("how", ["kill", "switchover"])


@HOW
def test_redis_py_follows(estate: Estate, how: str) -> None:
    found = sentinel(*estate.ports)
    client = found.master_for(estate.name, socket_timeout=5, **SIGN_IN)
    assert client.get(KEY)
    before, after = estate.move(how)
    estate.pair.wait_serving(after)
    wait_until(lambda: port_of(client) == after.port, 20, "it is led to the other half")
    estate.mend(before, how)
    slaves = [("127.0.0.1", before.port)]
    wait_until(lambda: found.discover_slaves(estate.name) == slaves, 20, "the former stands by")


def port_of(client: redis.Redis) -> int:
    """By which server it is served; 0: by none."""
    try:
        return int(client.info("server")["tcp_port"])
    except redis.RedisError:
        return 0


@HOW
def test_redis_py_by_asyncio_follows(estate: Estate, how: str) -> None:
    async def follow() -> bool:
        found = async_sentinel(*estate.ports)
        client = found.master_for(estate.name, socket_timeout=5, **SIGN_IN)
        assert await client.get(KEY)
        before, after = await asyncio.to_thread(estate.move, how)
        try:
            await asyncio.to_thread(estate.pair.wait_serving, after)
            for _ in range(100):
                try:
                    if (await client.info("server"))["tcp_port"] == after.port:
                        return True
                except redis.RedisError:
                    await asyncio.sleep(0.1)
            return False
        finally:
            await client.aclose()
            await asyncio.to_thread(estate.mend, before, how)

    assert asyncio.run(follow())


@HOW
@pytest.mark.needs("node")
@pytest.mark.needs("node-modules")
def test_ioredis_follows(estate: Estate, how: str) -> None:
    with Ioredis(estate.name, *estate.ports) as client:
        assert client.first_port == estate.serving().port
        before, after = estate.move(how)
        found = client.moved()
        assert found == {"port": after.port, "value": True}
        estate.mend(before, how)
