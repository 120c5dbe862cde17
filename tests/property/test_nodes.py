"""Governing nodes against a model: containers, moves, counts per class and node, items, rights."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from csp._fastpath import StoreReader
from tests.property.store_stage import (
    FOLDER_CLASS,
    GROUP,
    NOWHERE,
    OWN_NODE,
    PERSON,
    TENANT,
    Item,
    Stage,
    State,
    Thing,
    check_nodes,
)

TENANTS, FOLDERS, PERSONS, GROUPS = range(1, 4), range(10, 30), range(100, 180), range(200, 210)
ACCESS_GROUP = 21
Place = tuple[int, int]


def place_of(chance: random.Random, dbid: int = 0) -> Place:
    """A tenant or a folder; for a folder one of a smaller DBID, so that none is in itself."""
    folders = [one for one in FOLDERS if not dbid or one < dbid]
    if not folders or chance.random() < 0.2:
        return TENANT, chance.choice(TENANTS)
    return FOLDER_CLASS, chance.choice(folders)


def changed(chance: random.Random, state: State) -> Item:
    """One object is made, moved, rewritten, deleted, or gets or loses grants of its own."""
    class_id, dbids = chance.choice(
        [(FOLDER_CLASS, FOLDERS), (PERSON, PERSONS), (GROUP, GROUPS), (TENANT, TENANTS)]
    )
    dbid = chance.choice(dbids)
    old = state.get((class_id, dbid))
    if old is not None and chance.random() < 0.2:
        return class_id, dbid, None
    thing = old or Thing(b"{}", (), place_of(chance, dbid if class_id == FOLDER_CLASS else 0))
    kind = chance.random()
    if kind < 0.4:
        thing = replace(thing, container=place_of(chance, dbid if class_id == FOLDER_CLASS else 0))
    elif kind < 0.6:
        thing = replace(thing, has_own_grants=not thing.has_own_grants)
    return class_id, dbid, replace(thing, text=b"%d" % chance.randrange(1000))


def node_in(state: State, class_id: int, dbid: int) -> Place:
    thing = state.get((class_id, dbid))
    return NOWHERE if thing is None else thing.node(class_id, dbid)


def chain(state: State, node: Place) -> list[Place]:
    """The node and those above it, as the design says it."""
    found = [node]
    at = node[0] & ~OWN_NODE, node[1]
    while at[0] != TENANT and at in state:
        at = state[at].container
        found.append(at)
    return found


def touches_rights(before: State, after: State, items: list[Item], nodes: set[Place]) -> bool:
    """Whether what a transaction did may change who sees what."""
    for class_id, dbid, _ in items:
        old, new = before.get((class_id, dbid)), after.get((class_id, dbid))
        if class_id == ACCESS_GROUP or (class_id == PERSON and (old is None) != (new is None)):
            return True
        moved = (old is None) != (new is None) or (
            old is not None
            and new is not None
            and (
                old.container != new.container
                or old.node(class_id, dbid) != new.node(class_id, dbid)
            )
        )
        if moved and nodes & {(class_id, dbid), (class_id | OWN_NODE, dbid)}:
            return True
        if new is not None and new.node(class_id, dbid) not in nodes:
            return True
        if new is not None and class_id != TENANT and new.container not in nodes:
            return True
    return False


def check_items(stage: Stage, revision: int, items: list[Item]) -> None:
    reader = stage.reader(3)
    names = {number: (class_id, dbid) for number, class_id, dbid, _ in reader.raw_nodes()}
    names[0] = NOWHERE
    before, after = stage.states[revision - 1], stage.states[revision]
    found = [
        (class_id, dbid, names[was], names[now])
        for class_id, dbid, was, now in reader.raw_item_nodes(revision)
    ]
    assert found == [
        (class_id, dbid, node_in(before, class_id, dbid), node_in(after, class_id, dbid))
        for class_id, dbid, _ in items
    ]


@pytest.mark.parametrize("seed", range(6))
def test_nodes_are_those_of_the_model_at_any_revision(seed: int) -> None:
    chance = random.Random(seed)
    stage = Stage(reserve_bytes=32 << 20)
    try:
        first: dict[tuple[int, int], Thing] = {}
        for _ in range(chance.choice([0, 60])):
            class_id, dbid, thing = changed(chance, {})
            if thing is not None:
                first[class_id, dbid] = thing
        stage.load(first)
        pinned = []
        for turn in range(120):
            state = stage.states[stage.writer.published]
            items = [changed(chance, state) for _ in range(chance.choice([1, 1, 3, 12]))]
            items = list({item[:2]: item for item in items}.values())
            reader = stage.reader(9)
            nodes = {(class_id, dbid) for _, class_id, dbid, _ in reader.raw_nodes()}
            rights = reader.raw_rights_revision
            revision = stage.apply(items)
            touched = touches_rights(state, stage.states[revision], items, nodes)
            assert reader.raw_rights_revision == (revision if touched else rights), items
            check_items(stage, revision, items)
            check_nodes(reader, stage.states[revision])
            if turn % 20 == 0:
                pinned.append((stage.reader(len(pinned) + 10), revision))
                assert pinned[-1][0].pin() == revision
            if turn % 50 == 49:
                stage.successor()
            if turn % 7 == 0:
                stage.writer.reclaim()
        for reader, revision in pinned:
            check_nodes(reader, stage.states[revision])
            check_chains(reader.raw_nodes(), stage.states[revision])
            check_view(chance, reader, stage.states[revision])
            reader.unpin()
    finally:
        stage.close()


def check_chains(nodes: list[tuple[int, int, int, int]], state: State) -> None:
    """From each node up: folder, its folder, …, the root folder's owner, to the tenant."""
    names = {number: (class_id, dbid) for number, class_id, dbid, _ in nodes}
    above = {number: parent for number, _, _, parent in nodes}
    for number, name in names.items():
        found, at = [], number
        while at:
            found.append(names[at])
            at = above[at]
        assert found == chain(state, name)


def check_view(chance: random.Random, reader: StoreReader, state: State) -> None:
    """Who may read some nodes sees what they govern, and counts it, and nothing else."""
    nodes = reader.raw_nodes()
    for share in (0.0, 0.3, 1.0):
        readable = {number for number, *_ in nodes if chance.random() < share}
        names = {(class_id, dbid) for number, class_id, dbid, _ in nodes if number in readable}
        reader.see(readable)
        for class_id in (PERSON, GROUP, TENANT, FOLDER_CLASS):
            seen = sorted(
                dbid
                for (one, dbid), thing in state.items()
                if one == class_id and thing.node(one, dbid) in names
            )
            assert reader.select(class_id, [], 0, 1 << 30) == seen
            assert reader.count(class_id) == len(seen)
            for (one, dbid), thing in state.items():
                if one == class_id:
                    assert reader.get(one, dbid) == (thing.text if dbid in seen else None)
