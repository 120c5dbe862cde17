"""A pair of masters on one PostgreSQL: one writes, the other takes over, nothing told is lost."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator, Set
from pathlib import Path

import psutil
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from csp.master.database import Database
from csp.master.entries import entries_from
from csp.model.entry import mark_of, parse_entry, revision_of, why_not_continues
from csp.observe import failpoint
from csp.process.standing import ROLE_BACKUP
from tests.neighbours.master_pair import MasterPair, shown_by
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import Master
from tests.neighbours.waiting import wait_until

pytestmark = pytest.mark.needs("postgres")

WRITES = 20
LOG_CHARACTERS_MAX = 10_000_000  # each write has a line
TAKEN_SECONDS_MAX = 20.0  # on a busy machine; what it takes is measured and told


class Author(threading.Thread):
    """Creates skills at whichever master takes them, and notes what was answered."""

    def __init__(self, pair: MasterPair, name: str) -> None:
        super().__init__(name=name)
        self.pair = pair
        self.done: dict[str, int] = {}  # name -> DBID
        self.unknown: set[str] = set()
        self.refused = 0
        self.said = ""  # the last refusal
        self.first_after = 0.0  # when the first write was answered after `since` was set
        self.since = 0.0
        self.enough = threading.Event()

    def run(self) -> None:
        number, masters = 0, [self.pair.primary, self.pair.backup]
        # By RESP3 redis-py is told to move; where nobody serves there yet it loses a reply by that.
        options = {"socket_timeout": 3, "retry": Retry(NoBackoff(), 0), "protocol": 2}
        while not self.enough.is_set():
            try:
                with masters[0].client(**options) as client:
                    client.ping()  # whom it can't reach it has asked for nothing
                    while not self.enough.is_set():
                        number += 1
                        self._write(client, f"{self.name} {number}")
            except (redis.RedisError, OSError) as error:
                self.said = str(error)
                masters.reverse()
                self.enough.wait(0.02)

    def _write(self, client: redis.Redis, name: str) -> None:
        text = json.dumps({"tenantDBID": 1, "name": name})
        self.unknown.add(name)
        try:
            _, dbid = client.execute_command("CFG.CREATE", "CfgSkill", text)
        except redis.ResponseError as error:
            if str(error).startswith(("MASTERDOWN", "LOADING")):
                self.unknown.discard(name)
                self.refused += 1
            raise
        self.unknown.discard(name)
        self.done[name] = dbid
        if self.since and not self.first_after:
            self.first_after = time.monotonic()

    def writes_on(self, count: int = WRITES) -> None:
        """Waits for so many more."""
        before = len(self.done)
        done = lambda: len(self.done) >= before + count  # noqa: E731
        try:
            wait_until(done, TAKEN_SECONDS_MAX, "writes go on")
        except AssertionError as error:
            logs = [one.log_text(4000) for one in (self.pair.first, self.pair.second)]
            raise AssertionError("\n".join([str(error), self.said, *logs])) from None

    def __enter__(self) -> Author:
        self.start()
        self.writes_on()
        return self

    def __exit__(self, *_: object) -> None:
        self.enough.set()
        self.join()


@pytest.fixture(scope="module")
def running(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MasterPair]:
    with MasterPair(tmp_path_factory.mktemp("pair"), postgres.new_url()) as pair:
        yield pair


@pytest.fixture
def pair(running: MasterPair) -> MasterPair:
    """Both run, whichever is the primary, whatever became of the test before."""
    running.resume()
    for server in (running.first, running.second):
        if server.process is not None and server.process.poll() is not None:
            server.start(ready=False)
    wait_until(lambda: running.is_settled, 30, "the backup is ready")
    return running


def check_nothing_lost(pair: MasterPair, author: Author) -> Set[str]:
    """All that was answered is served; each revision once, each continuing the one before.

    The names that are there.
    """
    with pair.primary.client() as client:
        keys = list(client.scan_iter("CfgSkill:*", count=1000))
        objects = [json.loads(text) for text in client.mget(keys)]
    held = {one["name"]: one["DBID"] for one in objects if one["name"].startswith(author.name)}
    assert author.done.items() <= held.items()
    assert held.keys() - author.done.keys() <= author.unknown
    check_history(pair.url)
    return held.keys()


def took_over(server: Master) -> bool:
    """Whether it has ever taken the lease from the other one."""
    return " 51380 writer: took the database over from " in server.log_text(LOG_CHARACTERS_MAX)


def check_history(url: str) -> None:
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
    assert len(set(created)) == len(created)


def test_the_backup_takes_over_when_the_primary_was_killed(pair: MasterPair) -> None:
    old, new = pair.primary, pair.backup
    with Author(pair, "killed") as author:
        killed_at = time.monotonic()
        pair.kill_all(old)
        author.since = time.monotonic()
        pair.wait_primary(new, TAKEN_SECONDS_MAX)
        author.writes_on()
        print(f"from kill to the first commit: {author.first_after - killed_at:.2f} s")
        # Who was killed finds that the other one has it, and stands by.
        old.start(ready=False)
        pair.wait_stands_by(old)
        author.writes_on()
    check_nothing_lost(pair, author)
    assert pair.primary is new
    assert took_over(new)


@pytest.mark.long
def test_a_primary_that_was_stopped_comes_back_as_the_backup(pair: MasterPair) -> None:
    old, new = pair.primary, pair.backup
    with Author(pair, "stopped") as author, old.client() as before:
        assert before.ping()
        pair.pause(old)
        pair.wait_primary(new, TAKEN_SECONDS_MAX)
        author.writes_on()
        pair.resume()
        text = json.dumps({"tenantDBID": 1, "name": "stopped too late"})
        with pytest.raises((redis.ResponseError, redis.ConnectionError)):
            before.execute_command("CFG.CREATE", "CfgSkill", text)
        pair.wait_stands_by(old)
        author.writes_on()
    check_nothing_lost(pair, author)
    with pair.primary.client() as client:
        assert not client.execute_command("CFG.FIND", "CfgSkill", "name", "stopped too late")


@pytest.mark.long
@pytest.mark.parametrize(
    ("place", "said"), [("master.before_commit", "rejected"), ("master.after_commit", "committed")]
)
def test_what_was_under_way_is_settled_at_the_new_primary(
    pair: MasterPair, place: str, said: str
) -> None:
    """A write that was stopped amid its commit, or behind it, and that nobody was told of."""
    old, new = pair.primary, pair.backup
    stop_next_writer_at(old, place)
    asked = old.raw()
    text = json.dumps({"tenantDBID": 1, "name": f"at {place}"})
    asked.send_command("CFG.CREATE", "CfgSkill", text, "ID", place)
    wait_until(lambda: old.child("writer").status() == psutil.STATUS_STOPPED, 5, "it is under way")
    pair.pause(old)
    pair.wait_primary(new, TAKEN_SECONDS_MAX)
    for _ in range(2):  # while the old one is stopped, and when it has come back
        with new.client() as client:
            assert client.execute_command("CFG.OUTCOME", place).split()[0] == said
            found = client.execute_command("CFG.FIND", "CfgSkill", "name", f"at {place}")
            assert bool(found) is (said == "committed")
        pair.resume()
        pair.wait_stands_by(old)
    asked.disconnect()
    check_history(pair.url)


def stop_next_writer_at(server: Master, place: str) -> None:
    """Ends when that one is there, and is stopped in its first commit."""
    (folder,) = server.runtime.iterdir()
    (folder / failpoint.FILE).write_text(f"{place}=stop\n")
    server.child("writer").kill()
    wait_until(lambda: not (folder / failpoint.FILE).exists(), 20, "the next writer begins")

    def answers() -> bool:
        with contextlib.suppress(redis.RedisError), server.client() as client:
            return client.execute_command("CFG.SYNC") is not None
        return False

    wait_until(answers, 20, "the next writer is there")


@pytest.mark.long
def test_a_writer_that_dies_alone_is_no_reason_to_take_over(pair: MasterPair) -> None:
    old = pair.primary
    with Author(pair, "writer") as author:
        for _ in range(3):
            old.child("writer").kill()
            author.writes_on()
    assert pair.primary is old
    assert shown_by(pair.backup).role == ROLE_BACKUP
    check_nothing_lost(pair, author)


@pytest.mark.long
def test_a_supervisor_that_was_killed_takes_its_lease_back_or_stands_by(pair: MasterPair) -> None:
    """The first, where its start takes less than a lease: on a machine that is not overloaded."""
    old = pair.primary
    with Author(pair, "supervisor") as author:
        old.kill()
        old.start(ready=False)
        author.writes_on()
        wait_until(lambda: pair.is_settled, 30, "both are there")
        author.writes_on()
    assert pair.primary is old or took_over(pair.primary)
    check_nothing_lost(pair, author)


@pytest.mark.long
def test_a_clean_stop_leaves_the_database_to_the_backup_at_once(pair: MasterPair) -> None:
    old, new = pair.primary, pair.backup
    with Author(pair, "clean") as author:
        assert old.stop() == 0
        stopped_at = time.monotonic()
        pair.wait_primary(new, TAKEN_SECONDS_MAX)
        print(f"from the end of the stop to the role: {time.monotonic() - stopped_at:.2f} s")
        author.writes_on()
    # Who sends while the connection is closed is not answered, and nothing of it is done.
    assert check_nothing_lost(pair, author) == author.done.keys()


@pytest.mark.long
def test_two_that_start_at_once_are_a_primary_and_a_backup(
    postgres: Postgres, tmp_path: Path
) -> None:
    pair = MasterPair(tmp_path, postgres.new_url())
    with pair.first.start(ready=False), pair.second.start(ready=False):
        roles = lambda: sorted(shown_by(one).role for one in (pair.first, pair.second))  # noqa: E731
        wait_until(lambda: roles()[1] == ROLE_BACKUP, 30, "one stands by")
        wait_until(lambda: shown_by(pair.primary).peer_state == "ready", 30, "and is seen")
        with pair.primary.client() as client:
            assert client.dbsize() > 0
        check_history(pair.url)


@pytest.mark.long
def test_a_database_that_is_restarted_under_both_changes_no_role(tmp_path: Path) -> None:
    with Postgres(fsync=True) as server, MasterPair(tmp_path, server.new_url()) as pair:
        old = pair.primary
        with Author(pair, "restarted") as author:
            for _ in range(2):
                server.kill()
                server.start()
                author.writes_on()
                wait_until(lambda: shown_by(old).peer_state == "ready", 30, "the backup follows")
        assert pair.primary is old
        check_nothing_lost(pair, author)
