"""All filter keys of all classes, singly and two at a time, against a scan over all objects.

The estate is imported, then changed for a while, so that lists are both loaded and maintained; the
proxy is asked, which got some of it as a load and the rest as changes.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.neighbours.server import Master, Proxy, run_cli
from tests.server.brute_force import TYPE_WORDS, UNANSWERED, Keys, World, filters
from tests.server.changing import change_at_random
from tests.server.population import populate

SEED = 20
CHANGES = 150
VALUES_MAX = 25  # of one key
PAIRS = 3  # of values, for each pair of keys
BATCH = 500


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Master, Proxy]]:
    folder = tmp_path_factory.mktemp("filters")
    estate = folder / "estate.json"
    made = run_cli("estate", "--agents", "300", "--seed", "1", "-o", str(estate))
    assert made.returncode == 0, made.stderr
    with Master(folder) as master:
        imported = master.cli("import", str(estate))
        assert imported.returncode == 0, imported.stderr
        with Proxy(master.folder, master, workers=2) as proxy:
            with master.client() as client:
                populate(client, random.Random(SEED))
                change_at_random(client, random.Random(SEED), CHANGES)
                revision = client.execute_command("CFG.SYNC")
            with proxy.client() as client:
                client.execute_command("CFG.SYNC", revision)
            yield master, proxy


def world_of(client: redis.Redis) -> World:
    objects: list[dict[str, Any]] = []
    for name in TYPE_WORDS:
        _, cursor, page = client.execute_command("CFG.READ", name, "LIMIT", 10000)
        assert cursor == "0"
        objects += map(json.loads, page)
    return World(objects)


def singles(keys: Keys, rng: random.Random) -> Iterator[tuple[list[str], set[int]]]:
    for key, values in keys.items():
        chosen = list(values)
        for value in rng.sample(chosen, min(VALUES_MAX, len(chosen))):
            yield filters(key, value), values[value]
        if key.endswith("_dbid") and not key.startswith("no_"):
            yield filters(key, "4000000"), set()


def pairs(keys: Keys, rng: random.Random) -> Iterator[tuple[list[str], set[int]]]:
    for one, other in itertools.combinations([key for key in keys if key != "dbid"], 2):
        for _ in range(PAIRS):
            first = rng.choice(list(keys[one]))
            together = [at for at, found in keys[other].items() if found & keys[one][first]]
            second = rng.choice(together or list(keys[other]))
            words = [filters(one, first), filters(other, second)]
            rng.shuffle(words)
            yield words[0] + words[1], keys[one][first] & keys[other][second]


@pytest.mark.parametrize("name", TYPE_WORDS)
def test_filters_find_what_a_scan_finds(servers: tuple[Master, Proxy], name: str) -> None:
    rng = random.Random(SEED)
    _, proxy = servers
    with proxy.client() as client:
        keys = world_of(client).keys(name)
        asked = [*singles(keys, rng), *pairs(keys, rng)]
        for at in range(0, len(asked), BATCH):
            part = asked[at : at + BATCH]
            pipe = client.pipeline(transaction=False)
            for words, _ in part:
                pipe.execute_command("CFG.READ", name, *words, "FIELDS", 1, "state")
                pipe.execute_command("CFG.COUNT", name, *words)
            replies = pipe.execute()
            for (words, expected), page, count in zip(
                part, replies[::2], replies[1::2], strict=True
            ):
                found = [json.loads(one)["DBID"] for one in page[2]]
                assert found == sorted(expected)[:1000], words
                assert count == len(expected), words


def test_every_published_key_is_asked_for(servers: tuple[Master, Proxy]) -> None:
    """Keys that nothing in this release can answer find nothing; all others are in the scan."""
    _, proxy = servers
    with proxy.client() as client:
        world = world_of(client)
        classes = client.execute_command("CFG.CLASSES")
        assert list(classes) == list(TYPE_WORDS)
        for name, told in classes.items():
            asked = {part for key in world.keys(name) for part in key.split("+")}
            left = {(name, key) for key in told["filters"]} - {(name, key) for key in asked}
            assert left <= UNANSWERED, name
            for _, key in left:
                assert client.execute_command("CFG.COUNT", name, "FILTER", key, "1") == 0


def test_pages_join_to_the_whole(servers: tuple[Master, Proxy]) -> None:
    """A cursor of one server is good on another; all pages report the first one's revision."""
    asking = ("CFG.READ", "CfgPerson", "FILTER", "is_agent", "true", "FIELDS", "1", "state")
    with servers[0].client() as master, servers[1].client() as proxy:
        revision, _, whole = master.execute_command(*asking)
        joined: list[str] = []
        cursor, turn = "0", 0
        while turn == 0 or cursor != "0":
            server = (master, proxy)[turn % 2]
            told, cursor, page = server.execute_command(*asking, "LIMIT", 7, "CURSOR", cursor)
            assert told == revision
            assert len(page) <= 7
            joined += page
            turn += 1
    assert joined == whole
