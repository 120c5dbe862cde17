"""The row of a pair of proxies is changed one number at a time, and reaches all stores."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from csp.errors import BadValue, Conflict, NoRef
from csp.master.load import accounts_of
from csp.model.entry import accounts_changed, parse_entry, why_not_continues
from csp.model.history import HistoryQuestion
from csp.model.image import json_of
from csp.model.pairs import PAIRS_DBID, PairRow, read_pairs
from csp.model.types import ACCOUNT_CLASS_ID
from tests.neighbours.databases import Place
from tests.unit.fake_host import FakeHost
from tests.unit.master_stage import Stage


@pytest.fixture
def stage(place: Place) -> Iterator[Stage]:
    found = Stage(place)
    yield found
    found.close()


def make_pair(stage: Stage, name: str) -> tuple[int, int]:
    """Two Applications of a pair: the configured primary, and the other."""
    prototype = stage.create("CfgAppPrototype", name=f"of {name}", type="configurationserver")
    common = {
        "appPrototypeDBID": prototype,
        "isServer": True,
        "tenantDBIDs": [1],
        "workDirectory": ".",
        "commandLine": "csp",
    }
    backup = stage.create("CfgApplication", name=f"{name}-2", **common)
    primary = stage.create(
        "CfgApplication",
        name=f"{name}-1",
        redundancyType="htwarmstanby",
        serverInfo={"backupServerDBID": backup},
        **common,
    )
    return primary, backup


def published(stage: Stage) -> dict[int, PairRow]:
    """What the store and all proxies have."""
    return read_pairs(json_of(stage.host.records[ACCOUNT_CLASS_ID, PAIRS_DBID]))


def test_a_row_goes_on_by_the_next_number(stage: Stage) -> None:
    primary, backup = make_pair(stage, "a")
    assert (ACCOUNT_CLASS_ID, PAIRS_DBID) not in stage.host.records
    before, mark = stage.host.published, stage.host.mark
    revision = stage.origin.take_row(PairRow(primary, 1, backup))
    assert revision == stage.host.published == before + 1
    assert why_not_continues(stage.host.entries[-1], mark) is None
    assert published(stage) == {primary: PairRow(primary, 1, backup)}
    stage.origin.take_row(PairRow(primary, 2, primary))
    assert published(stage) == {primary: PairRow(primary, 2, primary)}


def test_of_two_who_ask_at_once_one_is_told_what_there_is(stage: Stage) -> None:
    primary, backup = make_pair(stage, "a")
    stage.origin.take_row(PairRow(primary, 1, backup))
    before = stage.host.published
    for number in (0, 1, 3):
        with pytest.raises(Conflict, match=rf"at number 1: {backup} serves"):
            stage.origin.take_row(PairRow(primary, number, primary))
    assert stage.host.published == before


def test_what_is_no_pair_gets_no_row(stage: Stage) -> None:
    primary, backup = make_pair(stage, "a")
    with pytest.raises(BadValue, match=f"{primary} or {backup}"):
        stage.origin.take_row(PairRow(primary, 1, 99))
    for pair in (backup, 99, 12345):
        with pytest.raises(NoRef, match="no primary of a pair"):
            stage.origin.take_row(PairRow(pair, 1, primary))


def test_the_rows_of_all_pairs_come_back_with_a_start(stage: Stage) -> None:
    found = {}
    for name in ("a", "b"):
        primary, backup = make_pair(stage, name)
        found[primary] = PairRow(primary, 1, backup)
        stage.origin.take_row(found[primary])
    record = stage.host.records[ACCOUNT_CLASS_ID, PAIRS_DBID]
    stage.close()
    stage.host = FakeHost()
    stage.origin = stage.open()
    assert published(stage) == found
    assert stage.host.records[ACCOUNT_CLASS_ID, PAIRS_DBID] == record
    for pair, row in found.items():
        with pytest.raises(Conflict):
            stage.origin.take_row(row)
        stage.origin.take_row(PairRow(pair, 2, pair))


def test_a_row_is_no_change_of_an_object_and_no_history(stage: Stage) -> None:
    primary, backup = make_pair(stage, "a")
    before = stage.host.published
    stage.origin.take_row(PairRow(primary, 1, backup))
    entry = stage.host.entries[-1]
    assert parse_entry(entry).items == ()
    assert list(accounts_changed(entry)) == [PAIRS_DBID]
    (image,) = accounts_of(stage.origin.database, entry)
    assert image == stage.host.records[ACCOUNT_CLASS_ID, PAIRS_DBID]
    *_, page = stage.records.history(HistoryQuestion(since=before, limit=10))
    assert page is not None
    assert page.records == []
