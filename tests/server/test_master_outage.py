"""A master whose PostgreSQL dies, hangs or comes back: writes are refused, reads go on."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg
import pytest
import redis

from csp.errors import MasterDown
from csp.master.patience import ONE_WAIT_SECONDS_MAX, SILENCE_SECONDS_MAX
from csp.process.standing import ROLE_BACKUP
from csp.store.control import LINK_DATABASE, LINK_DOWN, LINK_UP
from tests.neighbours.databases import PostgresPlace, with_tables
from tests.neighbours.postgres import Postgres
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until
from tests.unit.master_stage import Stage

pytestmark = pytest.mark.needs("postgres")

AT_ONCE_SECONDS = 1.0  # an answer for which nobody was waited


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL that tests may kill; its commits reach the disk."""
    with Postgres(fsync=True) as server:
        yield server


@pytest.fixture(scope="module")
def tables(server: Postgres) -> str:
    return with_tables(server)


@pytest.fixture
def stage(server: Postgres, tables: str) -> Iterator[Stage]:
    found = Stage(PostgresPlace(server, tables))
    yield found
    found.close()


def skill(name: str) -> tuple[object, ...]:
    return ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": name})


def ticking(stage: Stage, condition: Callable[[], bool]) -> Callable[[], bool]:
    """The condition, after one more turn of the writer's clock."""

    def turn() -> bool:
        stage.origin.tick(time.monotonic_ns() // 1_000_000)
        return condition()

    return turn


def heal(stage: Stage) -> None:
    wait_until(ticking(stage, lambda: stage.host.link[0] == LINK_DATABASE), 20, "it heals")


def test_a_connection_that_an_administrator_ended(stage: Stage, server: Postgres) -> None:
    assert isinstance(stage.place, PostgresPlace)
    stage.create("CfgSkill", tenantDBID=1, name="English")
    assert server.cut_off(stage.place.name) >= 1
    refused = stage.refused(*skill("German"))
    assert refused.startswith("MASTERDOWN the database can't take the change: ")
    assert stage.host.link[0] == LINK_DOWN
    assert stage.refused(*skill("German")).startswith("MASTERDOWN the database is not there: ")
    heal(stage)
    assert stage.create("CfgSkill", tenantDBID=1, name="German") == 102
    assert stage.host.loads == 1
    assert stage.host.told.count("51317") == 1


def test_a_killed_server(stage: Stage, server: Postgres) -> None:
    stage.create("CfgSkill", tenantDBID=1, name="English")
    server.kill()
    try:
        lost = lambda: stage.host.link[0] == LINK_DOWN  # noqa: E731
        wait_until(ticking(stage, lost), 10, "it notices without a write")
        for _ in range(3):
            began = time.monotonic()
            stage.origin.tick(int(began * 1000))
            line = stage.refused(*skill("German"))
            assert line.startswith("MASTERDOWN the database is not there: ")
            with pytest.raises(MasterDown, match="the database is not there"):
                stage.outcome("anything")
            assert time.monotonic() - began < AT_ONCE_SECONDS
        assert stage.object("CfgSkill", 101)["name"] == "English"
    finally:
        server.start()
    heal(stage)
    assert stage.create("CfgSkill", tenantDBID=1, name="German") == 102
    assert stage.host.loads == 1
    assert stage.host.told.count("51317") == stage.host.told.count("51318") == 1


@pytest.mark.long
def test_a_server_that_hangs_is_waited_for_with_a_limit(stage: Stage, server: Postgres) -> None:
    server.pause()
    try:
        began = time.monotonic()
        line = stage.refused(*skill("English"))
        assert line.startswith("MASTERDOWN the database ")
        assert f"no answer within {ONE_WAIT_SECONDS_MAX:.1f} s" in line
        assert time.monotonic() - began < ONE_WAIT_SECONDS_MAX + AT_ONCE_SECONDS
        for _ in range(3):  # neither a write nor the clock waits again
            began = time.monotonic()
            stage.origin.tick(int(began * 1000))
            assert stage.refused(*skill("English")).startswith("MASTERDOWN")
            assert time.monotonic() - began < AT_ONCE_SECONDS
    finally:
        server.resume()
    heal(stage)
    assert stage.create("CfgSkill", tenantDBID=1, name="English") == 101


@pytest.mark.long
def test_a_slow_server_is_not_taken_for_a_lost_one(stage: Stage, server: Postgres) -> None:
    """A change of many rows, each of them slow: 3 s in all; then one that takes too long."""
    assert isinstance(stage.place, PostgresPlace)
    place = stage.place
    server.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN PERFORM pg_sleep(TG_ARGV[0]::float); RETURN NEW; END $$",
        place.name,
    )
    slow = "CREATE TRIGGER slow BEFORE INSERT ON objects FOR EACH ROW EXECUTE FUNCTION slow('{}')"
    server.execute(slow.format(0.01), place.name)
    signs: list[float] = []
    stage.origin.database.turn.sign = lambda: signs.append(time.monotonic())
    began = time.monotonic()
    outcome = stage.exec(*(skill(f"skill {number}") for number in range(300)))
    assert outcome.error is None
    signs = [began, *signs, time.monotonic()]
    assert max(after - before for before, after in pairwise(signs)) < SILENCE_SECONDS_MAX
    server.execute(f"DROP TRIGGER slow ON objects; {slow.format(5)}", place.name)
    line = stage.refused(*skill("English"))
    assert line.startswith("MASTERDOWN the database can't take the change: canceling statement")
    assert "51317" not in stage.host.told
    server.execute("DROP TRIGGER slow ON objects; DROP FUNCTION slow", place.name)
    stage.origin.watches()
    assert stage.create("CfgSkill", tenantDBID=1, name="English") == 401


