"""What nobody foresaw, before the commit: an answer and an event with its trace, nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.exc import IntegrityError

from csp.master import schema
from csp.master.database import Database
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage

SECRET = "a hash to keep to oneself"


@pytest.fixture
def stage(seeded: Place) -> Iterator[Stage]:
    found = Stage(seeded)
    yield found
    found.close()


def faults(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [one.getMessage() for one in caplog.records if getattr(one, "event", "") == "51350"]


def test_a_fault_of_one_write_harms_no_other(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise AttributeError("no such thing")

    with monkeypatch.context() as patched:
        patched.setattr("csp.rules.assemble.fill_in", broken)
        line = stage.refused("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": "English"})
    assert line.startswith("ERR internal error (AttributeError): nothing was changed")
    (told,) = faults(caplog)
    assert "no such thing" in told
    assert "assemble.py" in told
    assert stage.create("CfgSkill", tenantDBID=1, name="English") == 101


def test_what_the_database_refuses_by_no_rule_is_told_without_its_values(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """A row that no object has: as an inconsistent database holds one."""
    caplog.set_level(logging.DEBUG)
    with stage.origin.database.connection.begin():
        stage.origin.database.connection.execute(
            insert(schema.objects),
            [{"class_id": 3, "dbid": 101, "tenant": 1, "folder": 1, "revision": 1, "body": "{}"}],
        )
    ann = {"tenantDBID": 1, "userName": "ann", "employeeID": "e", "password": SECRET}
    line = stage.refused("CFG.CREATE", "CfgPerson", ann)
    assert line.startswith("ERR internal error (IntegrityError)")
    (told,) = faults(caplog)
    assert "constraint" in told
    for words in (line, *[one.getMessage() for one in caplog.records]):
        assert SECRET not in words
        assert "argon2" not in words
    assert stage.create("CfgSkill", tenantDBID=1, name="English") == 101


def test_no_text_of_the_database_has_the_values_of_a_statement(seeded: Place) -> None:
    found = Database(seeded.url)
    row = {"class_id": 3, "dbid": 1, "user_name": "ann", "algorithm": "a", "hash": SECRET,
           "revision": 1}  # fmt: skip
    with pytest.raises(IntegrityError) as caught, found.connection.begin():
        found.connection.execute(insert(schema.accounts), [row, row])
    assert SECRET not in str(caught.value)
    found.close()


def test_a_change_is_made_though_its_record_of_the_history_cannot_be_written(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    """Event 22138 tells it; the log of changes and the outcome of the write are there."""

    def rename(name: str, other: str) -> None:
        with stage.origin.database.connection.begin():
            words = f"ALTER TABLE {name} RENAME TO {other}"
            stage.origin.database.connection.execute(text(words))

    caplog.set_level(logging.WARNING)
    rename("history", "elsewhere")
    skill = {"tenantDBID": 1, "name": "English"}
    revision = stage.write("CFG.CREATE", "CfgSkill", skill, write_id="w1").revision
    assert stage.host.published == revision
    assert stage.outcome("w1") == f"committed {revision}"
    (told,) = [one.getMessage() for one in caplog.records if getattr(one, "event", "") == "22138"]
    assert told.startswith("1 records of changes were not written: ")
    assert "history" in told
    rename("elsewhere", "history")
    assert stage.create("CfgSkill", tenantDBID=1, name="German") == 102
    with stage.origin.database.connection.begin():
        kept = stage.origin.database.connection.execute(select(schema.history.c.revision)).all()
    assert revision not in [one.revision for one in kept]
    assert revision + 1 in [one.revision for one in kept]
