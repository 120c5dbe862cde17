"""Client-side caches: redis-py's own, and one made with ioredis over two connections."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
import redis
from redis.cache import CacheConfig

from tests.neighbours.node import run_node
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until

CONNECTIONS = 12  # they spread over both workers


def created(master: Master, name: str) -> int:
    with master.client() as client:
        text = json.dumps({"tenantDBID": 1, "name": name})
        dbid: int = client.execute_command("CFG.CREATE", "CfgSkill", text)[1]
    return dbid


def renamed(master: Master, dbid: int, name: str) -> int:
    with master.client() as client:
        delta = json.dumps({"changed": {"name": name}})
        revision: int = client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta)
    return revision


def name_of(client: redis.Redis, key: str) -> str | None:
    text = client.get(key)
    return None if text is None else str(json.loads(text)["name"])


def is_named(client: redis.Redis, key: str, name: str) -> bool:
    return name_of(client, key) == name


def hits(server: Server) -> int:
    with server.client() as client:
        return int(client.info("stats")["keyspace_hits"])


@pytest.fixture(params=["proxy", pytest.param("master", marks=pytest.mark.long)])
def server(request: pytest.FixtureRequest, master: Master) -> Server:
    found: Server = request.getfixturevalue(request.param)
    return found


@contextmanager
def caching(server: Server) -> Iterator[redis.Redis]:
    """redis-py with its cache."""
    with server.client(protocol=3, cache_config=CacheConfig()) as client:
        yield client


def test_redis_py_caches_until_it_is_told(
    server: Server, master: Master, new_name: Callable[[], str]
) -> None:
    name = new_name()
    dbid = created(master, name)
    key, spelled = f"CfgSkill:{dbid}", f"CfgSkill:00{dbid}"
    with caching(server) as client:
        wait_until(lambda: name_of(client, key) == name, 10, "it is there")
        assert name_of(client, spelled) == name
        before = hits(server)
        for _ in range(20):
            assert name_of(client, key) == name_of(client, spelled) == name
        assert hits(server) == before, "they were answered without the server"
        for turn in range(5):
            newest = f"{name} {turn}"
            renamed(master, dbid, newest)
            wait_until(partial(is_named, client, key, newest), 10, "it is new")
            wait_until(partial(is_named, client, spelled, newest), 10, "so is the other one")
        with master.client() as admin:
            admin.execute_command("CFG.DELETE", "CfgSkill", dbid)
        wait_until(lambda: client.get(key) is None, 10, "it is gone")


def test_redis_py_hears_of_what_did_not_exist(
    proxy: Proxy, master: Master, new_name: Callable[[], str]
) -> None:
    name = new_name()
    expected = created(master, name) + 1
    with caching(proxy) as client:
        assert client.exists(f"CfgSkill:{expected}") == 0
        assert client.get(f"CfgSkill:{expected}") is None
        assert created(master, name + " next") == expected
        wait_until(lambda: client.get(f"CfgSkill:{expected}"), 10, "it is there")


def test_the_figures_and_the_list_tell_who_tracks(
    master: Master, new_name: Callable[[], str]
) -> None:
    dbid = created(master, new_name())
    with caching(master) as client, master.client(single_connection_client=True) as other:
        client.get(f"CfgSkill:{dbid}")
        assert other.execute_command("CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "CfgS")
        wait_until(lambda: other.info("clients")["tracking_clients"] == 2, 5, "both are counted")
        wait_until(lambda: other.info("stats")["tracking_total_keys"] >= 1, 5, "its key is")
        assert other.info("stats")["tracking_total_prefixes"] == 1
        flags = {row["flags"]: row["redir"] for row in other.client_list()}
        assert flags["t"] == flags["tB"] == "0"
    with master.client() as client:
        wait_until(lambda: client.info("clients")["tracking_clients"] == 0, 5, "they have gone")
        wait_until(lambda: client.info("stats")["tracking_total_keys"] == 0, 5, "and their keys")


@pytest.mark.needs("node")
@pytest.mark.needs("node-modules")
def test_ioredis_is_told_on_another_connection(
    server: Server, master: Master, new_name: Callable[[], str]
) -> None:
    """It writes at the master itself; the two connections may be of different workers."""
    name = new_name()
    dbid = created(master, name)
    with server.client() as client:
        wait_until(lambda: client.get(f"CfgSkill:{dbid}"), 10, "it is there")
    found = run_node(server, "caching.mjs", str(dbid), str(master.port))
    assert found["errors"] == []
    assert found["told"][0] == ["__redis__:invalidate", f"CfgSkill:{dbid}"]
    assert found["names"] == [name, f"{name} first", f"{name} second"]
    assert found["dropped"] == ["__redis__:invalidate", ""]  # a null: its reader has gone


def test_redirects_reach_other_workers(master: Master, new_name: Callable[[], str]) -> None:
    """Whatever worker has the reader, the target, or either when it ends."""
    dbid = created(master, new_name())
    key = f"CfgSkill:{dbid}"
    target = master.raw(protocol=2, decode_responses=True, socket_timeout=10)
    target.send_command("CLIENT", "ID")
    number = target.read_response()
    target.send_command("SUBSCRIBE", "__redis__:invalidate")
    target.read_response()
    readers = [
        master.raw(protocol=3, decode_responses=True, socket_timeout=10) for _ in range(CONNECTIONS)
    ]
    for reader in readers:
        reader.send_command("CLIENT", "TRACKING", "ON", "REDIRECT", number)
        assert reader.read_response() == "OK"
        reader.send_command("GET", key)
        assert reader.read_response()
    with master.client() as client:
        workers = {row["worker"] for row in client.client_list() if row["redir"] == str(number)}
    assert len(workers) == 2
    renamed(master, dbid, new_name())
    for _ in readers:
        assert target.read_response() == ["message", "__redis__:invalidate", [key]]
    for reader in readers[: CONNECTIONS // 2]:
        reader.disconnect()
        assert target.read_response() == ["message", "__redis__:invalidate", None]
    target.disconnect()
    for reader in readers[CONNECTIONS // 2 :]:
        assert reader.read_response(push_request=True) == ["tracking-redir-broken", number]
        reader.send_command("CLIENT", "TRACKINGINFO")
        assert "broken_redirect" in reader.read_response()["flags"]
        reader.disconnect()
