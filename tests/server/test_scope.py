"""F91: a proxy with a scope hides everything else from all its clients, however they ask.

`default` may do everything at the master, and at such a proxy what lies in the scope.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import (
    application_of,
    create_desk,
    set_writable,
    wait_level,
)
from tests.server.hot_stage import Raw

QUIET_SECONDS = 1.0
REFUSED = "this proxy shows a part alone"


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Master, Proxy]]:
    folder = tmp_path_factory.mktemp("scope")
    with Master(folder) as master, Proxy(folder, master) as proxy:
        set_writable(master, proxy)
        yield master, proxy


class Estate:
    """Skills in a tenant of their own, and one of Environment."""

    def __init__(self, master: Master) -> None:
        self.master = master
        self.tenant = self.create("CfgTenant", name="site")
        self.inside = self.create("CfgSkill", name="inside", tenantDBID=self.tenant)
        self.outside = self.create("CfgSkill", name="outside", tenantDBID=1)

    def create(self, class_name: str, **obj: Any) -> int:
        with self.master.client() as client:
            return int(client.execute_command("CFG.CREATE", class_name, json.dumps(obj))[1])


@pytest.fixture(scope="module")
def estate(servers: tuple[Master, Proxy]) -> Estate:
    return Estate(servers[0])


@pytest.fixture
def scoped(servers: tuple[Master, Proxy], estate: Estate) -> Iterator[Proxy]:
    """The proxy, limited to the tenant."""
    master, proxy = servers
    limit(master, proxy, f"CfgTenant:{estate.tenant}")
    wait_until(lambda: not sees(proxy, estate.outside), 10, "the scope holds")
    yield proxy
    limit(master, proxy, "")
    wait_until(lambda: sees(proxy, estate.outside), 10, "it is gone")


def limit(master: Master, proxy: Proxy, scope: str) -> None:
    with master.client() as client:
        dbid = application_of(client, proxy.app)["DBID"]
        delta = {"options": {"changed": {"csproxy": {"scope": scope}}}}
        client.execute_command("CFG.UPDATE", "CfgApplication", dbid, json.dumps(delta))
    wait_level(master, proxy)


def sees(server: Server, skill: int) -> bool:
    with server.client() as client:
        return client.get(f"CfgSkill:{skill}") is not None


def test_reads_and_counts_and_history(scoped: Proxy, estate: Estate) -> None:
    with scoped.client() as client:
        assert json.loads(client.get(f"CfgSkill:{estate.inside}"))["name"] == "inside"
        assert client.get("CfgPerson:100") is None
        assert client.execute_command("CFG.COUNT", "CfgSkill") == 1
        keys = set(client.keys("*"))
        assert f"CfgSkill:{estate.inside}" in keys
        assert f"CfgSkill:{estate.outside}" not in keys
        assert client.dbsize() == len(keys)
        told = [json.loads(one) for one in client.execute_command("CFG.HISTORY")[2]]
        named = {(one["class"], one["DBID"]) for page in told for one in page["changes"]}
        assert ("CfgSkill", estate.inside) in named
        assert ("CfgSkill", estate.outside) not in named
        assert not any(class_name == "CfgPerson" for class_name, _ in named)
        assert not any("actor" in page for page in told)


def test_subscribers_are_told_of_the_change_of_scope(
    servers: tuple[Master, Proxy], estate: Estate
) -> None:
    master, proxy = servers
    with proxy.client(protocol=3) as client:
        heard = client.pubsub()
        heard.subscribe("cfg:CfgSkill")
        assert heard.get_message(timeout=10)["type"] == "subscribe"
        limit(master, proxy, f"CfgTenant:{estate.tenant}")
        gone = json.loads(heard.get_message(timeout=10)["data"])
        assert (gone["op"], gone["DBID"]) == ("delete", estate.outside)
        limit(master, proxy, "")
        back = json.loads(heard.get_message(timeout=10)["data"])
        assert (back["op"], back["object"]["name"]) == ("create", "outside")


def test_writes_go_no_further(scoped: Proxy, estate: Estate) -> None:
    delta = json.dumps({"changed": {"name": "inside 2"}})
    with scoped.client() as client:
        client.execute_command("CFG.UPDATE", "CfgSkill", estate.inside, delta)
        with pytest.raises(redis.ResponseError) as hidden:
            client.execute_command("CFG.UPDATE", "CfgSkill", estate.outside, delta)
        with pytest.raises(redis.ResponseError) as missing:
            client.execute_command("CFG.UPDATE", "CfgSkill", 4_000_000, delta)
        assert str(hidden.value) == str(missing.value).replace("4000000", str(estate.outside))
        skill = json.dumps({"name": "new", "tenantDBID": 1})
        with pytest.raises(redis.ResponseError, match="NOREF"):
            client.execute_command("CFG.CREATE", "CfgSkill", skill)
        client.execute_command(
            "CFG.UPDATE", "CfgSkill", estate.inside, json.dumps({"changed": {"name": "inside"}})
        )


def test_what_shows_all_is_refused(scoped: Proxy, estate: Estate) -> None:
    """Also to another proxy, whose Application lies outside and may be served all the same."""
    app = {"name": "proxy2", "appPrototypeDBID": 1, "tenantDBIDs": [1]}
    estate.create("CfgApplication", **app)
    wait_level(estate.master, scoped)
    with scoped.client(single_connection_client=True) as client:
        client.execute_command("CFG.REGISTER", "proxy2", "INSTANCE", "test")
        for words in (
            ("CFG.FEED", "FROM", "-", "0", "-", "FORMAT", "3"),
            ("CFG.SUMS", "PIN"),
            ("CFG.ACCESS", "default", f"CfgSkill:{estate.inside}"),
        ):
            with pytest.raises(redis.exceptions.NoPermissionError, match=REFUSED):
                client.execute_command(*words)


def test_a_worker_that_is_started_again_shows_no_more(scoped: Proxy, estate: Estate) -> None:
    def first_answer() -> list[str | None]:
        try:
            with scoped.client(socket_timeout=2) as client:
                return [client.get(f"CfgSkill:{estate.outside}")]
        except (redis.ConnectionError, redis.TimeoutError):
            return []

    scoped.child("worker 0").kill()
    assert wait_until(first_answer, 10, "an answer") == [None]


def test_a_token_of_elsewhere_begins_anew(
    servers: tuple[Master, Proxy], scoped: Proxy, estate: Estate
) -> None:
    master, _ = servers
    create_desk(master)
    wait_level(master, scoped)
    there = token_of(master)
    here = token_of(scoped)
    assert begins(scoped, there) == "resync"
    assert begins(master, here) == "resync"
    assert begins(scoped, here) == ""


def token_of(server: Server) -> str:
    with server.client(protocol=3) as client:
        return str(client.execute_command("CFG.REGISTER", "Desk")["token"])


def begins(server: Server, token: str) -> str:
    """What the first subscription of a restored session is told at once."""
    raw = Raw(server.port)
    raw.call("HELLO", 3, "AUTH", "default", token)
    raw.call("SUBSCRIBE", "cfg")
    if raw.is_silent(QUIET_SECONDS):
        return ""
    *_, channel, told = raw.read()
    assert channel == "cfg.notice"
    return str(json.loads(told)["op"])
