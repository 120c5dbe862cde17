"""At random estates and rights: each person is shown what brute force says, however he asks."""

from __future__ import annotations

import bisect
import json
import random
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
import redis

from tests.neighbours.server import Master, Proxy, Server
from tests.server.feed_helpers import set_writable
from tests.server.permission_stage import CLASSES, Estate, Watcher, sign_in
from tests.server.permission_world import Object, World

STEPS = 25
SEED = 2911
SECONDS_MAX = 30.0


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Server]]:
    """A master, a proxy of it, and a proxy behind that."""
    folder: Path = tmp_path_factory.mktemp("permissions")
    with (
        Master(folder, workers=2).start() as master,
        Proxy(folder, master, workers=2).start() as near,
    ):
        set_writable(master, near)
        with Proxy(folder, near, app="proxy2").start() as far:
            yield [master, near, far]


def wait_level(servers: list[Server], revision: int) -> None:
    """Waits until all have published it."""
    for server in servers:
        with server.client() as client:
            client.execute_command("CFG.SYNC", revision)


def check_answers(watcher: Watcher, world: World) -> None:
    """Every way to ask, at a moment when nothing changes."""
    readable = world.readable(watcher.person)
    expected = {key: one["revision"] for key, one in readable.items()}
    assert watcher.shown() == expected
    client = watcher.client
    assert client.dbsize() == len(expected)
    keys = sorted(world.objects)
    answers = client.mget(keys)
    assert {key for key, one in zip(keys, answers, strict=True) if one is not None} == set(expected)
    assert client.exists(*keys) == len(expected)
    assert set(client.scan_iter(count=10)) == set(expected)
    by_class = world.by_class(watcher.person)
    for name in CLASSES:
        there = by_class.get(name, {})
        assert client.execute_command("CFG.COUNT", name) == len(there), name
        brief = client.execute_command("CFG.READ", name, "BRIEF", "LIMIT", 10_000)[2]
        assert {f"{name}:{json.loads(one)['DBID']}" for one in brief} == set(there)
        folders = {one.get("folderDBID") for one in world.objects.values() if one["class"] == name}
        for folder in folders - {None, 0}:
            listed = client.execute_command("CFG.READ", name, "FILTER", "folder_dbid", folder)[2]
            wanted = {key for key, one in there.items() if one["folderDBID"] == folder}
            assert {f"{name}:{json.loads(one)['DBID']}" for one in listed} == wanted


def check_told(watcher: Watcher, world: World) -> None:
    """What it was told makes what it may read."""
    expected = {key: one["revision"] for key, one in world.readable(watcher.person).items()}
    watcher.take_until(lambda: watcher.known == expected or watcher.resyncs)
    if watcher.resyncs:  # it was behind when its rights changed: it reads anew
        watcher.pubsub.close()
        watcher.known.clear()
        watcher.begin()
        assert watcher.known == expected


@pytest.fixture(scope="module")
def estate(servers: list[Server]) -> Estate:
    return Estate(servers[0], random.Random(SEED))


def test_everybody_is_shown_what_he_may_read(servers: list[Server], estate: Estate) -> None:
    rng = estate.rng
    watchers = [
        Watcher(server, f"p{number}", person)
        for server in servers
        for number, person in enumerate(estate.persons)
    ]
    done: list[str] = []
    for step in range(STEPS):
        for _ in range(rng.randint(1, 4)):
            done.append(estate.step())
        revision = max(estate.worlds)
        wait_level(servers, revision)
        for watcher in watchers:
            try:
                check_told(watcher, estate.world)
                check_answers(watcher, estate.world)
            except AssertionError as error:
                where = f"{watcher.user} at {watcher.server.port}, step {step}, {done[-8:]}"
                raise AssertionError(f"{where}: {error}") from error
    for watcher in watchers:
        watcher.close()


class Reader(threading.Thread):
    """Reads lists over and over; notes at which revision it was shown what."""

    def __init__(self, server: Server, user: str, person: str) -> None:
        super().__init__(daemon=True)
        self.person = person
        self.client = sign_in(server, user)
        self.over = threading.Event()
        self.seen: list[tuple[int, str, set[int]]] = []
        self.fault = ""

    def run(self) -> None:
        try:
            while not self.over.is_set():
                for name in ("CfgSkill", "CfgFolder", "CfgPerson"):
                    page = self.client.execute_command("CFG.READ", name, "LIMIT", 10_000)
                    dbids = {json.loads(one)["DBID"] for one in page[2]}
                    self.seen.append((int(page[0]), name, dbids))
        except redis.RedisError as error:
            self.fault = f"{type(error).__name__}: {error}"


