"""At random estates and rights: each person is shown what brute force says, however he asks."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.neighbours.server import Master, Proxy, Server
from tests.server.feed_helpers import set_writable
from tests.server.permission_stage import CLASSES, Estate, Watcher
from tests.server.permission_world import World

STEPS = 40
SEED = 2911


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


def test_everybody_is_shown_what_he_may_read(servers: list[Server]) -> None:
    rng = random.Random(SEED)
    estate = Estate(servers[0], rng)
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
        for server in servers:
            with server.client() as client:
                client.execute_command("CFG.SYNC", revision)
        for watcher in watchers:
            try:
                check_told(watcher, estate.world)
                check_answers(watcher, estate.world)
            except AssertionError as error:
                where = f"{watcher.user} at {watcher.server.port}, step {step}, {done[-8:]}"
                raise AssertionError(f"{where}: {error}") from error
    for watcher in watchers:
        watcher.close()
