"""Every read shows an account what it may read and nothing else (G9), at every revision.

F81: only objects with Read are returned.  F84, F85: by groups, nested ones too, and by what
containers hand down.  F88: who was granted nothing sees nothing.  T24: brief forms show no more.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from csp.model.places import FOLDER, TENANT, Place
from csp.model.rights import ACCESS_GROUP, ALL, EXECUTE, PERSON, PROPAGATE, READ, rights_on
from csp.model.types import CLASSES, by_id
from tests.effort import parametrize_few
from tests.property.granted_world import (
    APPLICATION,
    DEFAULT_APPLICATION,
    FOLDERS,
    GROUPS,
    PERSONS,
    SKILL,
    GrantedWorld,
    folder,
    group,
    person,
    random_change,
    random_world,
    skill,
)
from tests.server.granted_server import GrantedServer
from tests.server.hot_stage import Raw

USE = READ | EXECUTE


def key(place: Place) -> str:
    return f"{by_id[place[0]].name}:{place[1]}"


def with_default(world: GrantedWorld) -> GrantedWorld:
    """All persons may use the application `default`, so that they may read at all."""
    world.put("CfgApplication", 100, name="default", type="genericclient", folderDBID=0)
    for dbid in PERSONS:
        world.add(DEFAULT_APPLICATION, (PERSON.id, dbid), USE)
    return world


class Checked:
    """One account, and what each command must show it."""

    def __init__(self, server: GrantedServer, dbid: int) -> None:
        self.world, self.dbid = server.world, dbid
        self.raw: Raw = server.connect_as(dbid)

    def check(self) -> None:
        """All reads, against what the rules say."""
        self.seen = self.readable()
        accounts = self.world.accounts_of(self.dbid)
        if rights_on(self.world, DEFAULT_APPLICATION, accounts) & USE != USE:
            assert self.raw.call("GET", "CfgTenant:1").startswith("-NOPERM 'get' needs Read")
            return
        places = sorted(self.world.objects)
        self._keys(places)
        for class_id in sorted({class_id for class_id, _ in places}):
            self._class(class_id, [one for one in places if one[0] == class_id])
        self._keyspace()

    def readable(self) -> set[Place]:
        """What it must be shown."""
        return self.world.readable(self.dbid)

    def _keys(self, places: list[Place]) -> None:
        keys = [key(one) for one in places]
        shown = self.raw.call("MGET", *keys)
        assert [one is not None for one in shown] == [place in self.seen for place in places]
        for one, text in zip(keys, shown, strict=True):
            assert self.raw.call("GET", one) == text
            is_there = text is not None
            assert self.raw.call("TYPE", one) == ("string" if is_there else "none")
            assert self.raw.call("STRLEN", one) == (len(text.encode()) if is_there else 0)
            assert self.raw.call("EXISTS", one) == is_there
            assert self.raw.call("GETRANGE", one, 0, 5) == (text or "")[:6]
        assert self.raw.call("EXISTS", *keys) == len(self.seen)
        assert self.raw.call("TOUCH", *keys) == len(self.seen)
        self.raw.send(
            b"".join(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(k), k.encode()) for k in keys)
        )
        assert self.raw.read_all(len(keys)) == shown
        replies = self.raw.call("EXECUTE", *(f"GET {one}" for one in keys), f"EXISTS {keys[0]}")
        assert replies == [*shown, int(places[0] in self.seen)]

    def _class(self, class_id: int, places: list[Place]) -> None:
        name = by_id[class_id].name
        expected = [dbid for one, dbid in places if (one, dbid) in self.seen]
        for more in ((), ("BRIEF",), ("FIELDS", "1", "DBID")):
            assert self.page(name, *more) == expected
        assert self.raw.call("CFG.COUNT", name) == len(expected)
        for _, dbid in places:
            found = self.raw.call("CFG.FIND", name, "dbid", dbid)
            assert (found is not None) == (dbid in expected)
        by_folder: dict[int, list[int]] = {}
        for one in places:
            inside = self.world.objects[one].get("folderDBID", 0)
            by_folder.setdefault(inside, []).append(one[1])
        for inside, dbids in by_folder.items():
            if inside:
                shown = [dbid for dbid in dbids if dbid in expected]
                words = ("FILTER", "folder_dbid", inside)
                assert self.page(name, *words) == shown
                assert self.raw.call("CFG.COUNT", name, *words) == len(shown)

    def page(self, name: str, *more: Any) -> list[int]:
        """DBIDs of all pages, three objects each."""
        found: list[int] = []
        cursor = "0"
        while True:
            _, cursor, objects = self.raw.call(
                "CFG.READ", name, *more, "LIMIT", 3, "CURSOR", cursor
            )
            found += [orjson.loads(one)["DBID"] for one in objects]
            if cursor == "0":
                return found

    def _keyspace(self) -> None:
        count = len(self.seen)
        assert self.raw.call("DBSIZE") == count
        keys = {key(one) for one in self.seen}
        assert set(self.raw.call("KEYS", "*")) == keys
        scanned: list[str] = []
        cursor = "0"
        while True:
            cursor, some = self.raw.call("SCAN", cursor, "COUNT", 7)
            scanned += some
            if cursor == "0":
                break
        assert sorted(scanned) == sorted(keys)
        for _ in range(5):
            one = self.raw.call("RANDOMKEY")
            assert one in keys if keys else one is None
        told = self.raw.call("CFG.CLASSES")
        classes = dict(zip(told[::2], told[1::2], strict=True))
        for cls in CLASSES.values():
            row = dict(zip(classes[cls.name][::2], classes[cls.name][1::2], strict=True))
            assert row["count"] == sum(1 for one in self.seen if one[0] == cls.id)


@parametrize_few("seed", range(3), quick=1)
def test_every_read_of_several_accounts_while_changes_flow(seed: int) -> None:
    random_ = random.Random(seed)
    server = GrantedServer(with_default(random_world(random_)))
    try:
        accounts = [Checked(server, dbid) for dbid in random_.sample(PERSONS, 4)]
        for _ in range(6):
            for one in accounts:
                one.check()
            for _ in range(random_.choice((1, 1, 3))):
                random_change(random_, server.world)
            server.publish()
    finally:
        server.stop()


@pytest.fixture
def server() -> Iterator[GrantedServer]:
    """Person 101 is in group 301, which may read folder 201 and what lies below; 102 in none."""
    world = GrantedWorld()
    world.put("CfgTenant", 1, name="t1", state="enabled", folderDBID=0)
    world.put("CfgFolder", 201, **folder(201, 0))
    world.put("CfgFolder", 202, **folder(202, 0))
    world.put("CfgSkill", 501, **skill(501, 201))
    world.put("CfgSkill", 502, **skill(502, 202))
    world.put("CfgApplication", 107, name="desk", type="genericclient", folderDBID=0)
    for dbid in (101, 102, 103):
        world.put("CfgPerson", dbid, **person(dbid, 0))
    world.put("CfgAccessGroup", 301, **group(301, [(PERSON.id, 101)]))
    world.add((FOLDER.id, 201), (ACCESS_GROUP.id, 301), READ | PROPAGATE)
    world.put("CfgApplication", 100, name="default", type="genericclient", folderDBID=0)
    for dbid in (101, 102):
        world.add(DEFAULT_APPLICATION, (PERSON.id, dbid), USE)
    world.add((TENANT.id, 1), (PERSON.id, 102), ALL & ~READ)
    made = GrantedServer(world)
    yield made
    made.stop()


def test_who_was_granted_nothing_sees_nothing(server: GrantedServer) -> None:
    """F88: he has signed in, and what shows data is refused; what does not is answered."""
    raw = server.connect_as(103)
    for words in (
        ("GET", "CfgSkill:501"),
        ("CFG.READ", "CfgSkill"),
        ("SUBSCRIBE", "cfg"),
        ("DBSIZE",),
    ):
        assert raw.call(*words).startswith(f"-NOPERM '{words[0].lower()}' needs Read and Execute")
    assert raw.call("PING") == "PONG"
    # A pipeline of them is refused one by one.
    raw.send(b"*2\r\n$3\r\nGET\r\n$12\r\nCfgSkill:501\r\n" * 3)
    assert all(str(one).startswith("-NOPERM") for one in raw.read_all(3))


def test_the_application_that_a_session_serves_counts(server: GrantedServer) -> None:
    """F83's part of the server: Read and Execute, both."""
    raw = server.connect_as(101)
    assert raw.call("GET", "CfgSkill:501") is not None
    assert raw.call("SERVE", 107) == "OK"
    refusal = (
        "-NOPERM 'get' needs Read and Execute on CfgApplication 107, which this session serves"
    )
    assert raw.call("GET", "CfgSkill:501") == refusal
    for grant, may in ((READ, False), (EXECUTE, False), (USE, True)):
        server.world.add((APPLICATION.id, 107), (ACCESS_GROUP.id, 301), grant)
        server.publish()
        assert str(raw.call("GET", "CfgSkill:501")).startswith("-NOPERM") != may
    assert raw.call("MAY", APPLICATION.id, 107) == USE


