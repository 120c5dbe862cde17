"""Writes of any shape at the master: each is refused in words or done, and the next one is taken.

Every path of every class gets values of its own type and values of any other: bare keys, lists for
objects, objects for lists, odd numbers, text that is none, JSON as deep as the parser takes.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from csp.model.delta import PATHS
from csp.model.types import CLASSES, Attribute, ObjectClass, Part
from tests.effort import examples
from tests.neighbours.databases import lent
from tests.unit.master_stage import Stage

DEEP = "the deep value that JSON text is put in the place of"
DEPTHS = (1, 255, 900, 1000, 1010, 1020, 5000)
NUMBERS = (-1, 0, 1, 2**31 - 1, 2**31, 2**32, 2**63, 2**64, -(2**63), 1.5, 1e308, True, False)
TEXTS = ("", "@1", "@0", "@99999999", "\0", "a\nb", "é", "x" * 256, "x" * 70_000, "0", "none")
FAULT = "51350"

scalars = st.one_of(st.just(DEEP), st.sampled_from(NUMBERS), st.sampled_from(TEXTS), st.none())
odd = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.sampled_from(("", "changed", "DBID", "skillDBID", "a.b", "\0")), inner,
                        max_size=3),
    ),
    max_leaves=5,
)  # fmt: skip


class World:
    """A master with an object of nearly every class, so that updates find something."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.dbids: dict[str, list[int]] = {name: [] for name in CLASSES}
        self.dbids |= {"CfgTenant": [1], "CfgPerson": [100], "CfgApplication": [99, 100],
                       "CfgAppPrototype": [99, 100]}  # fmt: skip
        left = [cls for cls in CLASSES.values() if not self.dbids[cls.name]]
        for _ in range(4):  # some need others
            left = [cls for cls in left if not self._made(cls)]

    def _made(self, cls: ObjectClass) -> bool:
        """With all that it may hold if that goes, else with what it must."""
        needed = [one for one in cls.attributes if one.mandatory]
        lists = [one for one in cls.attributes if one.mandatory or one.type in ("list", "part")]
        for some in (cls.attributes, lists, needed):
            obj = {one.name: self.usual(one) for one in some if not one.derived}
            if cls.name == "CfgPerson":
                obj |= {"isAgent": True, "employeeID": "e", "userName": "u"}
            outcome = self.stage.write("CFG.CREATE", cls.name, obj)
            if outcome.error is None:
                self.dbids[cls.name].append(outcome.results[0])
                return True
        return False

    def usual(self, one: Attribute) -> Any:
        """A value that an attribute may have."""
        if one.type == "ref":
            return next(iter(self.dbids.get(one.of, ())), 0)
        if one.type == "enum":
            assert one.enum is not None
            return (one.among or one.enum.words)[0]
        if one.type == "part" and one.part is not None:
            return self.usual_part(one.part)
        if one.type == "list":
            if one.part is None:
                return list(self.dbids.get(one.of, ()))[:1]
            return [self.usual_part(one.part)]
        if one.type == "kvlist":
            return {"section": {"key": "value"}}
        return {"int": 1, "flag": False}.get(one.type, "name")

    def keys_of(self, one: Attribute) -> list[Any]:
        """What may be taken for a member of a list: a bare key, twice the same one, an object."""
        if one.type != "list":
            return []
        if one.part is None:
            return [self.usual(one) * 2, {"DBID": 101}]
        member = self.usual_part(one.part)
        bare = [member[name] for name in one.part.key]
        return [bare, [member, member], [{**member, one.part.key[0]: None}] if bare else [], member]

    def usual_part(self, part: Part) -> dict[str, Any]:
        return {one.name: self.usual(one) for one in part.attributes}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with lent("sqlite", Path(tmp_path_factory.mktemp("hostile")), is_seeded=True) as place:
        found = World(Stage(place))
        yield found
        found.stage.close()


def values(draw: st.DrawFn, world: World, one: Attribute) -> Any:
    """A usual value, an odd one, or a usual one with something odd in it."""
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return world.usual(one)
    if kind == 1 and one.part is not None:
        part = world.usual_part(one.part)
        name = draw(st.sampled_from([*part, "nothing"]))
        part[name] = draw(odd)
        return [part, *draw(st.lists(odd, max_size=1))] if one.type == "list" else part
    if kind == 2 and one.type == "list":
        keys = [*world.dbids.get(one.of, ()), 1, 101, "101"]
        if one.part is not None:
            keys += list(world.usual_part(one.part).values())
        return draw(st.lists(st.sampled_from(keys), min_size=1, max_size=2))
    if kind == 3 and one.type == "kvlist":
        return {draw(st.sampled_from(TEXTS)): draw(odd)}
    return draw(odd)


def deltas(draw: st.DrawFn, world: World, cls: ObjectClass) -> Any:
    delta: dict[str, Any] = {}
    for _ in range(draw(st.integers(1, 3))):
        verb = draw(st.sampled_from(("changed", "added", "deleted", *cls.kvlists, "other")))
        path = draw(st.sampled_from([*PATHS[cls.name], "folderDBID", "DBID", "class", "", "a.b"]))
        step = PATHS[cls.name].get(path)
        value = draw(odd) if step is None else values(draw, world, step.attribute)
        whole = draw(st.integers(0, 9))
        if whole == 0:
            delta[verb] = draw(odd)
        elif isinstance(delta.setdefault(verb, {}), dict):
            delta[verb][path] = value
    return delta


