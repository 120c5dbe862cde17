"""Random transactions at the master against a model made of dictionaries."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from csp.model.entry import parse_entry
from tests.effort import examples
from tests.neighbours.databases import lent
from tests.neighbours.postgres import Postgres
from tests.unit.master_stage import Stage

NAMES = ("a", "b", "c", "ä", "A")
PLACES_MAX = 6

Step = tuple[str, int, Any]  # a transaction is some of them, a group some of those

steps = st.lists(
    st.one_of(
        st.tuples(st.just("skill"), st.just(0), st.sampled_from(NAMES)),
        st.tuples(st.just("person"), st.integers(0, PLACES_MAX), st.sampled_from(NAMES)),
        st.tuples(st.just("rename"), st.integers(0, PLACES_MAX), st.sampled_from(NAMES)),
        st.tuples(st.just("forget"), st.integers(0, PLACES_MAX), st.just(None)),
        st.tuples(st.just("learn"), st.integers(0, PLACES_MAX), st.integers(0, PLACES_MAX)),
    ),
    min_size=1,
    max_size=6,
)
groups = st.lists(st.lists(steps, min_size=1, max_size=5), min_size=1, max_size=6)


class Refused(Exception):
    """What the model says of a transaction that breaks a rule."""


class Model:
    """Skills by DBID, persons by DBID with their skills: what a master should hold."""

    def __init__(self) -> None:
        self.skills: dict[int, str] = {}
        self.persons: dict[int, tuple[str, tuple[int, ...]]] = {}
        self.next = {"skill": 101, "person": 101}

    def copy(self) -> Model:
        other = Model()
        other.skills, other.persons = dict(self.skills), dict(self.persons)
        other.next = dict(self.next)
        return other

    def give(self, kind: str) -> int:
        self.next[kind] += 1
        return self.next[kind] - 1

    def run(self, transaction: list[Step]) -> Model:
        """The model after the transaction; Refused leaves this one as it is."""
        new = self.copy()
        for step in transaction:
            new.step(*step)
        new.check()
        return new

    def step(self, kind: str, at: int, what: Any) -> None:
        if kind == "skill":
            self.skills[self.give("skill")] = what
        elif kind == "person":
            self.persons[self.give("person")] = (what, (101 + at,))
        elif kind == "rename":
            self.present(self.skills, 101 + at)
            self.skills[101 + at] = what
        elif kind == "forget":
            self.present(self.skills, 101 + at)
            del self.skills[101 + at]
            self.persons = {
                dbid: (name, tuple(one for one in skills if one != 101 + at))
                for dbid, (name, skills) in self.persons.items()
            }
        else:
            self.present(self.persons, 101 + at)
            name, skills = self.persons[101 + at]
            if 101 + what in skills:
                raise Refused("UNIQUE")
            self.persons[101 + at] = (name, (*skills, 101 + what))

    def check(self) -> None:
        names = list(self.skills.values())
        users = [name for name, _ in self.persons.values()]
        if len(set(names)) < len(names) or len(set(users)) < len(users):
            raise Refused("UNIQUE")
        for _, skills in self.persons.values():
            if any(one not in self.skills for one in skills):
                raise Refused("NOREF")

    @staticmethod
    def present(objects: dict[int, Any], dbid: int) -> None:
        if dbid not in objects:
            raise Refused("BADKEY")


def command(kind: str, at: int, what: Any) -> tuple[Any, ...]:
    if kind == "skill":
        return ("CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": what})
    if kind == "person":
        info = {"skillLevels": [{"skillDBID": 101 + at, "level": 1}]}
        return ("CFG.CREATE", "CfgPerson", {"tenantDBID": 1, "userName": what, "employeeID": what,
                                            "isAgent": True, "agentInfo": info})  # fmt: skip
    if kind == "rename":
        return ("CFG.UPDATE", "CfgSkill", 101 + at, {"changed": {"name": what}})
    if kind == "forget":
        return ("CFG.DELETE", "CfgSkill", 101 + at)
    member = {"skillDBID": 101 + what, "level": 2}
    return ("CFG.UPDATE", "CfgPerson", 101 + at,
            {"added": {"agentInfo.skillLevels": [member]}})  # fmt: skip


def held(stage: Stage) -> tuple[dict[int, str], dict[int, tuple[str, tuple[int, ...]]]]:
    skills = {dbid: stage.object("CfgSkill", dbid)["name"]
              for cls, dbid in stage.host.records if cls == 13}  # fmt: skip
    persons = {}
    for cls, dbid in stage.host.records:
        if cls == 3 and dbid > 100:
            obj = stage.object("CfgPerson", dbid)
            levels = obj["agentInfo"].get("skillLevels", ())
            persons[dbid] = (obj["userName"], tuple(one["skillDBID"] for one in levels))
    return skills, persons


@pytest.fixture(scope="module")
def folders() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@examples(30, suppress_health_check=list(HealthCheck))
@given(groups=groups)
def test_transactions_against_the_model(folders: Path, groups: list[list[list[Step]]]) -> None:
    with (
        tempfile.TemporaryDirectory(dir=folders) as folder,
        lent("sqlite", Path(folder), is_seeded=True) as place,
    ):
        check_groups(Stage(place), groups)


@pytest.mark.needs("postgres")
@examples(15, suppress_health_check=list(HealthCheck))
@given(groups=groups)
def test_transactions_on_postgres(postgres: Postgres, groups: list[list[list[Step]]]) -> None:
    with lent("postgresql", Path(), is_seeded=True) as place:
        check_groups(Stage(place), groups)


def check_groups(stage: Stage, groups: list[list[list[Step]]]) -> None:
    """Transactions that are committed together end as if each had been alone."""
    model = Model()
    for group in groups:
        revision = stage.host.published
        outcomes = stage.group(*[[command(*step) for step in one] for one in group])
        for transaction, outcome in zip(group, outcomes, strict=True):
            try:
                model = model.run(transaction)
                refused = ""
            except Refused as error:
                refused = str(error)
            assert (outcome.error is None) == (not refused), (outcome, refused)
            if not refused:
                assert outcome.revision in (revision, revision + 1)
                revision = outcome.revision
        assert stage.host.published == revision
        assert held(stage) == (model.skills, model.persons)
    check_database(stage)
    stage.close()


def check_database(stage: Stage) -> None:
    """The database, loaded anew, is what the changes left; the history leads to the same."""
    records, mark = dict(stage.host.records), stage.host.mark
    entries = list(stage.host.entries)
    stage.host.stream = b""  # a store that holds nothing
    stage.close()
    stage.origin = stage.open()
    assert stage.host.records == records
    assert stage.host.mark == mark
    assert stage.host.entries == entries
    for entry in entries:
        ops = [item.op for item in parse_entry(entry).items]
        assert "delete" not in ops or "delete" not in ops[: ops.index("delete")]
        assert ops == sorted(ops, key=lambda op: op == "delete")