@pytest.mark.parametrize("is_committed", [True, False])
def test_a_commit_of_unknown_outcome_is_settled(
    stage: Stage, server: Postgres, monkeypatch: pytest.MonkeyPatch, is_committed: bool
) -> None:
    """The server stops answering around the COMMIT: it runs when it goes on, or died with it."""
    commit = server_stops_at_commit(stage, server)
    monkeypatch.setattr(stage.origin.database.connection.dialect, "do_commit", commit)
    try:
        outcome = stage.write(*skill("English"), write_id="w")
        assert outcome.error is not None
        assert outcome.error.line.startswith("UNKNOWNOUTCOME the database was lost while it commit")
        assert stage.host.published == 1
        monkeypatch.undo()
    finally:
        if is_committed:
            server.resume()
        else:
            server.kill()
            server.start()
    heal(stage)
    assert stage.outcome("w") == ("committed 2" if is_committed else "rejected")
    assert (stage.host.image(13, 101) is not None) == is_committed
    assert stage.host.published == (2 if is_committed else 1)
    again = stage.write(*skill("English"), write_id="w")
    assert (again.error is None) == is_committed
    assert stage.create("CfgSkill", tenantDBID=1, name="German") == (102 if is_committed else 101)
    assert stage.host.loads == 1


def server_stops_at_commit(stage: Stage, server: Postgres) -> Callable[[object], None]:
    """The driver's commit, sent to a server that was stopped just before."""

    def commit(connection: object) -> None:
        if stage.origin.database.is_committing:  # else it ends a question
            server.pause()
        connection.commit()  # type: ignore[attr-defined]

    return commit


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_commit_that_no_standby_has_is_not_called_done(
    stage: Stage, server: Postgres, is_cancelled: bool
) -> None:
    """The standby is away; or somebody ends the wait for it, which the server calls done."""
    stage.create("CfgSkill", tenantDBID=1, name="English")
    server.execute("ALTER SYSTEM SET synchronous_standby_names = 'absent'")
    server.execute("SELECT pg_reload_conf()")
    try:
        wait_until(lambda: server.execute("SHOW synchronous_standby_names") == [("absent",)])
        if is_cancelled:
            threading.Thread(target=cancel_wait, args=(server.connect(),)).start()
        outcome = stage.write(*skill("German"), write_id="w")
        assert outcome.error is not None
        reason = "without its confirmation" if is_cancelled else "no answer within"
        assert outcome.error.line.startswith("UNKNOWNOUTCOME the database was lost while it commit")
        assert reason in outcome.error.line
        began = time.monotonic()
        while time.monotonic() < began + 2 * ONE_WAIT_SECONDS_MAX:  # attempts to connect, in vain
            assert not ticking(stage, lambda: stage.host.link[0] != LINK_DOWN)()
            server.execute("SELECT pg_sleep(0.1)")
        assert stage.host.published == 2
        assert stage.refused(*skill("French")).startswith("MASTERDOWN the database is not there: ")
    finally:
        server.execute("ALTER SYSTEM RESET synchronous_standby_names")
        server.execute("SELECT pg_reload_conf()")
    heal(stage)
    assert stage.host.published == 3
    assert stage.outcome("w") == "committed 3"
    assert stage.object("CfgSkill", 102)["name"] == "German"
    assert stage.create("CfgSkill", tenantDBID=1, name="French") == 103
    assert stage.host.loads == 1


def cancel_wait(connection: psycopg.Connection[Any]) -> None:
    """As pg_cancel_backend does it, once somebody waits for a standby."""
    question = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
    wait_until(lambda: connection.execute(question).fetchall(), 10, "a wait for the standby")


