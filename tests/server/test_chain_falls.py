"""One in the middle of a chain dies: its children go to the next address, and come back to it."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from tests.neighbours.applications import MASTER_DBID, make_proxy_application
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import create_skills, status, wait_level

HERE = "127.0.0.1"
RETURN_SECONDS = 2
LOADED, GONE_BACK = "51302", "51368"


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("falls")) as master:
        yield master


def proxy(master: Master, name: str, above: list[Server], dbids: list[int]) -> tuple[Proxy, int]:
    made = Proxy(master.folder, above[0], app=name, extra=())
    options = {"csp": {"return-delay": str(RETURN_SECONDS)}}
    dbid = make_proxy_application(master, name, (HERE, made.port), dbids, options=options)
    return made, dbid


def links(server: Server) -> int:
    with server.client() as client:
        return sum(str(one["name"]).startswith("csp-proxy-") for one in client.client_list())


def test_children_of_one_that_dies_go_on_at_the_next_and_come_back(master: Master) -> None:
    """Three deep: the last one's writes, reads and age go through all the while."""
    middle, first = proxy(master, "middle", [master], [MASTER_DBID])
    other, second = proxy(master, "other", [master], [MASTER_DBID])
    below, _ = proxy(master, "below", [middle], [first, second])
    with middle, other, below, below.client() as client, client.pubsub() as changes:
        wait_until(lambda: links(middle) == 2, 20, "it follows the one in the middle")
        assert links(master) == 4  # the master sees the two
        changes.subscribe("cfg:CfgSkill")
        assert changes.get_message(timeout=5)["type"] == "subscribe"
        names = ["before", "while it is away", "when it is back"]
        dbids = create_skills(master, names[:1])
        wait_level(master, below)
        middle.kill()
        dbids += create_skills(master, names[1:2])
        with master.client() as author:
            author.execute_command("CFG.DELETE", "CfgSkill", dbids[0])
        wait_level(master, below)
        assert links(other) == 2
        assert status(below)["link"] == "up"
        middle.start()
        wait_until(lambda: GONE_BACK in below.log_text(), 30, "it has gone back")
        wait_until(lambda: links(other) == 0, 10, "it has left the other one")
        dbids += create_skills(master, names[2:])
        wait_level(master, below)
        told = []
        for _ in range(4):
            message = changes.get_message(ignore_subscribe_messages=True, timeout=10)
            content = orjson.loads(message["data"])
            told.append((content["op"], content["DBID"]))
        before, away, back = dbids
        away_told = [("create", away), ("delete", before)]
        assert told == [("create", before), *away_told, ("create", back)]
        assert below.log_text().count(f" {LOADED} ") == 1  # its first load, from the middle


@pytest.mark.long
def test_who_starts_while_the_first_is_away_comes_up_by_the_next(master: Master) -> None:
    """What it kept tells the others: its Application, and who listens where."""
    middle, first = proxy(master, "late-middle", [master], [MASTER_DBID])
    other, second = proxy(master, "late-other", [master], [MASTER_DBID])
    below, _ = proxy(master, "late-below", [middle], [first, second])
    with middle, other, below:
        wait_until(lambda: links(middle) == 2, 20, "it follows the one in the middle")
        below.stop()
        middle.kill()
        create_skills(master, ["while both are away"])
        below.start()
        wait_level(master, below, within=30)
        assert links(other) == 2
        assert below.log_text().count(f" {LOADED} ") == 1