def test_a_list_is_right_at_its_revision_while_rights_change(
    servers: list[Server], estate: Estate
) -> None:
    readers = [
        Reader(server, f"p{number}", person)
        for server in servers
        for number, person in enumerate(estate.persons)
    ]
    for reader in readers:
        reader.start()
    for _ in range(STEPS):
        estate.step()
    for reader in readers:
        reader.over.set()
        reader.join(SECONDS_MAX)
        assert reader.fault == ""
    revisions = sorted(estate.worlds)
    looked_at = 0
    for reader in readers:
        shown: dict[int, Mapping[str, dict[str, Object]]] = {}
        for revision, name, dbids in reader.seen:
            # What others' sign-ins leave has revisions too, and changes no object.
            at = revisions[bisect.bisect_right(revisions, revision) - 1]
            if at not in shown:
                shown[at] = estate.worlds[at].by_class(reader.person)
            wanted = {one["DBID"] for one in shown[at].get(name, {}).values()}
            assert dbids == wanted, (reader.person, revision, name)
            looked_at += 1
    assert looked_at > STEPS
    assert len({revision for reader in readers for revision, _, _ in reader.seen}) > STEPS / 2


def test_who_writes_needs_the_right_and_learns_nothing(
    servers: list[Server], estate: Estate
) -> None:
    """An object that may not be read is refused as one that is not there, to the letter."""
    master = servers[0]
    outcomes: set[str] = set()
    estate.grant(estate.folders[0], estate.persons[0], "R,U,propagate")
    estate.grant(estate.folders[0], estate.persons[1], "R,propagate")
    for step in range(STEPS):
        estate.step()
        for number, person in enumerate(estate.persons):
            key = estate.rng.choice([*estate.skills(), *estate.folders])
            rights = estate.world.rights(estate.world.accounts(person), key)
            wanted = "BADKEY" if "R" not in rights else "ok" if "U" in rights else "NOPERM"
            with sign_in(master, f"p{number}") as client:
                got = describe(client, estate, key, step)
                missing = describe(client, estate, f"{key.partition(':')[0]}:999999", step)
            outcomes.add(wanted)
            assert got.split()[0] == wanted, (person, key, rights, got)
            if wanted == "BADKEY":
                assert got.replace(key.partition(":")[2], "999999") == missing
    assert outcomes == {"ok", "NOPERM", "BADKEY"}


def describe(client: redis.Redis, estate: Estate, key: str, step: int) -> str:
    """Tries to change an object's description: `ok`, or the error's word and text."""
    name, _, dbid = key.partition(":")
    delta = json.dumps({"userProperties": {"changed": {"step": {"number": step}}}})
    try:
        revision = client.execute_command("CFG.UPDATE", name, dbid, delta)
    except redis.exceptions.NoPermissionError as error:
        return f"NOPERM {error}"
    except redis.ResponseError as error:
        return str(error)
    estate.note_change(key, int(revision))
    return "ok"


def test_history_is_of_what_may_be_read(servers: list[Server], estate: Estate) -> None:
    revision = max(estate.worlds)
    wait_level(servers, revision)
    with servers[0].client() as client:
        everything = changes_told(client)
    for server in servers:
        for number, person in enumerate(estate.persons):
            readable = set(estate.world.readable(person))
            with sign_in(server, f"p{number}") as client:
                told = changes_told(client)
            there = {one for one in everything if one[1] in estate.world.objects}
            assert {one for one in told if one[1] in estate.world.objects} == {
                one for one in there if one[1] in readable
            }
            assert told <= everything


def changes_told(client: redis.Redis) -> set[tuple[int, str, str]]:
    """Revision, object and kind of all changes of objects in the history; no grants."""
    found, since = set(), 0
    while True:
        _, more, records = client.execute_command("CFG.HISTORY", "SINCE", since)
        for record in map(json.loads, records):
            for one in record["changes"]:
                if one["op"] != "grant":
                    found.add((record["revision"], f"{one['class']}:{one['DBID']}", one["op"]))
        if not int(more):
            return found
        since = int(more)
