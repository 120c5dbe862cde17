"""The keys of tokens are made by the master alone, in time, and shown to nobody but stores."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, update

from csp.errors import UnknownOutcome
from csp.master import schema
from csp.master.load import accounts_of
from csp.model.entry import accounts_changed, parse_entry, why_not_continues
from csp.model.history import HistoryQuestion
from csp.model.image import json_of
from csp.model.token_keys import KEYS_DBID, ROTATE_MS, TOKENS, TokenKey, read_keys
from csp.model.types import ACCOUNT_CLASS_ID
from csp.observe import failpoint
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    yield found
    found.close()


def published(stage: Stage) -> tuple[TokenKey, ...]:
    """What the store and all proxies have."""
    return read_keys(json_of(stage.host.records[ACCOUNT_CLASS_ID, KEYS_DBID]))


def age(stage: Stage, ms: int) -> None:
    """Makes all keys older, as far as the next start can tell."""
    connection, table = stage.origin.database.connection, schema.token_keys
    with connection.begin():
        connection.execute(update(table).values(made_ms=table.c.made_ms - ms))


def test_a_new_database_has_a_key_from_its_first_revision(stage: Stage) -> None:
    (key,) = published(stage)
    assert (key.id, len(key.secret)) == (1, 32)
    assert stage.host.published == 1
    assert key.secret.hex() not in repr(key)
    assert key.derived(TOKENS) not in (key.secret, key.derived(b"another purpose"))


def test_the_last_two_keys_stay(stage: Stage) -> None:
    (first,) = published(stage)
    for id_ in (2, 3):
        age(stage, ROTATE_MS)
        stage.close()
        before, mark = stage.host.published, stage.host.mark
        stage.origin = stage.open()
        assert stage.host.published == before + 1
        assert why_not_continues(stage.host.entries[-1], mark) is None
        assert [key.id for key in published(stage)] == [id_ - 1, id_]
    assert first.secret not in [key.secret for key in published(stage)]
    with stage.origin.database.reading() as connection:
        assert len(connection.execute(select(schema.token_keys)).all()) == 2
    stage.close()
    stage.origin = stage.open()  # neither of them is old
    assert [key.id for key in published(stage)] == [2, 3]


def test_a_running_master_makes_one_when_it_is_time(stage: Stage) -> None:
    engine = stage.origin.engine
    assert not engine.rotate_keys()
    before = stage.host.published
    now_ms = engine.clock_ms()
    engine.clock_ms = lambda: now_ms + ROTATE_MS
    stage.origin.tick(10**9)
    assert stage.host.published == before + 1
    assert [key.id for key in published(stage)] == [1, 2]
    stage.create("CfgSkill", tenantDBID=1, name="after")
    assert stage.host.published == before + 2


def test_a_rotation_is_no_change_of_an_object_and_no_history(stage: Stage) -> None:
    engine = stage.origin.engine
    now_ms = engine.clock_ms()
    engine.clock_ms = lambda: now_ms + ROTATE_MS
    assert engine.rotate_keys()
    entry = stage.host.entries[-1]
    assert parse_entry(entry).items == ()
    assert list(accounts_changed(entry)) == [KEYS_DBID]
    *_, page = stage.records.history(HistoryQuestion(since=0, limit=10))
    assert page is not None
    assert len(page.records) == 1  # the first one
    for key in published(stage):
        for told in (entry, *page.records):
            assert key.secret not in told
            assert key.secret.hex().encode() not in told


def test_a_successor_that_lacks_the_rotation_gets_the_keys(stage: Stage) -> None:
    """The writer died after the commit: the entry comes from the database, the keys with it."""
    engine = stage.origin.engine
    now_ms = engine.clock_ms()
    engine.clock_ms = lambda: now_ms + ROTATE_MS
    before = dict(stage.host.records), stage.host.published, stage.host.mark
    assert engine.rotate_keys()
    keys = published(stage)
    entry = stage.host.entries.pop()
    stage.close()
    stage.host.records, stage.host.published, stage.host.mark = before
    stage.origin = stage.open()
    assert published(stage) == keys
    (image,) = accounts_of(stage.origin.database, entry)
    assert image == stage.host.records[ACCOUNT_CLASS_ID, KEYS_DBID]


def test_a_failed_rotation_is_tried_again(
    stage: Stage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = stage.origin.engine
    now_ms = engine.clock_ms()
    engine.clock_ms = lambda: now_ms + ROTATE_MS
    before = stage.host.published

    def refuse(place: str) -> None:
        if place == "master.after_entry":
            raise UnknownOutcome("as if")

    monkeypatch.setattr(failpoint, "passed", refuse)
    with pytest.raises(UnknownOutcome):
        engine.rotate_keys()
    assert stage.host.published == before
    monkeypatch.undo()
    assert engine.rotate_keys()
    assert [key.id for key in published(stage)] == [1, 2]
