"""Python's Redis clients and redis-cli on a master, a proxy, and a proxy behind a proxy.

Each subscribes, hears of a change that was made at the master, and then finds it in every read.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import coredis
import pytest
import redis
import redis.asyncio
import valkey

from tests.effort import parametrize_few
from tests.neighbours.redis_cli import redis_cli
from tests.neighbours.server import PASSWORD, Master, Server

PROTOCOLS = [None, 2, 3]  # None: what the library chooses by itself
MISSING = "CfgSkill:999999"


def options(server: Server, protocol: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {"host": "127.0.0.1", "port": server.port, "decode_responses": True}
    found |= {"username": "default", "password": PASSWORD}
    return found if protocol is None else found | {"protocol": protocol}


def create(master: Master, name: str) -> str:
    """Makes a skill; its key."""
    text = json.dumps({"tenantDBID": 1, "name": name})
    with master.client() as client:
        return f"CfgSkill:{client.execute_command('CFG.CREATE', 'CfgSkill', text)[1]}"


def is_told(message: Any, key: str) -> bool:
    told = json.loads(message["data"])
    return (told["op"], f"{told['class']}:{told['DBID']}") == ("create", key)


def check_reads(client: Any, key: str, name: str) -> None:
    """GET, MGET, a pipeline, EXEC, WATCH and SCAN of a library whose calls block."""
    text = client.get(key)
    assert json.loads(text)["name"] == name
    assert client.mget(key, MISSING, key) == [text, None, text]
    assert client.pipeline(transaction=False).get(key).exists(MISSING).execute() == [text, 0]
    assert client.pipeline().get(key).type(key).execute() == [text, "string"]
    with client.pipeline() as guarded:
        guarded.watch(key)
        guarded.multi()
        assert guarded.get(key).execute() == [text]
    assert key in set(client.scan_iter(match="CfgSkill:*"))


def check_no_writes(client: Any, library: Any) -> None:
    """A proxy refuses by the error that means it."""
    with pytest.raises(library.ReadOnlyError, match=r"can't write against a read only replica"):
        client.execute_command("CFG.DELETE", "CfgSkill", 999_999)


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("library", [redis, valkey], ids=["redis-py", "valkey-py"])
def test_blocking(
    served: Server, master: Master, new_name: Callable[[], str], library: Any, protocol: int | None
) -> None:
    with library.StrictRedis(**options(served, protocol)) as client, client.pubsub() as pubsub:
        pubsub.subscribe("cfg:CfgSkill")
        pubsub.psubscribe("cfg@*:CfgSkill")
        assert [pubsub.get_message(timeout=5)["data"] for _ in range(2)] == [1, 2]
        name = new_name()
        key = create(master, name)
        messages = [pubsub.get_message(timeout=10) for _ in range(2)]
        assert [one["type"] for one in messages] == ["message", "pmessage"]
        assert all(is_told(one, key) for one in messages)
        check_reads(client, key, name)
        if served is not master:
            check_no_writes(client, library)
        pubsub.unsubscribe()
        assert pubsub.get_message(timeout=5)["type"] == "unsubscribe"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_redis_py_asyncio(
    served: Server, master: Master, new_name: Callable[[], str], protocol: int | None
) -> None:
    name = new_name()

    async def run() -> None:
        async with redis.asyncio.Redis(**options(served, protocol)) as client:
            pubsub = client.pubsub()
            await pubsub.subscribe("cfg")
            assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
            key = create(master, name)
            assert is_told(await pubsub.get_message(timeout=10), key)
            texts = await asyncio.gather(*(client.get(key) for _ in range(50)))
            assert {json.loads(text)["name"] for text in texts} == {name}
            assert await client.pipeline().get(key).exists(MISSING).execute() == [texts[0], 0]
            assert key in [found async for found in client.scan_iter(match="CfgSkill:*")]
            await pubsub.aclose()

    asyncio.run(run())


def test_coredis(served: Server, master: Master, new_name: Callable[[], str]) -> None:
    name = new_name()

    async def run() -> None:
        async with coredis.Redis(**options(served, None)) as client:
            async with client.pubsub(channels=["cfg:CfgSkill"]) as pubsub:
                key = create(master, name)
                async for message in pubsub:
                    if message["type"] == "message":
                        assert is_told(message, key)
                        break
            text = await client.get(key)
            assert text is not None
            assert json.loads(text)["name"] == name
            assert await client.mget([key, MISSING]) == (text, None)
            async with client.pipeline(transaction=True) as pipe:
                both = pipe.get(key), pipe.exists([MISSING])
            assert (await both[0], await both[1]) == (text, 0)

    asyncio.run(run())


@pytest.mark.needs("redis-cli")
@parametrize_few("protocol", ["-2", "-3"], quick=1)
def test_redis_cli(
    served: Server, master: Master, new_name: Callable[[], str], protocol: str
) -> None:
    name = new_name()
    key = create(master, name)
    waited = f"CFG.SYNC\nGET {key}\nMULTI\nGET {key}\nEXEC\n"
    shown = redis_cli(served, protocol, typed=waited)
    assert shown.count(json.dumps(name)) == 2
    assert key in redis_cli(served, protocol, "--scan", "--pattern", "CfgSkill:*").split()
