"""valkey-py and coredis with their default settings: Redis's other Python clients."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import coredis
import pytest
import valkey

from tests.neighbours.server import PASSWORD, Master


def options(master: Master) -> dict[str, Any]:
    found = {"host": "127.0.0.1", "port": master.port, "decode_responses": True}
    return found | {"username": "default", "password": PASSWORD}


def skill(name: str) -> str:
    return json.dumps({"tenantDBID": 1, "name": name})


@pytest.mark.parametrize("protocol", [None, 3])
def test_valkey_py(master: Master, new_name: Callable[[], str], protocol: int | None) -> None:
    chosen = options(master) | ({} if protocol is None else {"protocol": protocol})
    with valkey.Valkey(**chosen) as client, client.pubsub() as pubsub:
        pubsub.subscribe("cfg:CfgSkill")
        assert pubsub.get_message(timeout=5)["type"] == "subscribe"
        name = new_name()
        _, dbid = client.execute_command("CFG.CREATE", "CfgSkill", skill(name))
        key = f"CfgSkill:{dbid}"
        assert json.loads(client.get(key))["name"] == name
        together = client.pipeline().get(key).strlen(key).execute()
        assert together[1] == len(together[0].encode())
        assert key in set(client.scan_iter(match="CfgSkill:*"))
        assert json.loads(pubsub.get_message(timeout=5)["data"])["DBID"] == dbid
        with pytest.raises(valkey.ResponseError, match="BADCLASS"):
            client.execute_command("CFG.CREATE", "CfgWizard", "{}")
        assert (client.ttl(key), client.ttl("x")) == (-1, -2)


def test_coredis(master: Master, new_name: Callable[[], str]) -> None:
    name = new_name()
    with master.client() as author:
        _, dbid = author.execute_command("CFG.CREATE", "CfgSkill", skill(name))
    key = f"CfgSkill:{dbid}"

    async def run() -> None:
        async with coredis.Redis(**options(master)) as client:
            text = await client.get(key)
            assert text is not None
            assert json.loads(text)["name"] == name
            assert await client.mget([key, "x"]) == (text, None)
            assert key in [found async for found in client.scan_iter(match="CfgSkill:*")]
            async with client.pipeline(transaction=True) as pipe:
                both = pipe.get(key), pipe.strlen(key)
            assert await both[0] == text
            assert await both[1] == len(text.encode())

    asyncio.run(run())
