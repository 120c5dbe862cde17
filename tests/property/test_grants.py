"""Grants in the store against csp.model.rights, at any revision, after reloads and takeovers."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest

from csp._fastpath import StoreReader
from csp.model.feed import FED_CLASSES
from csp.model.places import NOWHERE, Place
from csp.model.rights import ALL, PROPAGATE, SYSTEM, Account, Grants, rights_in, rights_on
from tests.property.store_stage import (
    FOLDER_CLASS,
    GRANTS,
    GROUP,
    PERSON,
    TENANT,
    Item,
    Stage,
    State,
    Thing,
    check_grants,
    check_nodes,
    granted,
    grants_of,
)

ACCESS_GROUP = 21
TENANTS, FOLDERS, PERSONS, GROUPS = range(1, 4), range(10, 30), range(100, 140), range(200, 210)
ACCOUNTS: list[Account] = [
    SYSTEM,
    *((PERSON, dbid) for dbid in PERSONS[:6]),
    *((ACCESS_GROUP, dbid) for dbid in range(300, 306)),
]
OBJECTS = [
    *((TENANT, dbid) for dbid in TENANTS),
    *((FOLDER_CLASS, dbid) for dbid in FOLDERS),
    *((PERSON, dbid) for dbid in PERSONS),
    *((GROUP, dbid) for dbid in GROUPS),
]


class Estate:
    """A state as csp.model.rights asks for it."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.given = {
            thing.container: grants_of(thing)
            for (class_id, _), thing in state.items()
            if class_id == GRANTS
        }

    def container(self, place: Place) -> Place:
        thing = self.state.get(place)
        return NOWHERE if thing is None else thing.container

    def grants(self, place: Place) -> Grants:
        return self.given.get(place, {})


