"""Pages of change records: their ends, what is left of old ones, passwords that came hashed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import delete, update

from csp.errors import BadValue
from csp.master import history, schema
from csp.model.history import HistoryPage, HistoryQuestion, parts_of
from tests.neighbours.databases import Place
from tests.unit.master_stage import Stage


@pytest.fixture
def stage(seeded: Place) -> Iterator[Stage]:
    stage = Stage(seeded)
    yield stage
    stage.close()


def page(stage: Stage, since: int = 0, limit: int = 100, *filters: tuple[str, str]) -> HistoryPage:
    *_, found = stage.records.history(HistoryQuestion(since, limit, filters))
    assert found is not None
    return found


def shown(found: HistoryPage) -> list[dict[str, Any]]:
    return [json.loads(parts_of(record)[0]) for record in found.records]


def test_a_page_ends_after_the_rows_that_it_may_look_through(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "STEP_ROWS", 2)
    monkeypatch.setattr(history, "SCAN_MAX", 4)
    for number in range(7):
        stage.create("CfgSkill", tenantDBID=1, name=f"s{number}")
    wanted = ("key", f"CfgSkill:{stage.create('CfgSkill', tenantDBID=1, name='last')}")
    since, pages = 0, []
    while True:
        found = page(stage, since, 100, wanted)
        pages.append(found)
        since = found.following
        if since == 0:
            break
    assert [len(one.records) for one in pages[:2]] == [0, 0]
    assert sum(len(one.records) for one in pages) == 1


def test_a_page_ends_at_its_bytes(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PAGE_BYTES_MAX", 1)
    stage.create("CfgSkill", tenantDBID=1, name="one")
    first = page(stage)
    assert len(first.records) == 1
    assert first.following == 1
    assert page(stage, first.following).following == 0


def test_what_was_pruned_keeps_who_when_and_which(stage: Stage) -> None:
    dbid = stage.create("CfgSkill", tenantDBID=1, name="old")
    (before,) = shown(page(stage, 1))
    assert before["changes"][0]["object"]["name"] == "old"
    with stage.origin.database.connection.begin():
        stage.origin.database.connection.execute(update(schema.history).values(details=None))
        stage.origin.database.connection.execute(delete(schema.entries))
    (after,) = shown(page(stage, 1))
    assert after["changes"] == [{"op": "create", "class": "CfgSkill", "DBID": dbid}]
    assert (after["time"], after["actor"]) == (before["time"], before["actor"])


def test_of_a_large_change_the_rest_is_counted(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history, "DETAIL_BYTES_MAX", 0)
    monkeypatch.setattr(history, "CHANGES_SHOWN_MAX", 3)
    stage.create("CfgTenant", name="North")  # with its folders
    (large,) = shown(page(stage, stage.host.published - 1))
    assert len(large["changes"]) == 3
    assert large["omitted"] > 10


def test_what_was_changed_is_told_after_the_log_has_gone(stage: Stage) -> None:
    dbid = stage.create("CfgSkill", tenantDBID=1, name="old")
    stage.update("CfgSkill", dbid, {"changed": {"name": "new"}})
    stage.delete("CfgSkill", dbid)
    before = shown(page(stage, 1))
    with stage.origin.database.connection.begin():
        stage.origin.database.connection.execute(delete(schema.entries))
    assert shown(page(stage, 1)) == before
    made, changed, gone = (one["changes"][0] for one in before)
    assert made["object"]["name"] == "old"
    assert changed["base"] == 2
    assert changed["delta"] == {"changed": {"name": "new"}}
    assert gone == {"op": "delete", "class": "CfgSkill", "DBID": dbid}
    assert all("actor" not in one and "time" not in one for one in (made, changed, gone))


@pytest.mark.parametrize("pair", [("op", "made"), ("class", "Nothing"), ("hat", "1"), ("key", "1")])
def test_filters_are_checked(pair: tuple[str, str]) -> None:
    with pytest.raises(Exception, match=r"made|Nothing|hat|1") as refused:
        HistoryQuestion(0, 1, (pair,))
    assert pair[0] != "hat" or isinstance(refused.value, BadValue)


def test_a_password_is_refused_if_it_was_changed_meanwhile(stage: Stage) -> None:
    account = stage.origin.database.account(3, 100)
    words = ("CFG.PASSWORD", "100", str(account.revision + 1), "argon2id", "$argon2id$x")
    assert "changed meanwhile" in stage.refused(*words)
    done = stage.write("CFG.PASSWORD", "100", str(account.revision), "argon2id", "$argon2id$x")
    assert done.error is None
    kept = stage.origin.database.account(3, 100)
    assert (kept.hash, kept.revision) == ("$argon2id$x", done.revision)
    assert "argon2" not in page(stage, done.revision - 1).records[0].decode()
