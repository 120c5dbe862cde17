"""CFG.HISTORY for one of a tenant's Users: of that tenant, at the master and behind a proxy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until

SECRET = "seen by one of us"


class Acme:
    """A tenant with two skills' worth of history, and Ann, one of its Users."""

    def __init__(self, master: Master) -> None:
        self.client = master.client()
        self.since = int(self.client.execute_command("CFG.STATUS")["revision"])
        self.tenant = self.create("CfgTenant", {"name": "Acme"})
        person = {"tenantDBID": self.tenant, "userName": "ann", "employeeID": "ann"}
        self.ann = self.create("CfgPerson", {**person, "password": SECRET})
        self.join(self.ann)
        self.mine = self.create("CfgSkill", {"tenantDBID": self.tenant, "name": "mine"})
        self.gone = self.create("CfgSkill", {"tenantDBID": self.tenant, "name": "gone"})
        self.hidden = self.create("CfgSkill", {"tenantDBID": 1, "name": "hidden"})
        self.client.execute_command("CFG.DELETE", "CfgSkill", self.gone)
        self.revision = int(self.client.execute_command("CFG.DELETE", "CfgSkill", self.hidden))

    def create(self, name: str, obj: dict[str, Any]) -> int:
        return int(self.client.execute_command("CFG.CREATE", name, json.dumps(obj))[1])

    def join(self, dbid: int) -> None:
        _, _, groups = self.client.execute_command(
            "CFG.READ", "CfgAccessGroup", "FILTER", "tenant_dbid", self.tenant
        )
        users = next(one for one in map(json.loads, groups) if one["type"] == "usersgroup")
        joins = {"added": {"memberIDs": [{"type": "person", "DBID": dbid}]}}
        self.client.execute_command(
            "CFG.UPDATE", "CfgAccessGroup", users["DBID"], json.dumps(joins)
        )


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("history")) as master:
        yield master


@pytest.fixture(scope="module")
def proxy(master: Master) -> Iterator[Proxy]:
    with Proxy(master.folder, master) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def acme(master: Master) -> Acme:
    return Acme(master)


@pytest.fixture(params=["proxy", pytest.param("master", marks=pytest.mark.long)])
def ann(request: pytest.FixtureRequest, acme: Acme) -> Iterator[redis.Redis]:
    """Ann, signed in where all of it has arrived."""
    server: Server = request.getfixturevalue(request.param)
    with server.client() as client:
        client.execute_command("CFG.SYNC", acme.revision)
    found = redis.Redis(
        "127.0.0.1", server.port, username="ann", password=SECRET, decode_responses=True
    )
    yield found
    found.close()


def told(client: redis.Redis, *words: object) -> list[dict[str, Any]]:
    return [json.loads(one) for one in client.execute_command("CFG.HISTORY", *words)[2]]


def test_each_is_told_of_his_own_tenant(ann: redis.Redis, acme: Acme) -> None:
    records = told(ann, "SINCE", acme.since)
    changes = [
        (one["op"], one["class"], one["DBID"]) for record in records for one in record["changes"]
    ]
    assert ("create", "CfgTenant", acme.tenant) in changes
    assert ("create", "CfgSkill", acme.mine) in changes
    # What is gone: its end, since she may read what lies there; all else is an administrator's.
    assert [one for one in changes if one[1:] == ("CfgSkill", acme.gone)] == [
        ("delete", "CfgSkill", acme.gone)
    ]
    assert acme.hidden not in [dbid for _, name, dbid in changes if name == "CfgSkill"]
    assert "hidden" not in json.dumps(records)
    # Who did it is an account of Environment.
    assert all("actor" not in record for record in records)
    assert all("omitted" not in record for record in records)


@pytest.mark.parametrize(
    "asks",
    [
        ("key", "CfgSkill:{hidden}"),
        ("account", "CfgPerson:100"),
        ("address", "127.0.0.1"),
        ("application", "default"),
    ],
)
def test_no_filter_finds_what_is_hidden(
    ann: redis.Redis, acme: Acme, asks: tuple[str, str]
) -> None:
    value = asks[1].format(hidden=acme.hidden)
    assert told(ann, "SINCE", acme.since, "FILTER", asks[0], value) == []


def test_a_user_that_is_hidden_is_as_one_that_never_was(ann: redis.Redis) -> None:
    def refusal(user: str) -> str:
        with pytest.raises(redis.ResponseError) as refused:
            told(ann, "FILTER", "user", user)
        return str(refused.value)

    assert refusal("default") == refusal("nobody").replace("nobody", "default")


def test_pages_go_on_past_what_is_hidden(ann: redis.Redis, acme: Acme) -> None:
    everything = [one["revision"] for one in told(ann, "SINCE", acme.since)]
    since, seen = acme.since, []
    while True:
        _, following, page = ann.execute_command("CFG.HISTORY", "SINCE", since, "LIMIT", 1)
        seen += [json.loads(one)["revision"] for one in page]
        since = int(following)
        if not since:
            break
    assert seen == everything


def test_one_sees_ones_own_sessions_and_an_administrator_all(ann: redis.Redis, acme: Acme) -> None:
    def sessions(client: redis.Redis) -> set[str]:
        _, found = client.execute_command("CFG.HISTORY", "SESSIONS")
        return {json.loads(one)["account"] for one in found}

    key = f"CfgPerson:{acme.ann}"
    wait_until(lambda: key in sessions(acme.client), 20, "her sign-in is in the log")
    assert sessions(ann) == {key}
    assert "CfgPerson:100" in sessions(acme.client)
    for other in ("CfgPerson:100", "CfgPerson:4000000"):
        with pytest.raises(redis.exceptions.NoPermissionError):
            ann.execute_command("CFG.HISTORY", "SESSIONS", "ACCOUNT", other)


def test_what_counts_counts_what_is_readable(ann: redis.Redis, acme: Acme) -> None:
    """CFG.STATUS, INFO's keys, DBSIZE and CFG.CLASSES agree, and RANDOMKEY finds nothing else."""
    keys = set(ann.scan_iter(count=1000))
    assert f"CfgSkill:{acme.mine}" in keys
    assert "CfgTenant:1" not in keys
    assert ann.dbsize() == len(keys) == ann.info("keyspace")["db0"]["keys"]
    assert ann.execute_command("CFG.STATUS")["objects"] == len(keys)
    classes = ann.execute_command("CFG.CLASSES")
    counts = {name: one["count"] for name, one in classes.items()}
    assert sum(counts.values()) == len(keys)
    assert {ann.randomkey() for _ in range(50)} <= keys
    assert set(ann.keys("*")) == keys
