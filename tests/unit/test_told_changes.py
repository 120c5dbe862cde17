"""What of the history an account is told: what it may read, and nothing is counted beside."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from csp.model.history import HistoryQuestion, joined
from csp.model.places import Place
from csp.model.rights import ALL, READ, READ_PERMISSIONS
from csp.model.symbolic import parse_key
from csp.worker.told_changes import told

ACTOR = {"account": "CfgPerson:7", "application": "desk", "address": "192.0.2.7:1"}


class Rights:
    """What is said to be readable is; `gone` is not there."""

    def __init__(
        self, *readable: str, gone: Iterable[str] = (), within: Iterable[str] = (),
        permissions: Iterable[str] = (), administers: bool = False,
    ) -> None:  # fmt: skip
        self._on = {_place(key): READ for key in readable}
        self._on |= {_place(key): READ_PERMISSIONS | READ for key in permissions}
        self._gone = {_place(key) for key in gone}
        self._within = {_place(key) for key in within}
        self.administers = administers

    def on(self, place: Place) -> int:
        return 0 if place in self._gone else self._on.get(place, 0)

    def within(self, container: Place) -> int:
        return ALL if container in self._within else 0

    def exists(self, place: Place) -> bool:
        return place not in self._gone


def _place(key: str) -> Place:
    cls, dbid = parse_key(key)
    return cls.id, dbid


def record(*lines: list[Any], shown: int | None = None, actor: Any = ACTOR, id: str = "") -> bytes:
    """A record of these changes as the master tells it, of which some are shown."""
    shown = len(lines) if shown is None else shown
    found: dict[str, Any] = {"revision": 48, "time": 1, "actor": actor}
    if id:
        found["id"] = id
    found["changes"] = [{"op": one[0], "class": one[1], "DBID": one[2]} for one in lines[:shown]]
    if shown < len(lines):
        found["omitted"] = len(lines) - shown
    return joined(orjson.dumps(found), list(lines))


def asked(told_: bytes, rights: Rights, *filters: tuple[str, str]) -> dict[str, Any] | None:
    """The record as the account gets it."""
    steps = told(told_, HistoryQuestion(0, 10, filters), lambda: rights)
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return None if end.value is None else orjson.loads(end.value)


def keys(found: dict[str, Any] | None) -> list[str]:
    return [f"{one['class']}:{one['DBID']}" for one in (found or {"changes": []})["changes"]]


UPDATES = (["update", "CfgSkill", 1], ["update", "CfgSkill", 2], ["create", "CfgPlace", 3])


def test_each_change_is_told_to_who_may_read_its_object_now() -> None:
    everything = Rights("CfgPerson:7", "CfgSkill:1", "CfgSkill:2", "CfgPlace:3")
    assert keys(asked(record(*UPDATES), everything)) == ["CfgSkill:1", "CfgSkill:2", "CfgPlace:3"]
    assert keys(asked(record(*UPDATES), Rights("CfgPerson:7", "CfgSkill:2"))) == ["CfgSkill:2"]


def test_of_a_record_without_anything_readable_nothing_is_told() -> None:
    assert asked(record(*UPDATES), Rights("CfgPerson:7")) is None


@pytest.mark.parametrize("administers", [False, True])
def test_an_administrator_is_told_of_no_object_that_is_hidden_from_him(administers: bool) -> None:
    assert asked(record(*UPDATES), Rights("CfgPerson:7", administers=administers)) is None


def test_who_it_was_is_told_to_who_may_read_that_account() -> None:
    one = record(*UPDATES, id="w1")
    found = asked(one, Rights("CfgPerson:7", "CfgSkill:1"))
    assert found is not None
    assert (found["actor"], found["id"]) == (ACTOR, "w1")
    found = asked(one, Rights("CfgSkill:1"))
    assert found is not None
    assert not found.keys() & {"actor", "id"}


def test_of_who_is_gone_administrators_are_told() -> None:
    by_gone = Rights("CfgSkill:1", gone=["CfgPerson:7"])
    assert "actor" not in (asked(record(*UPDATES), by_gone) or {})
    by_gone.administers = True
    assert (asked(record(*UPDATES), by_gone) or {})["actor"] == ACTOR
    itself = asked(record(*UPDATES, actor={}), Rights("CfgSkill:1"))
    assert (itself or {})["actor"] == {}, "the server hides from nobody"


@pytest.mark.parametrize(
    "asks",
    [("account", "CfgPerson:7"), ("application", "desk"), ("address", "192.0.2.7:1"), ("id", "w1")],
)
def test_no_question_for_a_hidden_actor_finds_what_he_did(asks: tuple[str, str]) -> None:
    one = record(*UPDATES, id="w1")
    assert asked(one, Rights("CfgSkill:1"), asks) is None
    assert asked(one, Rights("CfgPerson:7", "CfgSkill:1"), asks) is not None


def test_no_question_for_a_hidden_object_finds_what_else_changed_with_it() -> None:
    one = record(*UPDATES)
    mine = Rights("CfgPerson:7", "CfgSkill:1")
    assert asked(one, mine, ("key", "CfgSkill:1")) is not None
    assert asked(one, mine, ("key", "CfgSkill:2")) is None
    assert asked(one, mine, ("class", "CfgPlace")) is None
    assert asked(one, mine, ("op", "create")) is None


def test_what_is_omitted_is_counted_as_far_as_it_is_readable() -> None:
    one = record(*UPDATES, shown=1)
    assert (asked(one, Rights("CfgSkill:1", "CfgPlace:3")) or {})["omitted"] == 1
    assert "omitted" not in (asked(one, Rights("CfgSkill:1")) or {})
    hidden_first = asked(one, Rights("CfgSkill:2", "CfgPlace:3"))
    assert hidden_first is not None
    assert (hidden_first["changes"], hidden_first["omitted"]) == ([], 2)
    assert asked(one, Rights()) is None


DELETION = ["delete", "CfgSkill", 1, "CfgFolder:5"]


def test_a_deletion_is_told_to_who_may_read_what_lies_there_now() -> None:
    gone = {"gone": ["CfgSkill:1"]}
    assert keys(asked(record(DELETION), Rights(**gone, within=["CfgFolder:5"]))) == ["CfgSkill:1"]
    assert asked(record(DELETION), Rights(**gone, within=["CfgFolder:6"])) is None
    assert asked(record(DELETION), Rights("CfgFolder:5", **gone)) is None, "the folder alone"
    assert asked(record(DELETION), Rights(**gone, administers=True)) is not None


def test_what_had_grants_of_its_own_and_all_before_its_end_is_for_administrators() -> None:
    there = Rights(gone=["CfgSkill:1"], within=["CfgFolder:5"])
    for line in (["delete", "CfgSkill", 1], ["update", "CfgSkill", 1], ["grant", "CfgSkill", 1]):
        assert asked(record(line), there) is None
        assert asked(record(line), Rights(gone=["CfgSkill:1"], administers=True)) is not None


def test_grants_are_told_to_who_may_read_the_permissions() -> None:
    """F87."""
    line = ["grant", "CfgFolder", 5]
    assert asked(record(line), Rights("CfgFolder:5")) is None
    assert asked(record(line), Rights(permissions=["CfgFolder:5"])) is not None


def test_a_record_of_thousands_is_judged_in_steps() -> None:
    lines = [["update", "CfgSkill", dbid] for dbid in range(1, 2001)]
    steps = told(record(*lines), HistoryQuestion(0, 10), lambda: Rights("CfgSkill:7"))
    assert sum(1 for _ in steps) == 10
