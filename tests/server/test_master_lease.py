"""What masters of one database do about its lease, by their own clocks; no process dies here."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from csp.errors import MasterDown, NoRef
from csp.exits import EXIT_REFUSED
from csp.master import schema, statements
from csp.master.driver import Driver
from csp.master.postgres import Timeline
from csp.master.seat import LEASE_MS, Holder
from csp.model.sessions import batch_of
from csp.observe.clock import steady_ms, wall_ms
from csp.process.context import StartRefused
from csp.process.standing import ROLE_BACKUP, ROLE_PRIMARY, ROLE_SINGLE
from csp.store.control import LINK_STALE, LINK_UP, link_now
from tests.neighbours.databases import PostgresPlace, SqlitePlace, seeded_postgres
from tests.neighbours.postgres import Postgres
from tests.neighbours.waiting import wait_until
from tests.unit.fake_loop import FakeControl
from tests.unit.master_stage import Stage

pytestmark = pytest.mark.needs("postgres")

SKILL = ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "English"})


@pytest.fixture
def place(postgres: Postgres) -> Iterator[PostgresPlace]:
    place = PostgresPlace(postgres, seeded_postgres(postgres))
    yield place
    place.give_back()


@pytest.fixture
def pair(place: PostgresPlace) -> Iterator[tuple[Stage, Stage]]:
    """The primary, and who stands by and was seen."""
    stages = [Stage(place, Holder(name, name, "here", "boot")) for name in ("one", "two")]
    wait_until(turning(stages, lambda: stages[0].host.standing.peer == "two"), 10, "it is seen")
    yield stages[0], stages[1]
    for stage in stages:
        stage.close()


def turning(stages: list[Stage], condition: Callable[[], bool]) -> Callable[[], bool]:
    """The condition, after one more turn of each."""

    def turn() -> bool:
        for stage in stages:
            stage.origin.watches()
            stage.origin.tick(time.monotonic_ns() // 1_000_000)
        return condition()

    return turn


def test_who_comes_second_stands_by_and_follows(pair: tuple[Stage, Stage]) -> None:
    first, second = pair
    assert (first.host.standing.role, first.host.standing.serving) == (ROLE_PRIMARY, True)
    assert (second.host.standing.role, second.host.standing.serving) == (ROLE_BACKUP, False)
    assert first.host.standing.why_not == second.host.standing.why_not == ""
    first.create("CfgSkill", tenantDBID=1, name="German")
    wait_until(turning([second], lambda: second.host.published == first.host.published), 5)
    assert second.host.records == first.host.records
    assert second.host.link[0] == LINK_UP
    said = second.write(*SKILL).error
    assert said is not None
    assert said.line.startswith("MASTERDOWN this master stands by as the backup of one, ")
    with pytest.raises(MasterDown):
        second.origin.head()
    with pytest.raises(MasterDown):
        second.origin.switch_over()


def test_a_hand_over_takes_no_lease_and_loses_nothing(pair: tuple[Stage, Stage]) -> None:
    first, second = pair
    first.create("CfgSkill", tenantDBID=1, name="German")
    answers: list[object] = []
    began = time.monotonic()
    first.origin.switch_over().then(answers.append)
    refused = first.write(*SKILL).error
    assert isinstance(refused, MasterDown)
    assert first.host.standing.role == ROLE_BACKUP
    wait_until(turning([second], lambda: second.host.standing.serving), 10, "it takes over")
    assert time.monotonic() - began < LEASE_MS / 1000
    assert second.create("CfgSkill", tenantDBID=1, name="English") == 102
    wait_until(turning([first], lambda: bool(answers)), 5, "who asked is answered")
    assert answers == [None]
    wait_until(turning([first], lambda: first.host.published == second.host.published), 5)
    assert first.host.records == second.host.records


def test_records_of_sessions_outlast_that_the_lease_goes_to_and_fro(
    pair: tuple[Stage, Stage],
) -> None:
    def kept_of(stage: Stage) -> int:
        with stage.origin.database.connection.begin():
            count = select(func.count()).select_from(schema.session_log)
            return int(stage.origin.database.connection.execute(count).scalar_one())

    for number, (stage, other) in enumerate((pair, pair[::-1], pair), 1):
        stage.origin.note_sessions(batch_of([{"time": wall_ms(), "what": "sign-in"}]))
        assert stage.origin._sessions.write(stage.origin.database)
        assert kept_of(stage) == number
        if number == 3:
            break
        seen = lambda: stage.host.standing.peer_state == "ready"  # noqa: B023, E731
        wait_until(turning([*pair], seen), 10, "the other one is seen")
        stage.origin.switch_over()
        serves = lambda: other.host.standing.serving  # noqa: B023, E731
        wait_until(turning([*pair], serves), 10, "the other one takes over")


def test_a_backup_that_does_not_take_is_no_end(pair: tuple[Stage, Stage]) -> None:
    first, _ = pair
    answers: list[object] = []
    first.origin.switch_over().then(answers.append)  # and the other one has no turn any more
    wait_until(turning([first], lambda: first.host.standing.serving), 15, "it takes it back")
    assert isinstance(answers[0], MasterDown)
    assert first.create("CfgSkill", tenantDBID=1, name="English") == 101


def test_a_clean_stop_leaves_it_at_once(pair: tuple[Stage, Stage]) -> None:
    first, second = pair
    began = time.monotonic()
    first.origin.note_stop()
    first.origin.close()
    wait_until(turning([second], lambda: second.host.standing.serving), 10, "it takes over")
    assert time.monotonic() - began < LEASE_MS / 1000


def test_who_was_replaced_unseen_tells_no_head_and_commits_nothing(
    pair: tuple[Stage, Stage],
) -> None:
    """As after a pause: it has not looked at its database since."""
    first, second = pair
    stands_still = turning([second], lambda: second.host.standing.serving)
    wait_until(stands_still, 15, "it takes over from who stands still")
    assert second.create("CfgSkill", tenantDBID=1, name="German") == 101
    with pytest.raises(MasterDown):
        first.origin.head()
    refused = first.write(*SKILL).error
    assert isinstance(refused, MasterDown)
    level = turning([first], lambda: first.host.records == second.host.records)
    wait_until(level, 15, "it follows")
    assert first.host.standing.role == ROLE_BACKUP


def test_a_commit_that_hangs_half_way_delays_nobody(pair: tuple[Stage, Stage]) -> None:
    """As of a machine that was stopped amid its statements: no limit of its server ends that."""
    first, second = pair
    database = first.origin.database
    values: dict[str, object] = {
        "fence_": database.fence,
        "revision_": first.host.published,
        "moves": 1,
    }
    values |= {"mark": "0" * 16, "time_ms": 0}
    began = time.monotonic()
    connection = database.connection
    with contextlib.suppress(SQLAlchemyError), connection.begin(), Driver.together(connection):
        cursor = database.driver.run(connection, statements.MOVE_HEAD, [values])
        assert cursor.connection.pgconn.flush() == 0
        serves = turning([second], lambda: second.host.standing.serving)
        wait_until(serves, 15, "it takes over from who hangs")
        took_seconds = time.monotonic() - began
    assert took_seconds < LEASE_MS / 1000 + 1.4  # a wait for the row takes longer
    assert second.create("CfgSkill", tenantDBID=1, name="German") == 101
    level = turning([first], lambda: first.host.records == second.host.records)
    wait_until(level, 15, "who hung follows")


def test_who_stood_by_serves_nobody_until_it_knows(pair: tuple[Stage, Stage]) -> None:
    """Who starts anew from memory while its database is away, and who served before."""
    for stage, is_serving in zip(pair, (True, False), strict=True):
        stage.origin.close()
        stage.address = "postgresql://nobody@/none?host=/nowhere"
        stage.host.fence = 0
        stage.origin = stage.open()
        assert stage.host.standing.serving is is_serving
        assert stage.host.standing.role == (ROLE_SINGLE if is_serving else ROLE_BACKUP)
        assert isinstance(stage.write(*SKILL).error, MasterDown)


def test_freshness_ends_with_the_lease(place: PostgresPlace) -> None:
    stage = Stage(place)
    now_ms = steady_ms()
    assert now_ms < stage.host.until_ms <= now_ms + LEASE_MS
    paused = FakeControl(links=(0, 10, 1), link_wall_ms=now_ms - 1)
    assert link_now(paused)[0] == LINK_STALE
    assert stage.host.standing.role == ROLE_SINGLE
    with pytest.raises(NoRef):
        stage.origin.switch_over()
    stage.close()


def test_of_several_hosts_the_one_that_takes_writes_is_used(place: PostgresPlace) -> None:
    server = place.server
    hosts, ports = f"/nowhere,{server.folder}", f"1,{server.port}"
    stage = Stage(f"postgresql://{server.user}@/{place.name}?host={hosts}&port={ports}")
    assert stage.create("CfgSkill", tenantDBID=1, name="English") == 101
    stage.close()


def test_a_server_of_an_older_timeline_is_refused(postgres: Postgres) -> None:
    seen = Timeline()
    with postgres.connect() as connection:
        seen.see(connection)  # type: ignore[arg-type]
    seen._newest += 1  # as after a failover
    with postgres.connect() as connection, pytest.raises(MasterDown, match="timeline 1, and 2 was"):
        seen.see(connection)  # type: ignore[arg-type]


def test_a_file_has_one_master(tmp_path: Path) -> None:
    first = Stage(SqlitePlace(tmp_path))
    with pytest.raises(StartRefused, match="another master works on the file") as refused:
        Stage(SqlitePlace(tmp_path))
    assert refused.value.exit_code == EXIT_REFUSED
    assert first.create("CfgSkill", tenantDBID=1, name="English") == 101
    first.close()
    second = Stage(SqlitePlace(tmp_path))
    assert second.create("CfgSkill", tenantDBID=1, name="German") == 102
    second.close()
