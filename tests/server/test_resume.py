"""CFG.FROM at real servers: a subscription goes on after a lost connection, on any server."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import create_skills, rename_skill, status, wait_level
from tests.server.hot_stage import Raw, command

PROTOCOLS = pytest.mark.parametrize("protocol", [2, 3])
NAMES = itertools.count()


class Estate:
    """A master, a proxy that follows it over a link that a test can cut, and a skill to rename."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.master = Master(folder)

    def __enter__(self) -> Estate:
        self.master.start()
        self.link = CuttingLink(self.master.port)
        self.proxy = Proxy(self.folder, self.link.port).start()
        (self.dbid,) = create_skills(self.master, ["resumed"])
        wait_level(self.master, self.proxy)
        return self

    def __exit__(self, *problem: object) -> None:
        self.proxy.__exit__(*problem)
        self.link.close()
        self.master.__exit__(*problem)

    def rename(self, count: int = 1) -> int:
        """Renames the skill so often; the last revision."""
        names = (f"r{next(NAMES)}" for _ in range(count))
        return rename_skill(self.master, self.dbid, names)

    def servers(self) -> tuple[Server, Server]:
        return self.master, self.proxy


@pytest.fixture(scope="module")
def estate(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Estate]:
    with Estate(tmp_path_factory.mktemp("resume")) as estate:
        yield estate


def connect(server: Server, protocol: int) -> Raw:
    raw = Raw(server.port)
    assert raw.call("AUTH", PASSWORD) == "OK"
    if protocol == 3:
        assert raw.call("HELLO", 3)["proto"] == 3
    return raw


def begin(raw: Raw, *words: str | int) -> list[Any]:
    """CFG.FROM and a subscription to everything; what CFG.FROM answered."""
    raw.send(command("CFG.FROM", *words) + command("SUBSCRIBE", "cfg"))
    reply: list[Any] = raw.read()
    assert raw.read() == ["subscribe", "cfg", 1]
    return reply


def revisions(raw: Raw, count: int) -> list[int]:
    return [json.loads(raw.read()[2])["revision"] for _ in range(count)]


def place_of(server: Server) -> tuple[int, str]:
    shown = status(server)
    return int(shown["revision"]), str(shown["mark"])


@PROTOCOLS
def test_nothing_is_missed_or_told_twice_over_a_lost_connection(
    estate: Estate, protocol: int
) -> None:
    """At the server that was lost, and at the other one."""
    for first, second in itertools.product(estate.servers(), repeat=2):
        raw = connect(first, protocol)
        name, start, mark = begin(raw, "NOW")
        assert (name, start, mark) == ("cfg.from", *place_of(first))
        last = estate.rename(3)
        assert revisions(raw, 3) == [last - 2, last - 1, last]
        raw.close(reset=True)
        missed = estate.rename(4)
        wait_level(estate.master, estate.proxy)
        again = connect(second, protocol)
        assert begin(again, last)[:2] == ["cfg.from", last]
        assert revisions(again, 4) == list(range(last + 1, missed + 1))
        assert estate.rename() == missed + 1
        assert revisions(again, 1) == [missed + 1]
        assert again.is_silent()
        again.close()


def test_the_mark_of_a_place_is_told_and_checked(estate: Estate) -> None:
    """A revision is named by its mark: the same number in another history is refused."""
    revision, mark = place_of(estate.master)
    estate.rename(2)
    wait_level(estate.master, estate.proxy)
    for server in estate.servers():
        raw = connect(server, 3)
        assert raw.call("CFG.FROM", revision, "MARK", mark) == ["cfg.from", revision, mark]
        assert raw.call("CFG.FROM", revision) == ["cfg.from", revision, mark]
        refusal = raw.call("CFG.FROM", revision, "MARK", "0" * 16)
        assert refusal == (
            f"-RESYNC revision {revision} has another mark here: that was another history"
        )
        assert raw.call("GET", "CfgSkill:1") is None
        raw.close()


def test_what_this_history_has_not_is_refused_at_once(estate: Estate) -> None:
    newest = wait_level(estate.master, estate.proxy)
    for server in estate.servers():
        raw = connect(server, 2)
        assert raw.call("CFG.FROM", newest + 1) == (
            f"-RESYNC revision {newest + 1} is beyond the newest of this history, {newest}"
        )
        raw.close()


