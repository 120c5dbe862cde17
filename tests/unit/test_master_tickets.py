"""Kerberos tickets that were used: each once, for minutes, whatever becomes of writer and clock."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import pytest
from sqlalchemy import func, select

from csp.errors import BadValue, Busy, MasterDown
from csp.master import schema, tickets
from csp.master.tickets import KEPT_MS, Tickets
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    yield found
    found.close()


class Clock:
    """One that a test turns."""

    def __init__(self) -> None:
        self.ms = 1_000_000

    def __call__(self) -> int:
        return self.ms


def digest(number: int) -> str:
    return hashlib.sha256(b"%d" % number).hexdigest()


def rows(stage: Stage) -> int:
    connection = stage.origin.database.connection
    with connection.begin():
        count = select(func.count()).select_from(schema.tickets)
        return int(connection.execute(count).scalar_one())


def save(stage: Stage) -> None:
    while stage.origin._tickets.save(stage.origin.database.connection):
        pass


def test_a_ticket_is_used_once() -> None:
    known = Tickets()
    assert known.take(digest(1))
    assert known.take(digest(2))
    assert not known.take(digest(1))
    assert not known.take(digest(2))


def test_it_is_kept_for_as_long_as_a_library_could_take_it() -> None:
    now = Clock()
    known = Tickets(now)
    known.take(digest(1))
    now.ms += KEPT_MS - 1
    assert not known.take(digest(1))
    now.ms += 1
    assert known.take(digest(1))
    assert len(known) == 1


@pytest.mark.parametrize("text", ["", "x" * 64, digest(1)[:-1], digest(1).upper(), digest(1) + "0"])
def test_what_is_no_digest_is_refused(text: str) -> None:
    with pytest.raises(BadValue):
        Tickets().take(text)


def test_where_there_is_no_room_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "TICKETS_MAX", 2)
    now = Clock()
    known = Tickets(now)
    assert known.take(digest(1))
    assert known.take(digest(2))
    with pytest.raises(Busy):
        known.take(digest(3))
    assert not known.take(digest(1))  # nothing was let go for it
    now.ms += KEPT_MS
    assert known.take(digest(3))


def test_a_restarted_writer_knows_them_and_keeps_them_as_long_again(stage: Stage) -> None:
    before = stage.host.published
    assert stage.origin.use_ticket(digest(1))
    save(stage)
    stage.origin.use_ticket(digest(2))
    stage.close()  # which saves what waits
    stage.origin = stage.open()
    assert not stage.origin.use_ticket(digest(1))
    assert not stage.origin.use_ticket(digest(2))
    assert stage.origin.use_ticket(digest(3))
    assert stage.host.published == before


def test_what_is_over_leaves_the_database(stage: Stage) -> None:
    now = Clock()
    stage.origin._tickets = Tickets(now)
    for number in range(3):
        stage.origin.use_ticket(digest(number))
    save(stage)
    assert rows(stage) == 3
    now.ms += KEPT_MS
    stage.origin.use_ticket(digest(7))
    save(stage)
    assert rows(stage) == 1


def test_many_go_in_steps(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tickets, "STEP_ROWS_MAX", 2)
    for number in range(5):
        stage.origin.use_ticket(digest(number))
    assert stage.origin._tickets.save(stage.origin.database.connection)
    assert rows(stage) == 2
    save(stage)
    assert rows(stage) == 5


def test_a_master_that_was_replaced_knows_nothing_any_more(stage: Stage) -> None:
    stage.origin.engine.end("another master writes")
    with pytest.raises(MasterDown):
        stage.origin.use_ticket(digest(1))
