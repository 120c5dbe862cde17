"""ioredis, iovalkey and node-redis with their default settings."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from tests.neighbours.node import run_node
from tests.neighbours.server import Master, Server

pytestmark = [pytest.mark.needs("node"), pytest.mark.needs("node-modules")]


LIBRARIES = ["ioredis", "iovalkey", "node-redis"]


@pytest.mark.parametrize("library", LIBRARIES)
def test_default_settings(
    served: Server, master: Master, new_name: Callable[[], str], library: str
) -> None:
    name = new_name()
    port = str(master.port)
    if library == "node-redis":
        found = run_node(served, "node-redis.mjs", name, port)
    else:
        found = run_node(served, "ioredis.mjs", name, library, port)
    revision, dbid = found["created"]
    assert found["errors"] == []
    assert found["object"] | {"name": name, "DBID": dbid, "revision": revision} == found["object"]
    assert found["missing"] is None
    assert found["many"][:2] == [name, None]
    assert f"CfgSkill:{dbid}" in found["keys"]
    assert found["together"] == ["string", "number"]
    channel, text = found["message"]
    assert (channel, json.loads(text)["op"]) == ("cfg:CfgSkill", "create")
    assert json.loads(text)["DBID"] == dbid
    assert found["ping"] == "PONG"


def test_ioredis_confirmations_and_errors(master: Master, new_name: Callable[[], str]) -> None:
    found = run_node(master, "ioredis.mjs", new_name())
    assert (found["subscribed"], found["patterns"], found["unsubscribed"]) == (1, 2, 1)
    assert found["unknown"] == "ERR unknown command 'nonsense', with args beginning with: 'a' "
    assert found["pipelined"] == ["string", "number", "string"]
    glob, channel = found["pattern"]
    assert glob == "cfg:*"
    assert channel.startswith("cfg:CfgSkill")


def test_node_redis_service_commands(master: Master, new_name: Callable[[], str]) -> None:
    found = run_node(master, "node-redis.mjs", new_name())
    assert (found["id"], found["info"], found["config"]) == ("number", True, {"save": ""})