@PROTOCOLS
def test_a_subscribed_connection_is_told_so(estate: Estate, protocol: int) -> None:
    raw = connect(estate.master, protocol)
    assert raw.call("SUBSCRIBE", "cfg.notice")[2] == 1
    assert raw.call("CFG.FROM", "NOW").startswith("-ERR CFG.FROM comes before the first")
    assert raw.call("UNSUBSCRIBE")[2] == 0
    assert raw.call("CFG.FROM", "NOW")[0] == "cfg.from"
    assert raw.call("RESET") == "RESET"
    assert raw.call("CFG.FROM", "NOW").startswith("-NOAUTH")
    raw.close()


@PROTOCOLS
def test_redis_pys_subscription_reads_the_reply(estate: Estate, protocol: int) -> None:
    last = estate.rename(2)
    with estate.master.client(protocol=protocol) as client, client.pubsub() as pubsub:
        pubsub.execute_command("CFG.FROM", last - 1, "SUBS", 2)
        pubsub.subscribe("cfg:CfgSkill")
        pubsub.psubscribe("cfg.n*")
        came = [pubsub.get_message(timeout=5) for _ in range(4)]
        kinds = [one["type"] for one in came]
        assert kinds == ["cfg.from", "subscribe", "psubscribe", "message"]
        assert came[0]["channel"] == last - 1
        assert len(came[0]["data"]) == 16
        assert json.loads(came[3]["data"])["revision"] == last
        pubsub.unsubscribe()
        pubsub.punsubscribe()


@PROTOCOLS
def test_bookmarks_name_places_to_resume_from(estate: Estate, protocol: int) -> None:
    wait_level(estate.master, estate.proxy)
    raw = connect(estate.proxy, protocol)
    begin(raw, "NOW", "BOOKMARKS", 1000)
    last = estate.rename()
    assert revisions(raw, 1) == [last]
    came = raw.read()
    assert came[:2] == ["message", "cfg.notice"]
    told = json.loads(came[2])
    assert told == {"op": "bookmark", "revision": last, "mark": place_of(estate.master)[1]}
    raw.close()
    again = connect(estate.master, protocol)
    assert begin(again, last, "MARK", told["mark"]) == ["cfg.from", last, told["mark"]]
    again.close()


@PROTOCOLS
def test_a_proxy_that_is_behind_waits_for_what_a_client_has_seen(
    estate: Estate, protocol: int
) -> None:
    """Its link is down: it can't know how far the master has come."""
    before = wait_level(estate.master, estate.proxy)
    estate.link.refuses = True
    estate.link.cut()
    wait_until(lambda: status(estate.proxy)["link"] == "down", 20, "the link is down")
    last = estate.rename(3)
    mark = place_of(estate.master)[1]
    raw = connect(estate.proxy, protocol)
    assert begin(raw, last, "MARK", mark) == ["cfg.from", last, mark]
    if protocol == 3:
        raw.send(command("GET", f"CfgSkill:{estate.dbid}") + command("ECHO", "behind"))
    assert raw.is_silent(0.5)
    assert place_of(estate.proxy)[0] == before
    estate.link.refuses = False
    assert json.loads(raw.read()[2])["op"] == "fresh"
    if protocol == 3:
        shown, behind = raw.read_all(2)
        assert json.loads(shown)["revision"] == last
        assert behind == "behind"
    else:
        wait_level(estate.master, estate.proxy)
    assert estate.rename() == last + 1
    told = json.loads(raw.read()[2])
    assert (told["op"], told["revision"]) == ("update", last + 1)
    raw.close()


def test_a_restart_of_a_proxy_is_no_gap(tmp_path: Path) -> None:
    """After a clean stop, and after the death of all its processes, whose memory is found again."""
    with Estate(tmp_path) as estate:
        last = estate.rename(5)
        wait_level(estate.master, estate.proxy)
        assert estate.proxy.stop() == 0
        missed = estate.rename(3)
        estate.proxy.start()
        wait_level(estate.master, estate.proxy)
        raw = connect(estate.proxy, 3)
        begin(raw, last - 5)
        assert revisions(raw, 8) == list(range(last - 4, missed + 1))
        estate.proxy.kill()
        estate.rename(2)
        estate.proxy.start()
        wait_level(estate.master, estate.proxy)
        again = connect(estate.proxy, 2)
        begin(again, missed - 1)
        assert revisions(again, 3) == [missed, missed + 1, missed + 2]
        assert again.is_silent()
        again.close()
