"""What a log has let go comes from the master: the same messages, whatever lies between."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from tests.neighbours.server import Master, Proxy, Server
from tests.server.feed_helpers import create_desk, create_skills, status, wait_level
from tests.server.hot_stage import Raw, command
from tests.server.test_metrics import metrics
from tests.server.test_tokens import registered

NAMES = itertools.count()
CHANNELS = ("cfg:CfgSkill", "cfg@1")


def anew(proxy: Proxy) -> None:
    """A proxy that knows nothing of what was: it loads, and its log begins there."""
    assert proxy.stop() == 0
    shutil.rmtree(proxy.state)
    proxy.start()


class Estate:
    """A master, a proxy and one behind it, whose logs begin after the changes under test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.master = Master(folder)

    def __enter__(self) -> Estate:
        self.master.start()
        create_desk(self.master)
        self.near = Proxy(self.folder, self.master, app="near").start()
        far = Proxy(self.folder, self.master, app="far")
        with far.start():
            pass
        self.far = Proxy(self.folder, self.near, app="far", extra=()).start()
        for proxy in (self.near, self.far):
            wait_level(self.master, proxy)
        return self

    def __exit__(self, *problem: object) -> None:
        for server in (self.far, self.near, self.master):
            server.__exit__(*problem)

    def change(self) -> int:
        """Of all kinds: large and small, several in one, deletions; how many messages they are."""
        dbids = create_skills(self.master, [f"s{next(NAMES)}" for _ in range(50)])
        with self.master.client() as client:
            for dbid in dbids[:20]:
                delta = {"changed": {"name": f"s{next(NAMES)}"}}
                client.execute_command("CFG.UPDATE", "CfgSkill", dbid, json.dumps(delta))
            large = {"name": f"s{next(NAMES)}", "tenantDBID": 1}
            large["userProperties"] = {"s": {f"k{n}": "x" * 60_000 for n in range(3)}}
            client.execute_command("CFG.CREATE", "CfgSkill", json.dumps(large))
            pipe = client.pipeline(transaction=True)
            for dbid in dbids[:30]:
                pipe.execute_command("CFG.DELETE", "CfgSkill", dbid)
            pipe.execute()
        return 50 + 20 + 1 + 30


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with Estate(tmp_path_factory.mktemp("replays")) as estate:
        yield estate


def messages(raw: Raw, count: int) -> list[Any]:
    return [raw.read() for _ in range(count * len(CHANNELS))]


def subscribe(raw: Raw) -> None:
    raw.send(command("SUBSCRIBE", *CHANNELS))
    assert [raw.read()[0] for _ in CHANNELS] == ["subscribe"] * len(CHANNELS)


def place_of(server: Server) -> tuple[int, str]:
    shown = status(server)
    return int(shown["revision"]), str(shown["mark"])


def test_the_same_messages_come_as_to_who_was_there(estate: Estate) -> None:
    start, mark = place_of(estate.master)
    raw, granted = registered(estate.master)
    subscribe(raw)
    live = messages(raw, estate.change())
    anew(estate.near)
    anew(estate.far)
    for server in (estate.near, estate.far):
        wait_level(estate.master, server)
        again, _ = registered(server, granted["token"])
        subscribe(again)
        assert messages(again, len(live) // len(CHANNELS)) == live
        assert again.is_silent()
        for words in ((start,), (start, "MARK", mark)):
            begun, _ = registered(server)
            begun.send(command("CFG.FROM", *words, "SUBS", 2))
            assert begun.read()[:2] == ["cfg.from", start]
            subscribe(begun)
            got = messages(begun, len(live) // len(CHANNELS))
            assert got == live
        counted = metrics(server)["worker 0"]
        assert (counted["restored"], counted["replays"]) == (1, 3)
        assert counted["replayed"] == 3 * (1 + 20 + 1 + 1)  # transactions
    create_skills(estate.master, [f"s{next(NAMES)}"])
    assert [json.loads(one[2])["op"] for one in messages(again, 1)] == ["create"] * 2


def test_a_log_that_begins_right_behind_the_place_goes_on(estate: Estate) -> None:
    """A proxy that loaded where a session stood, and followed since."""
    anew(estate.near)
    wait_level(estate.master, estate.near)
    raw, granted = registered(estate.near)
    raw.close()
    create_skills(estate.master, [f"s{next(NAMES)}"])
    last = wait_level(estate.master, estate.near)
    again, _ = registered(estate.near, granted["token"])
    subscribe(again)
    assert {json.loads(one[2])["revision"] for one in messages(again, 1)} == {last}
    assert again.is_silent()


def test_reads_wait_for_what_comes_before_them(estate: Estate) -> None:
    start, _ = place_of(estate.master)
    count = estate.change()
    anew(estate.near)
    wait_level(estate.master, estate.near)
    raw, _ = registered(estate.near)
    raw.send(
        command("CFG.FROM", start) + command("SUBSCRIBE", "cfg:CfgSkill")
        + command("GET", "CfgTenant:1") + command("PING")
    )  # fmt: skip
    came = [raw.read() for _ in range(2 + count + 2)]
    at = next(n for n, one in enumerate(came) if isinstance(one, str) and "CfgTenant" in one)
    assert at >= 2 + count
    assert sum(isinstance(one, list) and one[0] == "message" for one in came[:at]) == count


def test_outside_the_window_comes_resync_and_no_part_of_it(estate: Estate) -> None:
    start, mark = place_of(estate.master)
    _, granted = registered(estate.master)
    estate.change()
    engine = create_engine(estate.master.url)
    with engine.begin() as connection:
        connection.execute(text(f"DELETE FROM entries WHERE revision <= {start + 1}"))
    engine.dispose()
    assert estate.master.stop() == 0  # its memory has them still
    estate.master.start()
    anew(estate.near)
    wait_level(estate.master, estate.near)
    newest, _ = place_of(estate.near)
    raw, _ = registered(estate.near)
    said = str(raw.call("CFG.FROM", start, "MARK", mark))
    assert said == f"-RESYNC the log does not go on from revision {start}; from {start + 1} it does"
    assert raw.call("CFG.FROM", start + 1)[0] == "cfg.from"
    again, _ = registered(estate.near, granted["token"])
    subscribe(again)
    notice = again.read()
    assert json.loads(notice[2])["op"] == "resync"
    assert json.loads(notice[2])["oldest"] == newest + 1
    assert again.is_silent()
