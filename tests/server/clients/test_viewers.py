"""What redis-cli's tools and graphical viewers ask of a keyspace, and what comes back."""

from __future__ import annotations

import pytest
import redis

from tests.neighbours.redis_cli import redis_cli
from tests.neighbours.server import Master
from tests.server.clients.test_as_redis import Wire

KEY = "CfgTenant:1"


@pytest.fixture
def client(master: Master) -> redis.Redis:
    return master.client()


def test_every_key_is_a_string_that_never_expires(client: redis.Redis) -> None:
    text = client.get(KEY)
    assert (client.ttl(KEY), client.pttl(KEY)) == (-1, -1)
    assert (client.ttl("x"), client.pttl("x")) == (-2, -2)
    assert client.execute_command("EXPIRETIME", KEY) == -1
    assert client.object("encoding", KEY) == "raw"
    assert (client.object("refcount", KEY), client.object("idletime", KEY)) == (1, 0)
    assert client.object("encoding", "x") is None
    with pytest.raises(redis.ResponseError, match="LFU"):
        client.object("freq", KEY)
    assert client.memory_usage(KEY) > len(text)
    assert client.memory_usage(KEY, samples=0) > len(text)
    assert client.memory_usage("nothing:1") is None
    assert client.getrange(KEY, 0, 8) == text[:9]
    assert client.getrange(KEY, -3, -1) == text[-3:]
    assert (client.getrange(KEY, 5, 2), client.getrange("x", 0, -1)) == ("", "")


def test_the_server_says_what_it_is(client: redis.Redis) -> None:
    (module,) = client.module_list()
    assert module["name"] == "csp"
    assert client.acl_whoami() == "default"
    assert (client.slowlog_get(), client.slowlog_len(), client.slowlog_reset()) == ([], 0, True)
    assert client.latency_latest() == []
    assert client.config_get("databases") == {"databases": "1"}


def test_the_sequence_of_a_graphical_viewer(master: Master) -> None:
    wire = Wire(master.port)
    assert wire.ask(["AUTH", "default", "correct horse"]) == ["OK"]
    for line in (
        "CLIENT SETNAME viewer", "INFO", "COMMAND", "MODULE LIST", "ACL WHOAMI", "DBSIZE",
        "CONFIG GET databases", "INFO keyspace", "SCAN 0 COUNT 500",
        "SCAN 0 MATCH * COUNT 500 TYPE string",
        f"TYPE {KEY}", f"TTL {KEY}", f"MEMORY USAGE {KEY} SAMPLES 0", f"STRLEN {KEY}", f"GET {KEY}",
        f"GETRANGE {KEY} 0 4999", f"OBJECT ENCODING {KEY}", "SLOWLOG GET 50", "CLIENT LIST",
        "PUBSUB CHANNELS", "MEMORY DOCTOR", "FT._LIST",
    ):  # fmt: skip
        (reply,) = wire.ask(line.split())
        refused = str(reply).startswith("ERR")
        assert refused == line.startswith(("MEMORY DOCTOR", "FT.")), (line, reply)
        assert not refused or str(reply).startswith(("ERR unknown command", "ERR unknown subcomm"))


@pytest.mark.needs("redis-cli")
def test_keyspace_tools_of_redis_cli(master: Master) -> None:
    for tool in ("--bigkeys", "--memkeys"):
        shown = redis_cli(master, tool, "-i", "0")
        assert "Biggest string found" in shown, shown
        assert "0 hashs with" in shown
        sampled = int(shown.partition("Sampled ")[2].split()[0])
        assert sampled == int(redis_cli(master, "DBSIZE"))