@st.composite
def commands(draw: st.DrawFn, world: World) -> tuple[Any, ...]:
    cls = draw(st.sampled_from(list(CLASSES.values())))
    kind = draw(st.integers(0, 9))
    dbid = draw(st.sampled_from([*world.dbids[cls.name], 101, "@1", 0, 2**31]))
    if kind == 0:
        return ("CFG.DELETE", cls.name, dbid, *draw(st.sampled_from([(), ("IF", 2**64 - 1)])))
    if kind < 4:
        obj = {one.name: world.usual(one) for one in cls.attributes if one.mandatory}
        for one in draw(st.lists(st.sampled_from(cls.attributes), max_size=3)):
            obj[one.name] = values(draw, world, one)
        return "CFG.CREATE", cls.name, text_of(draw, obj)
    return "CFG.UPDATE", cls.name, dbid, text_of(draw, deltas(draw, world, cls))


def text_of(draw: st.DrawFn, value: Any) -> bytes:
    """The JSON, with deep values where they are meant; now and then text that is none."""
    text = deep(value, draw(st.sampled_from(DEPTHS)))
    return text[:-1] if draw(st.integers(0, 50)) == 0 else text


def deep(value: Any, depth: int) -> bytes:
    """The JSON, with so many lists in one another at each place that is marked."""
    text = orjson.dumps(value) if _fits(value) else b'{"changed":{"a":1}}'
    return text.replace(orjson.dumps(DEEP), b"[" * depth + b"1" + b"]" * depth)


def _fits(value: Any) -> bool:
    """Whether this test's own JSON writer takes it: it has 64-bit integers only."""
    if isinstance(value, dict):
        return all(map(_fits, value.values()))
    if isinstance(value, list):
        return all(map(_fits, value))
    return not isinstance(value, int) or -(2**63) <= value < 2**64


def check(world: World, caplog: pytest.LogCaptureFixture, *several: tuple[Any, ...]) -> None:
    """Writes it; whatever comes of it, it is told in words, and nothing failed inside."""
    caplog.clear()
    before = world.stage.host.published
    outcome = world.stage.write(*several[0]) if len(several) == 1 else world.stage.exec(*several)
    faults = [one.getMessage() for one in caplog.records if getattr(one, "event", "") == FAULT]
    assert not faults, several
    if outcome.error is None:
        assert outcome.revision == world.stage.host.published
    else:
        assert outcome.error.WORD != "ERR", (outcome.error.line, several)
        assert len(outcome.error.text) < 1_000
        assert world.stage.host.published == before


@examples(30, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_no_value_at_any_path_of_a_class_is_a_fault(
    world: World, data: st.DataObject, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "csp")
    cls = data.draw(st.sampled_from([CLASSES[name] for name in world.dbids if world.dbids[name]]))
    verb = data.draw(st.sampled_from(("changed", "added", "deleted", "created")))
    value = data.draw(st.one_of(st.just(DEEP), odd))
    depth = data.draw(st.sampled_from(DEPTHS))
    for path, step in PATHS[cls.name].items():
        for said in (value, [value], *world.keys_of(step.attribute)):
            if verb == "created":
                usual = {one.name: world.usual(one) for one in cls.attributes if one.mandatory}
                name, _, field = path.partition(".")
                obj = usual | {name: {field: said} if field else said}
                check(world, caplog, ("CFG.CREATE", cls.name, deep(obj, depth)))
            else:
                delta = deep({verb: {path: said}}, depth)
                check(world, caplog, ("CFG.UPDATE", cls.name, world.dbids[cls.name][0], delta))


@examples(60, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_any_writes_are_refused_in_words_or_done(
    world: World, data: st.DataObject, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.ERROR, "csp")
    check(world, caplog, *data.draw(st.lists(commands(world), min_size=1, max_size=3)))


@pytest.mark.parametrize("depth", [1_000, 1_020])
def test_json_as_deep_as_the_parser_takes_is_refused(
    world: World, caplog: pytest.LogCaptureFixture, depth: int
) -> None:
    """Without Hypothesis, which gives Python more levels than a server has."""
    for cls in CLASSES.values():
        for path in PATHS[cls.name]:
            dbid = next(iter(world.dbids[cls.name]), 101)
            for verb in ("changed", "added", "deleted"):
                delta = deep({verb: {path: DEEP}}, depth)
                check(world, caplog, ("CFG.UPDATE", cls.name, dbid, delta))
            check(world, caplog, ("CFG.CREATE", cls.name, deep({path: DEEP}, depth)))


def test_the_engine_goes_on_after_all_of_them(world: World) -> None:
    """Runs behind those above, on the same master."""
    dbid = world.stage.create("CfgSkill", tenantDBID=1, name="afterwards")
    assert world.stage.object("CfgSkill", dbid)["name"] == "afterwards"