def test_a_change_of_rights_is_seen_with_its_revision(server: GrantedServer) -> None:
    """As soon as it is published, on a connection that is under way."""
    raw = server.connect_as(101)
    for _ in range(3):
        assert raw.call("MGET", "CfgSkill:501", "CfgSkill:502")[1] is None
        server.world.add((FOLDER.id, 202), (PERSON.id, 101), READ | PROPAGATE)
        server.publish()
        assert raw.call("MGET", "CfgSkill:501", "CfgSkill:502")[1] is not None
        server.world.grant((FOLDER.id, 202), None)
        server.publish()
    assert raw.call("GET", "CfgSkill:501") is not None
    server.world.put("CfgPerson", 101, state="disabled")
    server.publish()
    assert raw.call("GET", "CfgSkill:501").startswith("-NOPERM")


def test_accounts_on_one_connection_one_after_the_other(server: GrantedServer) -> None:
    raw = server.connect_as(101)
    assert raw.call("GET", "CfgSkill:501") is not None
    assert raw.call("AUTH", "as", 102) == "OK"
    assert raw.call("GET", "CfgSkill:501") is None
    assert raw.call("AUTH", "as", 101) == "OK"
    assert raw.call("GET", "CfgSkill:501") is not None


def test_many_connections_of_several_accounts_in_one_turn(server: GrantedServer) -> None:
    """Lone GETs that come together are answered together, each as its account may read."""
    raws = [server.connect_as((101, 102)[i % 2]) for i in range(40)]
    for _ in range(10):
        for raw in raws:
            raw.send(b"*2\r\n$3\r\nGET\r\n$12\r\nCfgSkill:501\r\n")
        for i, raw in enumerate(raws):
            assert (raw.read() is not None) == (i % 2 == 0)


