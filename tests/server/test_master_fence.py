"""Two masters on one PostgreSQL database, both written to: one history, nothing lost."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest
import redis

from csp.master.database import Database
from csp.master.entries import entries_from
from csp.model.entry import mark_of, parse_entry, revision_of, why_not_continues
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import Master
from tests.neighbours.waiting import wait_until

pytestmark = pytest.mark.needs("postgres")

WRITES_BEFORE = 30
WRITES_AFTER = 30
REFUSALS = 5  # that the replaced master gives before its client stops


class Author(threading.Thread):
    """A client that creates skills at one master, one after the other, and notes the answers."""

    def __init__(self, master: Master, name: str) -> None:
        super().__init__(name=name)
        self.master = master
        self.done: dict[str, int] = {}  # name -> DBID
        self.refused: dict[str, str] = {}
        self.enough = threading.Event()

    def run(self) -> None:
        number = 0
        with self.master.client() as client:
            while not self.enough.is_set():
                number += 1
                name = f"{self.name} {number}"
                text = json.dumps({"tenantDBID": 1, "name": name})
                try:
                    _, dbid = client.execute_command("CFG.CREATE", "CfgSkill", text)
                except redis.ResponseError as error:
                    self.refused[name] = str(error)
                else:
                    self.done[name] = dbid


def test_a_second_master_takes_over_under_load(postgres: Postgres, tmp_path: Path) -> None:
    url = postgres.new_url()
    first, second = (Master(tmp_path, url=url) for _ in range(2))
    with first.start():
        old = Author(first, "old")
        old.start()
        wait_until(lambda: len(old.done) >= WRITES_BEFORE, 30, "the first master's writes")
        with second.start():
            new = Author(second, "new")
            new.start()
            wait_until(lambda: len(old.refused) >= REFUSALS, 30, "the first one's refusals")
            wait_until(lambda: len(new.done) >= WRITES_AFTER, 30, "the second one's writes")
            for author in (old, new):
                author.enough.set()
                author.join()
            assert not new.refused
            assert all("another master has taken this database over" in said
                       for said in old.refused.values())  # fmt: skip
            with first.client() as client:  # reads go on, at the state before
                assert client.dbsize() > 0
            told = json.loads(first.cli("status", "--json").stdout)
            assert (told["state"], told["link"]) == ("ready", "down")
            assert first.log_text().count(" 51319 writer: no writes any more: ") == 1
            held = skills_served(second)
    assert held == old.done | new.done
    check_history(url, held)


def skills_served(master: Master) -> dict[str, int]:
    """Name and DBID of every skill that this master serves."""
    with master.client() as client:
        keys = list(client.scan_iter("CfgSkill:*", count=1000))
        objects = [json.loads(client.get(key)) for key in keys]
    return {one["name"]: one["DBID"] for one in objects}


def check_history(url: str, held: dict[str, int]) -> None:
    """Every revision once, each continuing the one before, and what is served came of them."""
    database = Database(url)
    head = database.head()
    with database.reading() as connection:
        entries = entries_from(connection, 1, head.revision, 1 << 30)
    database.close()
    assert [revision_of(entry) for entry in entries] == list(range(1, head.revision + 1))
    mark = 0
    for entry in entries:
        assert why_not_continues(entry, mark) is None
        mark = mark_of(entry)
    assert mark == head.mark
    created = [item.dbid for entry in entries for item in parse_entry(entry).items
               if item.class_id == 13 and item.op == "create"]  # fmt: skip
    assert sorted(created) == sorted(held.values())
    assert len(set(created)) == len(created)
