"""All filter keys of all classes, singly and two at a time, against a scan over all objects.

The estate is imported, then changed for a while, so that lists are both loaded and maintained; the
proxy is asked, which got some of it as a load and the rest as changes.
"""

from __future__ import annotations

import itertools
import json
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis

from tests.effort import parametrize_few
from tests.neighbours.server import Master, Proxy, run_cli
from tests.server.brute_force import TYPE_WORDS, Keys, Value, World, filters
from tests.server.changing import change_at_random
from tests.server.population import populate

SEED = 20
CHANGES = 150
VALUES_MAX = 25  # of one key
PAIRS = 3  # of values, for each pair of keys
BATCH = 500
ROUNDS = 6  # of questions, each at a revision of its own


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


@parametrize_few("name", TYPE_WORDS, quick=10)
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
    """What CFG.CLASSES names is in the scan."""
    _, proxy = servers
    with proxy.client() as client:
        world = world_of(client)
        classes = client.execute_command("CFG.CLASSES")
        assert list(classes) == list(TYPE_WORDS)
        for name, told in classes.items():
            asked = {part for key in world.keys(name) for part in key.split("+")}
            assert set(told["filters"]) == asked, name


def without_binary(script: dict[str, Any]) -> dict[str, Any]:
    annex = {
        section: {key: value for key, value in keys.items() if not isinstance(value, dict)}
        for section, keys in script["userProperties"].items()
    }
    return {**script, "userProperties": annex}


def test_bytecode_is_left_out_on_request(servers: tuple[Master, Proxy]) -> None:
    """By the page, field and name, and beside other filters; BRIEF and `false` change nothing."""
    with servers[1].client() as client:

        def read(*words: Any, command: str = "CFG.READ") -> list[dict[str, Any]]:
            reply = client.execute_command(command, "CfgScript", *words)
            return [json.loads(one) for one in (reply[2] if command == "CFG.READ" else [reply])]

        some, trim = ("FILTER", "script_type", "schedule"), ("FILTER", "exclude_bytecode", "true")
        plain = read(*some)
        assert any('"base64"' in json.dumps(one) for one in plain)
        trimmed = [without_binary(one) if "userProperties" in one else one for one in plain]
        assert read(*some, *trim) == trimmed
        assert read(*trim, *some, "LIMIT", 3) == trimmed[:3]
        assert read(*some, "FILTER", "exclude_bytecode", "false") == plain
        assert read(*some, *trim, "BRIEF") == read(*some, "BRIEF")
        shown = read(*some, *trim, "FIELDS", 2, "name", "userProperties")
        assert [one.get("userProperties") for one in shown] == [
            one.get("userProperties") for one in trimmed
        ]
        assert all("type" not in one for one in shown)
        at = plain[0]["DBID"]
        found = read("dbid", at, "exclude_bytecode", "true", command="CFG.FIND")
        assert found == trimmed[:1]
        with pytest.raises(redis.ResponseError, match="exclude_bytecode takes true or false"):
            read("FILTER", "exclude_bytecode", "1")


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


def test_filters_find_what_a_scan_finds_while_changes_flow(servers: tuple[Master, Proxy]) -> None:
    """All objects, and some values of every key, asked for in one EXEC, so at one revision."""
    master, proxy = servers
    stop = threading.Event()

    def change() -> None:
        rng = random.Random(SEED + 1)
        with master.client() as client:
            while not stop.is_set():
                change_at_random(client, rng, 40)
                move_ports(client, rng)

    rng = random.Random(SEED)
    revisions: set[int] = set()
    until = time.monotonic() + 60
    with proxy.client() as client, ThreadPoolExecutor(1) as threads:
        asked = questions(world_of(client), rng)
        changing = threads.submit(change)
        try:
            while len(revisions) < ROUNDS:
                assert time.monotonic() < until, f"changes seen: {revisions}"
                pipe = client.pipeline(transaction=True)
                for name in TYPE_WORDS:
                    pipe.execute_command("CFG.READ", name, "LIMIT", 10000)
                for name, key, value in asked:
                    words = filters(key, value)
                    pipe.execute_command("CFG.READ", name, *words, "FIELDS", 1, "state")
                replies = pipe.execute()
                assert len({revision for revision, _, _ in replies}) == 1
                revisions.add(replies[0][0])
                pages = [page for _, _, page in replies]
                whole = World(json.loads(one) for page in pages[: len(TYPE_WORDS)] for one in page)
                keys = {name: whole.keys(name) for name in TYPE_WORDS}
                for (name, key, value), page in zip(asked, pages[len(TYPE_WORDS) :], strict=True):
                    found = [json.loads(one)["DBID"] for one in page]
                    assert found == sorted(keys[name][key][value])[:1000], (name, key, value)
        finally:
            stop.set()
        changing.result(30)


def questions(world: World, rng: random.Random) -> list[tuple[str, str, Value]]:
    """A few values of every key of every class."""
    found = []
    for name in TYPE_WORDS:
        for key, values in world.keys(name).items():
            chosen = list(values)
            found += [(name, key, one) for one in rng.sample(chosen, min(4, len(chosen)))]
    return found


def move_ports(client: redis.Redis, rng: random.Random) -> None:
    ports, dns = (
        [json.loads(one)["DBID"] for one in client.execute_command("CFG.READ", name)[2]]
        for name in ("CfgIVRPort", "CfgDN")
    )
    delta = json.dumps({"changed": {"DNDBID": rng.choice([0, *dns[:4]])}})
    client.execute_command("CFG.UPDATE", "CfgIVRPort", rng.choice(ports), delta)


def test_an_enumeration_takes_its_words_and_numbers(servers: tuple[Master, Proxy]) -> None:
    """A word that objects can't have finds nothing, so it is told; numbers stand for their word."""
    with servers[0].client() as client:
        count = client.execute_command
        enabled = count("CFG.COUNT", "CfgSkill", "FILTER", "state", "enabled")
        assert count("CFG.COUNT", "CfgSkill", "FILTER", "state", "1") == enabled > 0
        assert count("CFG.COUNT", "CfgSkill", "FILTER", "state", "2") == count(
            "CFG.COUNT", "CfgSkill", "FILTER", "state", "disabled"
        )
        for command in (
            ("CFG.COUNT", "CfgSkill", "FILTER", "state"),
            ("CFG.READ", "CfgSkill", "FILTER", "state"),
            ("CFG.FIND", "CfgSkill", "tenant_dbid", "1", "state"),
        ):
            for wrong in ("Enabled", "on", "0", "3", "", "01x", "99999", "enabled "):
                with pytest.raises(redis.ResponseError) as refused:
                    client.execute_command(*command, wrong)
                assert str(refused.value).startswith(
                    "BADVALUE filter key state takes a word of CfgObjectState "
                    "(enabled, disabled) or its number, not"
                )
        # Of an open enumeration, which may have words of others, only the case can be wrong.
        assert count("CFG.COUNT", "CfgApplication", "FILTER", "app_type", "mine") == 0
        with pytest.raises(redis.ResponseError, match="takes a word of CfgAppType"):
            count("CFG.COUNT", "CfgApplication", "FILTER", "app_type", "TServer")
        for kind in ("tenant", "7"):
            owner = ("FILTER", "owner_dbid", "1", "FILTER", "owner_type", kind)
            assert count("CFG.COUNT", "CfgFolder", *owner) > 10
        owner = ("FILTER", "owner_dbid", "1", "FILTER", "owner_type", "999")
        with pytest.raises(redis.ResponseError, match="owner_type takes"):
            count("CFG.COUNT", "CfgFolder", *owner)
