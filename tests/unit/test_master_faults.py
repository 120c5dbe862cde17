"""What nobody foresaw, before the commit: an answer and an event with its trace, nothing else."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from sqlalchemy import insert
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
    for text in (line, *[one.getMessage() for one in caplog.records]):
        assert SECRET not in text
        assert "argon2" not in text
    assert stage.create("CfgSkill", tenantDBID=1, name="English") == 101


def test_no_text_of_the_database_has_the_values_of_a_statement(seeded: Place) -> None:
    found = Database(seeded.url)
    row = {"class_id": 3, "dbid": 1, "user_name": "ann", "algorithm": "a", "hash": SECRET,
           "revision": 1}  # fmt: skip
    with pytest.raises(IntegrityError) as caught, found.connection.begin():
        found.connection.execute(insert(schema.accounts), [row, row])
    assert SECRET not in str(caught.value)
    found.close()
