"""Random grants, deletions and moves at the master against a model made of dictionaries."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from tests.effort import examples
from tests.neighbours.databases import lent
from tests.neighbours.postgres import Postgres
from tests.unit.grants_stage import OF_NEW_DATABASE, GrantsStage

PLACES_MAX = 4
RIGHTS = ("R", "R,propagate", "none", "U,X,propagate")

Step = tuple[str, int, int, str]  # what, two numbers among what there is, rights

numbers = st.integers(0, PLACES_MAX)
kinds = st.sampled_from(
    ["folder", "skill", "person", "grant", "grant", "replace", "revoke", "move", "delete"]
)
steps = st.lists(
    st.tuples(kinds, numbers, numbers, st.sampled_from(RIGHTS)), min_size=1, max_size=5
)
groups = st.lists(st.lists(steps, min_size=1, max_size=4), min_size=1, max_size=6)


class Refused(Exception):
    """What the model says of a transaction that breaks a rule."""


class Model:
    """Folders with what they lie in (0: in the default one), skills, persons; grants by key."""

    def __init__(self) -> None:
        self.above: dict[str, str] = {}  # key of a folder or skill -> the folder it lies in
        self.persons: list[str] = []
        self.granted: dict[str, dict[str, str]] = {}
        self.next = {"CfgFolder": 0, "CfgSkill": 101, "CfgPerson": 101}
        self.names = 0

    def copy(self) -> Model:
        other = Model()
        other.above, other.persons = dict(self.above), list(self.persons)
        other.granted = {key: dict(listed) for key, listed in self.granted.items()}
        other.next, other.names = dict(self.next), self.names
        return other

    def give(self, class_name: str) -> str:
        self.next[class_name] += 1
        return f"{class_name}:{self.next[class_name] - 1}"

    def run(self, transaction: list[Step]) -> tuple[Model, list[tuple[Any, ...]]]:
        """The model after the transaction, and its commands: those that name something."""
        new = self.copy()
        commands = [one for step in transaction if (one := new.step(*step))]
        return new, commands

    def step(self, kind: str, one: int, two: int, rights: str) -> tuple[Any, ...] | None:
        self.names += 1
        name = f"n{self.names}"
        folders = [key for key in self.above if key.startswith("CfgFolder")]
        if kind in ("folder", "skill"):
            above = at(folders, one - 1) if one else ""
            placed = {"folderDBID": number(above)} if above else {}
            if kind == "skill":
                self.above[self.give("CfgSkill")] = above
                return "CFG.CREATE", "CfgSkill", {"tenantDBID": 1, "name": name, **placed}
            self.above[self.give("CfgFolder")] = above
            owner = {"type": "tenant", "DBID": 1}
            return ("CFG.CREATE", "CfgFolder",
                    {"name": name, "type": "skill", "ownerID": owner, **placed})  # fmt: skip
        if kind == "person":
            self.persons.append(self.give("CfgPerson"))
            made = {"tenantDBID": 1, "userName": name, "employeeID": name, "isAgent": False}
            return "CFG.CREATE", "CfgPerson", made
        place = at([*self.above, *self.persons], one)
        if kind in ("grant", "replace", "revoke"):
            account = at(["SYSTEM", *self.persons], two)
            return self.change(kind, place, account, rights) if place else None
        if kind == "delete":
            return self.delete(place) if place else None
        return self.move(at([key for key in self.above if "Skill" in key], one), at(folders, two))

    def change(self, kind: str, place: str, account: str, rights: str) -> tuple[Any, ...]:
        listed = self.granted.setdefault(place, {})
        if kind == "revoke":
            listed.pop(account, None)
            return "CFG.REVOKE", place, account
        listed[account] = rights
        if kind == "grant":
            return "CFG.GRANT", place, account, rights
        return "CFG.GRANT", place, account, rights, "REPLACE"

    def replace(self, place: str, account: str, later: set[str]) -> None:
        """What REPLACE does at the end: it takes all below, but for what was granted since."""
        for key in self.granted:
            if key != place and key not in later and self.is_below(key, place):
                self.granted[key].pop(account, None)

    def is_below(self, key: str, top: str) -> bool:
        while key:
            if key == top:
                return True
            key = self.above.get(key, "")
        return False

    def delete(self, place: str) -> tuple[Any, ...] | None:
        if place in self.above.values():
            return None  # a folder that holds something stays
        self.above.pop(place, None)
        self.granted.pop(place, None)
        if place in self.persons:
            self.persons.remove(place)
            for listed in self.granted.values():
                listed.pop(place, None)
        return "CFG.DELETE", *place.split(":")

    def move(self, skill: str, folder: str) -> tuple[Any, ...] | None:
        if not skill or not folder:
            return None
        self.above[skill] = folder
        return ("CFG.UPDATE", "CfgSkill", number(skill),
                {"changed": {"folderDBID": number(folder)}})  # fmt: skip

    def settle(self, commands: list[tuple[Any, ...]]) -> None:
        for place, command in enumerate(commands):
            if command[-1] != "REPLACE":
                continue
            _, top, account, *_ = command
            later = {
                one[1] for one in commands[place + 1 :]
                if one[0] in ("CFG.GRANT", "CFG.REVOKE") and one[2] == account
            }  # fmt: skip
            self.replace(top, account, later)

    @property
    def listed(self) -> dict[str, dict[str, str]]:
        return {key: listed for key, listed in self.granted.items() if listed}


def at(keys: list[str], number: int) -> str:
    return keys[number % len(keys)] if keys else ""


def number(key: str) -> int:
    return int(key.partition(":")[2])


@pytest.fixture(scope="module")
def folders() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


@examples(40, suppress_health_check=list(HealthCheck))
@given(groups=groups)
def test_grants_against_the_model(folders: Path, groups: list[list[list[Step]]]) -> None:
    with (
        tempfile.TemporaryDirectory(dir=folders) as folder,
        lent("sqlite", Path(folder), is_seeded=True) as place,
    ):
        check_groups(GrantsStage(place), groups)


@pytest.mark.needs("postgres")
@examples(8, suppress_health_check=list(HealthCheck))
@given(groups=groups)
def test_grants_on_postgres(postgres: Postgres, groups: list[list[list[Step]]]) -> None:
    with lent("postgresql", Path(), is_seeded=True) as place:
        check_groups(GrantsStage(place), groups)


def check_groups(stage: GrantsStage, groups: list[list[list[Step]]]) -> None:
    """Records and rows are what the model says, also when all of it was loaded anew."""
    model = Model()
    model.next["CfgFolder"] = 101
    for group in groups:
        requests = []
        for transaction in group:
            model, commands = model.run(transaction)
            model.settle(commands)
            if commands:
                requests.append(commands)
        for outcome in stage.group(*requests):
            assert outcome.error is None, outcome.error.line
        expected = {**OF_NEW_DATABASE, **model.listed}
        assert stage.all_grants() == expected
        assert stage.stored_grants() == expected
        for key in model.listed:
            assert stage.is_marked(key)
    stage.load_again()
    stage.close()