class Changer:
    """Makes transactions as a master would: grants leave with their object."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.next_number = 1

    def transaction(self, state: State) -> list[Item]:
        items: dict[tuple[int, int], Item] = {}
        for _ in range(self.chance.choice([1, 1, 3, 12])):
            for item in self._change({**state, **{one[:2]: one[2] for one in items.values()}}):
                items[item[:2]] = item
        return list(items.values())

    def _change(self, state: Mapping[tuple[int, int], Thing | None]) -> list[Item]:
        class_id, dbid = self.chance.choice(OBJECTS)
        thing = state.get((class_id, dbid))
        number = next(
            (key[1] for key, one in state.items()
             if key[0] == GRANTS and one is not None and one.container == (class_id, dbid)), 0,
        )  # fmt: skip
        if thing is None:
            return [(class_id, dbid, Thing(b"{}", (), self._place(class_id, dbid)))]
        kind = self.chance.random()
        if kind < 0.15:
            gone: list[Item] = [(class_id, dbid, None)]
            return gone if not number else [*gone, (GRANTS, number, None)]
        if kind < 0.35:
            return [(class_id, dbid, replace(thing, container=self._place(class_id, dbid)))]
        return self._grant((class_id, dbid), thing, number, state.get((GRANTS, number)))

    def _grant(self, place: Place, thing: Thing, number: int, record: Thing | None) -> list[Item]:
        given = {} if record is None else grants_of(record)
        for _ in range(self.chance.choice([1, 1, 2, 5])):
            account = self.chance.choice(ACCOUNTS)
            if account in given and self.chance.random() < 0.5:
                del given[account]
            else:
                given[account] = self._bits()
        marked: Item = (*place, replace(thing, has_own_grants=bool(given)))
        if given and not number:
            number, self.next_number = self.next_number, self.next_number + 1
        if not number:
            return [marked]
        return [marked, (GRANTS, number, granted(place, given) if given else None)]

    def _bits(self) -> int:
        """Rights, or none, and whether they propagate."""
        rights = self.chance.choice([0, 1, 9, ALL, self.chance.randrange(ALL + 1)])
        return rights | (PROPAGATE if self.chance.random() < 0.6 else 0)

    def _place(self, class_id: int, dbid: int) -> Place:
        """A tenant or a folder, which need not be there; a folder lies in a smaller one."""
        folders = [one for one in FOLDERS if class_id != FOLDER_CLASS or one < dbid]
        if not folders or self.chance.random() < 0.2:
            return TENANT, self.chance.choice(TENANTS)
        return FOLDER_CLASS, self.chance.choice(folders)


def check_rights(
    chance: random.Random, reader: StoreReader, state: State, places: Sequence[Place]
) -> None:
    """All rights of some who have several accounts."""
    estate = Estate(state)
    for many in (0, 1, 2, 7, len(ACCOUNTS)):
        accounts = set(chance.sample(ACCOUNTS, many))
        for place in places:
            assert reader.raw_rights(*place, accounts) == rights_on(estate, place, accounts)
            found = reader.raw_rights(*place, accounts, inside=True)
            assert found == rights_in(estate, place, accounts)
            above = estate.container(place) if place[0] != TENANT else NOWHERE
            assert reader.raw_container(*place) == above


def reloaded(stage: Stage, reader: StoreReader) -> Stage:
    """Another store that has loaded the parts of a feed."""
    other = Stage()
    other.writer.load_begin(b"stream-of-16-byt")
    for class_id in FED_CLASSES:
        images, _ = reader.raw_images(class_id, 0, 1 << 30)
        other.writer.load(images)
    other.writer.load_end(reader.revision, reader.mark, 0)
    other.states[reader.revision] = stage.states[reader.revision]
    return other


@pytest.mark.parametrize("seed", range(5))
def test_rights_are_those_of_the_model_at_any_revision(seed: int) -> None:
    changer = Changer(seed)
    chance = changer.chance
    stage = Stage()
    try:
        stage.load({})
        pinned = []
        for turn in range(150):
            items = changer.transaction(stage.states[stage.writer.published])
            revision = stage.apply(items)
            state = stage.states[revision]
            reader = stage.reader(9)
            if any(item[0] == GRANTS for item in items):
                assert reader.raw_rights_revision == revision
            check_rights(chance, reader, state, chance.sample(OBJECTS, 8))
            if turn % 30 == 0:
                pinned.append((stage.reader(len(pinned) + 10), revision))
                assert pinned[-1][0].pin() == revision
            if turn % 50 == 49:
                stage.successor()
                check_grants(reader, state)
            if turn % 7 == 0:
                stage.writer.reclaim()
        assert changer.next_number > 20
        for reader, revision in pinned:
            check_rights(chance, reader, stage.states[revision], OBJECTS)
            check_grants(reader, stage.states[revision])
            reader.unpin()
        assert reader.probe(1) == 0
    finally:
        stage.close()


def test_a_store_that_loads_a_feed_has_the_same_grants() -> None:
    changer = Changer(77)
    stage = Stage()
    try:
        stage.load({})
        for _ in range(150):
            stage.apply(changer.transaction(stage.states[stage.writer.published]))
        reader = stage.reader(1)
        reader.pin()
        other = reloaded(stage, reader)
        try:
            sums = [
                one.raw_sums(GRANTS, reader.revision, 0, 1 << 31)
                for one in (reader, other.reader(2))
            ]
            count = sum(key[0] == GRANTS for key in stage.states[reader.revision])
            assert sums[0] == sums[1]
            assert sums[0][0] == count > 5
            for _ in range(2):
                state = other.states[other.writer.published]
                loaded = other.reader(1)
                check_grants(loaded, state)
                check_nodes(loaded, state)
                check_rights(changer.chance, loaded, state, OBJECTS)
                assert loaded.probe(1) == 0
                other.apply(changer.transaction(state))
        finally:
            other.close()
        reader.unpin()
    finally:
        stage.close()


def test_a_grant_costs_its_own_record_whatever_lies_below() -> None:
    taken = []
    for objects in (10, 2_000):
        stage = Stage()
        try:
            below = {(PERSON, dbid): Thing(b"{}", (), (FOLDER_CLASS, 1)) for dbid in range(objects)}
            del below[PERSON, 0]
            folder = Thing(b"{}", (), (TENANT, 1))
            stage.load({**below, (TENANT, 1): Thing(b"{}"), (FOLDER_CLASS, 1): folder})
            before = stage.writer.stat()["used_bytes"]
            stage.apply([(GRANTS, 1, granted((TENANT, 1), {SYSTEM: PROPAGATE | 1}))])
            stage.apply([
                (FOLDER_CLASS, 1, replace(folder, has_own_grants=True)),
                (GRANTS, 2, granted((FOLDER_CLASS, 1), {SYSTEM: PROPAGATE})),
            ])  # fmt: skip
            taken.append(stage.writer.stat()["used_bytes"] - before)
            assert stage.reader(1).raw_rights(PERSON, 1, [SYSTEM]) == 0
        finally:
            stage.close()
    assert taken[0] == taken[1]


def test_what_lies_in_a_circle_has_the_rights_that_are_on_the_way() -> None:
    """No master makes one; a server that is told of it must not stand."""
    stage = Stage()
    try:
        stage.load({
            (FOLDER_CLASS, 10): Thing(b"{}", (), (FOLDER_CLASS, 11)),
            (FOLDER_CLASS, 11): Thing(b"{}", (), (FOLDER_CLASS, 10)),
            (GRANTS, 1): granted((FOLDER_CLASS, 11), {SYSTEM: PROPAGATE | 1}),
        })  # fmt: skip
        assert stage.reader(1).raw_rights(FOLDER_CLASS, 10, [SYSTEM]) == 1
    finally:
        stage.close()
