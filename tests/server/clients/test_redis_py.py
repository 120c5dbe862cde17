"""redis-py, synchronous and asyncio, with RESP2 and RESP3 and with its default settings."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
import redis
import redis.asyncio

from tests.neighbours.server import PASSWORD, Master

# None: what redis-py chooses by itself.
PROTOCOLS = [None, 2, 3]


def options(master: Master, protocol: int | None) -> dict[str, Any]:
    found: dict[str, Any] = {"host": "127.0.0.1", "port": master.port}
    found |= {"username": "default", "password": PASSWORD, "decode_responses": True}
    return found if protocol is None else found | {"protocol": protocol}


def skill(name: str) -> str:
    return json.dumps({"tenantDBID": 1, "name": name})


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_reads_and_writes(
    master: Master, new_name: Callable[[], str], protocol: int | None
) -> None:
    with redis.Redis(**options(master, protocol), client_name="tester") as client:
        assert client.ping()
        name = new_name()
        revision, dbid = client.execute_command("CFG.CREATE", "CfgSkill", skill(name))
        key = f"CfgSkill:{dbid}"
        assert json.loads(client.get(key))["name"] == name
        assert client.get("CfgSkill:999999") is None
        assert client.mget(key, "nonsense")[1] is None
        assert (client.exists(key, "x"), client.type(key), client.type("x")) == (
            1,
            "string",
            "none",
        )
        assert client.strlen(key) == len(client.get(key))
        assert key in set(client.scan_iter(match="CfgSkill:*"))
        assert client.dbsize() > 10
        assert client.client_getname() == "tester"
        assert client.info("replication")["role"] == "master"
        assert client.config_get("save") == {"save": ""}
        assert client.command_count() > 40
        assert any(row["name"] == "tester" for row in client.client_list())
        delta = json.dumps({"changed": {"name": name + "!"}})
        newer = client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta, "IF", revision)
        assert newer > revision
        assert json.loads(client.get(key))["name"] == name + "!"
        assert client.execute_command("CFG.DELETE", "CfgSkill", dbid) > newer
        assert client.get(key) is None


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_pipeline_and_transaction(
    master: Master, new_name: Callable[[], str], protocol: int | None
) -> None:
    with redis.Redis(**options(master, protocol)) as client:
        plain = client.pipeline(transaction=False)
        for _ in range(100):
            plain.get("CfgTenant:1")
        assert len(set(plain.execute())) == 1
        both = client.pipeline(transaction=True)
        both.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))
        both.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))
        both.get("CfgTenant:1")
        first, second, tenant = both.execute()
        assert first[0] == second[0]
        assert json.loads(tenant)["DBID"] == 1
        bad = client.pipeline(transaction=True)
        bad.execute_command("CFG.CREATE", "CfgSkill", skill("x"))
        bad.execute_command("CFG.DELETE", "CfgSkill", 999_999)
        with pytest.raises(redis.exceptions.ExecAbortError):
            bad.execute()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_watch(master: Master, new_name: Callable[[], str], protocol: int | None) -> None:
    with redis.Redis(**options(master, protocol)) as client:
        _, dbid = client.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))
        key = f"CfgSkill:{dbid}"
        with client.pipeline() as guarded:
            guarded.watch(key)
            client.execute_command(
                "CFG.UPDATE", "CfgSkill", dbid, json.dumps({"changed": {"name": new_name()}})
            )
            guarded.multi()
            guarded.get(key)
            with pytest.raises(redis.WatchError):
                guarded.execute()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_subscription(master: Master, new_name: Callable[[], str], protocol: int | None) -> None:
    with redis.Redis(**options(master, protocol)) as client, client.pubsub() as pubsub:
        pubsub.subscribe("cfg:CfgSkill")
        pubsub.psubscribe("cfg:CfgSk*")
        kinds = [pubsub.get_message(timeout=5)["type"] for _ in range(2)]
        assert kinds == ["subscribe", "psubscribe"]
        _, dbid = client.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))
        found = [pubsub.get_message(timeout=5) for _ in range(2)]
        assert sorted(one["type"] for one in found) == ["message", "pmessage"]
        assert {json.loads(one["data"])["DBID"] for one in found} == {dbid}
        if protocol == 2:  # in RESP3 a PONG is no message, here as with redis-server
            pubsub.ping()
            assert pubsub.get_message(timeout=5)["type"] == "pong"
        pubsub.unsubscribe()
        assert pubsub.get_message(timeout=5)["type"] == "unsubscribe"


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_health_check_of_a_subscription(master: Master, protocol: int | None) -> None:
    with redis.Redis(**options(master, protocol), health_check_interval=1) as client:
        pubsub = client.pubsub()
        pubsub.subscribe("cfg.notice")
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        assert pubsub.get_message(timeout=2.5) is None
        pubsub.close()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_asyncio(master: Master, new_name: Callable[[], str], protocol: int | None) -> None:
    async def run() -> None:
        async with redis.asyncio.Redis(**options(master, protocol)) as client:
            assert await client.ping()
            pubsub = client.pubsub()
            await pubsub.subscribe("cfg")
            assert (await pubsub.get_message(timeout=5))["type"] == "subscribe"
            _, dbid = await client.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))
            message = await pubsub.get_message(timeout=5)
            assert json.loads(message["data"])["DBID"] == dbid
            keys = [f"CfgSkill:{dbid}"] * 50
            texts = await asyncio.gather(*(client.get(key) for key in keys))
            assert len(set(texts)) == 1
            both = await client.pipeline(transaction=True).get(keys[0]).exists("x").execute()
            assert both[1] == 0
            await pubsub.aclose()

    asyncio.run(run())


def test_wrong_password(master: Master) -> None:
    wrong = options(master, None) | {"password": "wrong"}
    with redis.Redis(**wrong) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_no_password(master: Master) -> None:
    with redis.Redis("127.0.0.1", master.port) as client, pytest.raises(redis.AuthenticationError):
        client.get("CfgTenant:1")


def test_other_database(master: Master) -> None:
    other = options(master, 2) | {"db": 1}
    with redis.Redis(**other) as client, pytest.raises(redis.ResponseError, match="DB index"):
        client.ping()