def test_a_master_that_was_replaced_during_the_outage(stage: Stage, server: Postgres) -> None:
    assert isinstance(stage.place, PostgresPlace)
    stage.create("CfgSkill", tenantDBID=1, name="English")
    server.cut_off(stage.place.name)
    assert stage.refused(*skill("German")).startswith("MASTERDOWN")
    successor = Stage(stage.place)
    stands_by = lambda: stage.host.standing.role == ROLE_BACKUP  # noqa: E731
    wait_until(ticking(stage, stands_by), 10, "it sees the other's fence")
    outcome = stage.write(*skill("German"))
    assert outcome.error is not None
    assert outcome.error.line.startswith("MASTERDOWN this master stands by as the backup of ")
    assert successor.create("CfgSkill", tenantDBID=1, name="German") == 102
    assert successor.origin.database.head().revision == successor.host.published == 3
    wait_until(ticking(stage, lambda: stage.host.published == 3), 10, "it follows")
    assert stage.host.link[0] == LINK_UP
    successor.close()


def test_a_database_put_back_during_the_outage_is_loaded_anew(
    stage: Stage, server: Postgres
) -> None:
    """The same fence, an older state: the store follows it, as a new generation."""
    assert isinstance(stage.place, PostgresPlace)
    stage.create("CfgSkill", tenantDBID=1, name="English")
    server.cut_off(stage.place.name)
    stage.place.back_up()
    stage.refused(*skill("lost"))
    heal(stage)
    stage.create("CfgSkill", tenantDBID=1, name="German")
    stage.place.put_back()
    wait_until(ticking(stage, lambda: stage.host.loads == 2), 20, "the load")
    assert stage.host.published == 2
    assert stage.host.image(13, 102) is None
    assert stage.create("CfgSkill", tenantDBID=1, name="French") == 102


@pytest.mark.long
def test_a_writer_restarted_during_the_outage_serves_on(stage: Stage, server: Postgres) -> None:
    stage.create("CfgSkill", tenantDBID=1, name="English")
    stage.close()
    server.kill()
    try:
        stage.origin = stage.open()
        assert stage.host.link[0] == LINK_DOWN
        assert stage.refused(*skill("German")).startswith("MASTERDOWN the database is not there")
    finally:
        server.start()
    heal(stage)
    assert stage.create("CfgSkill", tenantDBID=1, name="German") == 102


def test_reads_subscriptions_and_sign_ins_go_on(server: Postgres, tmp_path: Path) -> None:
    """The server hangs, is killed, and comes back: the writer is the same all the time."""
    master = Master(tmp_path, url=server.new_url())
    with master.start(), master.client() as client:
        text = json.dumps({"tenantDBID": 1, "name": "English"})
        _, dbid = client.execute_command("CFG.CREATE", "CfgSkill", text)
        writer = master.child("writer").pid
        server.pause()
        try:
            with pytest.raises(redis.ResponseError, match="the database"):
                client.execute_command("CFG.CREATE", "CfgSkill", text.replace("English", "German"))
            wait_until(lambda: status(master)["link"] == "down", 10, "the status says so")
            assert status(master)["state"] == "ready"
            with master.client() as other:  # a new sign-in
                assert json.loads(other.get(f"CfgSkill:{dbid}"))["name"] == "English"
                subscriber = other.pubsub()
                subscriber.subscribe("cfg.notice")
                assert subscriber.get_message(timeout=5)["type"] == "subscribe"
                server.kill()
                server.start()
                wait_until(lambda: noticed(subscriber) == "fresh", 20, "the notice")
        finally:
            server.resume()
        wait_until(lambda: status(master)["link"] == "database", 20, "it heals")
        _, dbid = client.execute_command(
            "CFG.CREATE", "CfgSkill", text.replace("English", "German")
        )
        assert dbid == 102
        assert master.child("writer").pid == writer
        log = master.log_text()
        assert log.count("51317 writer: the database is lost: ") == 1
        assert "51318 writer: the database is back after" in log
        assert PASSWORD not in log


def noticed(subscriber: redis.client.PubSub) -> str:
    """The next notice, if one comes soon."""
    message = subscriber.get_message(timeout=1)
    return str(json.loads(message["data"])["op"]) if message else ""


def status(master: Master) -> dict[str, object]:
    found: dict[str, object] = json.loads(master.cli("status", "--json").stdout)
    return found


def test_a_server_that_is_not_there_is_said_without_the_password(tmp_path: Path) -> None:
    url = "postgresql://csp:open-sesame@127.0.0.1:1/centre"
    master = Master(tmp_path, url=url)
    master.start(ready=False)
    assert master.process is not None
    assert master.process.wait(20) == 3, master.log_text()
    assert "--db: the database can't be opened: connection failed" in master.log_text()
    assert "open-sesame" not in master.log_text()
    assert "Traceback" not in master.log_text()
