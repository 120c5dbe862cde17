"""What an account may read by the compiled evaluator is what the rules say, at every revision.

F81, F84 and F85 of the original: only what is granted is returned; rights are the union over a
person's groups, nested ones too; a container's grant reaches its children only where it propagates.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

import pytest

from csp._fastpath import Control, StoreReader, StoreWriter
from csp.model.keys import STORED_KEYS, TABLE_DIGEST
from csp.model.places import FOLDER, TENANT
from csp.model.rights import ACCESS_GROUP, ALL, PERSON, PROPAGATE, READ
from csp.model.types import by_id
from tests.effort import parametrize_few
from tests.property.granted_world import (
    PERSONS,
    SKILL,
    STREAM,
    TIME_MS,
    GrantedWorld,
    folder,
    group,
    person,
    random_change,
    random_world,
    skill,
)


class Stage:
    """A world in a store."""

    def __init__(self, world: GrantedWorld, log_bytes: int = 0) -> None:
        self.world = world
        self.control_fd, self.data_fd = os.memfd_create("control"), os.memfd_create("data")
        os.ftruncate(self.control_fd, Control.SIZE)
        self.control = Control(self.control_fd, format=True)
        self.writer = StoreWriter(
            self.data_fd,
            self.control,
            reserve_bytes=64 << 20,
            format=True,
            keys=STORED_KEYS,
            table=TABLE_DIGEST,
            log_bytes=log_bytes,
            log_age_ms=0,
        )
        self.writer.load_begin(STREAM)
        for image in world.images():
            self.writer.load(image)
        self.writer.load_end(1, 7, TIME_MS)
        self.control.generation = self.control.state = 1
        self.reader = StoreReader(self.data_fd, self.control, 0)

    def close(self) -> None:
        os.close(self.control_fd)
        os.close(self.data_fd)

    def change(self) -> int:
        """Publishes what the world has gathered."""
        revision = self.writer.published + 1
        self.writer.apply(self.world.take(revision, self.writer.mark))
        self.writer.reclaim()
        return revision

    def seen_by(self, dbid: int) -> set[tuple[int, int]]:
        """All that the store shows an account, class by class."""
        self.reader.pin()
        try:
            self.reader.see_as(dbid)
            found = set()
            for class_id in by_id:
                at = 0
                while at := self.reader.next_dbid(class_id, at):
                    found.add((class_id, at))
                seen = sum(1 for one in found if one[0] == class_id)
                assert self.reader.count(class_id) == seen, "counts are of what is shown"
            return found
        finally:
            self.reader.unpin()

    def check(self, persons: range = PERSONS) -> None:
        """Each account is the groups, and sees the objects, that the rules say."""
        for dbid in persons:
            assert self.reader.accounts_of(dbid) == self.world.accounts_of(dbid)
            assert self.seen_by(dbid) == self.world.readable(dbid)


@pytest.fixture
def small() -> Iterator[Stage]:
    """Folder 201 in tenant 1 with folder 202 in it, a skill in each; persons 101, 102, 103."""
    world = GrantedWorld()
    world.put("CfgTenant", 1, name="t1", state="enabled", folderDBID=0)
    world.put("CfgFolder", 201, **folder(201, 0))
    world.put("CfgFolder", 202, **folder(202, 201))
    world.put("CfgSkill", 501, **skill(501, 201))
    world.put("CfgSkill", 502, **skill(502, 202))
    for dbid in (101, 102, 103):
        world.put("CfgPerson", dbid, **person(dbid, 0))
    world.put("CfgAccessGroup", 301, **group(301, [(PERSON.id, 101)]))
    world.put("CfgAccessGroup", 302, **group(302, [(ACCESS_GROUP.id, 301)]))
    world.put("CfgAccessGroup", 303, **group(303, [], type="everyonegroup"))
    world.add((TENANT.id, 1), (PERSON.id, 103), READ)
    stage = Stage(world)
    yield stage
    stage.close()


def test_nested_groups_count_and_a_disabled_one_hands_on_nothing(small: Stage) -> None:
    """F84: 101 is in 301, which is in 302."""
    small.world.add((FOLDER.id, 201), (ACCESS_GROUP.id, 302), READ | PROPAGATE)
    small.change()
    assert small.seen_by(101) == {
        (FOLDER.id, 202),
        (SKILL.id, 501),
        (SKILL.id, 502),
        (FOLDER.id, 201),
    }
    assert small.seen_by(102) == set()
    small.world.put("CfgAccessGroup", 301, **group(301, [(PERSON.id, 101)], state="disabled"))
    small.change()
    assert small.seen_by(101) == set()


def test_a_grant_reaches_children_only_where_it_propagates(small: Stage) -> None:
    """F85."""
    small.world.add((FOLDER.id, 201), (ACCESS_GROUP.id, 301), READ)
    small.change()
    assert small.seen_by(101) == {(FOLDER.id, 201)}
    small.world.add((FOLDER.id, 201), (ACCESS_GROUP.id, 301), READ | PROPAGATE)
    small.world.add((FOLDER.id, 202), (ACCESS_GROUP.id, 301), PROPAGATE)
    small.change()
    assert small.seen_by(101) == {(FOLDER.id, 201), (SKILL.id, 501)}


def test_everyone_is_each_enabled_person_of_the_tenant(small: Stage) -> None:
    small.world.add((SKILL.id, 502), (ACCESS_GROUP.id, 303), READ)
    small.change()
    assert small.seen_by(101) == small.seen_by(102) == {(SKILL.id, 502)}
    small.world.put("CfgPerson", 102, state="disabled")
    small.change()
    assert small.seen_by(102) == set()
    assert small.seen_by(999) == set(), "nobody has that number"


def test_what_is_granted_to_many_nodes_of_a_person_is_seen_too(small: Stage) -> None:
    """More than a short list holds."""
    for dbid in range(1000, 1100):
        small.world.put("CfgFolder", dbid, **folder(dbid, 201))
        small.world.put("CfgSkill", dbid, **skill(dbid, dbid))
        small.world.add((FOLDER.id, dbid), (PERSON.id, 102), READ | PROPAGATE)
    small.change()
    small.check(range(101, 104))
    small.world.add((TENANT.id, 1), (PERSON.id, 102), ALL | PROPAGATE)
    small.change()
    small.check(range(101, 104))
    assert len(small.seen_by(102)) == len(small.world.objects)


def test_a_folder_that_is_moved_is_governed_by_where_it_is(small: Stage) -> None:
    small.world.add((FOLDER.id, 201), (ACCESS_GROUP.id, 301), READ | PROPAGATE)
    small.change()
    assert (SKILL.id, 502) in small.seen_by(101)
    small.world.put("CfgFolder", 202, folderDBID=0)
    small.change()
    assert (SKILL.id, 502) not in small.seen_by(101)


@parametrize_few("seed", range(12), quick=3)
def test_random_estates_read_as_the_rules_say(seed: int) -> None:
    random_ = random.Random(seed)
    stage = Stage(random_world(random_))
    try:
        stage.check()
        for _ in range(25):
            for _ in range(random_.choice((1, 1, 1, 2, 5))):
                random_change(random_, stage.world)
            stage.change()
            if random_.random() < 0.7:  # some changes are come upon together
                stage.check()
    finally:
        stage.close()


def test_without_the_log_the_picture_is_made_anew() -> None:
    """The log keeps no entry: each change is come upon without it."""
    random_ = random.Random(99)
    stage = Stage(random_world(random_), log_bytes=1)
    try:
        for _ in range(20):
            random_change(random_, stage.world)
            stage.change()
            stage.check()
    finally:
        stage.close()