def test_brief_forms_of_what_may_not_be_read(server: GrantedServer) -> None:
    """T24: the original gives them out."""
    raw = server.connect_as(101)
    assert [orjson.loads(one)["DBID"] for one in raw.call("CFG.READ", "CfgSkill", "BRIEF")[2]] == [
        501
    ]


def test_brief_forms_as_the_original_gives_them() -> None:
    """Where [security] objbrief-api-permission-check is false; whole objects are no less hidden."""
    world = with_default(random_world(random.Random(2)))
    server = GrantedServer(world, check_briefs=0)
    try:
        raw = server.connect_as(PERSONS[0])
        shown = [orjson.loads(one)["DBID"] for one in raw.call("CFG.READ", "CfgSkill", "BRIEF")[2]]
        assert shown == [dbid for class_id, dbid in sorted(world.objects) if class_id == SKILL.id]
        may = world.readable(PERSONS[0])
        whole = [orjson.loads(one)["DBID"] for one in raw.call("CFG.READ", "CfgSkill")[2]]
        assert whole == [dbid for dbid in shown if (SKILL.id, dbid) in may] != shown
    finally:
        server.stop()


def test_a_long_read_goes_on_as_what_it_began(server: GrantedServer) -> None:
    """It shows what its account could read at its revision, whatever is changed meanwhile."""
    for dbid in range(1000, 9000):
        server.world.put("CfgSkill", dbid, **skill(dbid, 201 + dbid % 2))
    server.publish()
    raw = server.connect_as(101)
    keys = [f"CfgSkill:{dbid}" for dbid in range(1000, 9000)]
    expected = [dbid % 2 == 0 for dbid in range(1000, 9000)]
    for turn in itertools.count():
        raw.send(
            b"*8001\r\n$4\r\nMGET\r\n"
            + b"".join(b"$%d\r\n%s\r\n" % (len(k), k.encode()) for k in keys)
        )
        server.world.add(
            (FOLDER.id, 201),
            (ACCESS_GROUP.id, 301),
            PROPAGATE if turn % 2 == 0 else READ | PROPAGATE,
        )
        server.publish()
        seen = [one is not None for one in raw.read()]
        assert seen in (expected, [False] * 8000)
        if turn == 5:
            break


def test_ranges_are_those_of_the_estate() -> None:
    """The random estates have all that the rules speak of."""
    world = random_world(random.Random(1))
    assert {(FOLDER.id, dbid) for dbid in FOLDERS} <= set(world.objects)
    assert any(len(world.accounts_of(dbid)) > 2 for dbid in PERSONS)
    assert {SKILL.id, ACCESS_GROUP.id} <= {class_id for class_id, _ in world.objects}
    assert len(GROUPS) == 10
