"""Loads generations into shared memory, changes, takes over, and flips with a difference."""

import mmap
import os
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import pytest

from csp._fastpath import Control, StoreFull, StoreReader
from csp.model.entry import DIFFERENCE, Change, build_entry, parse_entry
from csp.model.extract import Nothing
from csp.model.image import build_image, json_of
from csp.model.types import CLASSES
from csp.store import segment
from csp.store.alarms import ALARM_DAMAGED
from csp.store.host import StoreHost
from tests.neighbours import instances

SKILL = CLASSES["CfgSkill"]
STREAM = b"S" * 16
RESERVE_BYTES = 32 << 20

BUCKETS_KEPT_BYTES_MAX = 1024
ASLEEP_AT = 8192 + 8  # in the control segment: of slot 0
STEP_CHANGES = 32  # as csp/_fastpath/store/limits.pxi has it


def skill(dbid: int, name: str, revision: int = 5) -> dict[str, Any]:
    """A skill as the store keeps it."""
    return {
        "DBID": dbid,
        "revision": revision,
        "folderDBID": 101,
        "tenantDBID": 1,
        "name": name,
        "state": "enabled",
    }


def image(dbid: int, name: str = "", revision: int = 5) -> bytes:
    """Its record."""
    return build_image(SKILL, skill(dbid, name or f"skill {dbid}"), revision, Nothing())


def rename(dbid: int, name: str, revision: int, mark: int) -> bytes:
    """The entry of a change."""
    before, after = skill(dbid, f"skill {dbid}"), skill(dbid, name, revision)
    change = Change("update", SKILL, dbid, before=before, after=after)
    return build_entry(revision, mark, 2_000, {}, [change], [image(dbid, name, revision)])


def open_host(
    instance: str, reserve_bytes: int = RESERVE_BYTES, wake_fds: Sequence[int] = (), run: int = 0
) -> StoreHost:
    """A writer's host on an instance."""
    return instances.open_host(
        instance, reserve_bytes=reserve_bytes, log_bytes=2 << 20, wake_fds=wake_fds, run=run
    )


def load(host: StoreHost, dbids: range, revision: int = 5, mark: int = 77) -> None:
    """Loads skills."""
    host.load_begin(STREAM)
    host.load(b"".join(image(dbid) for dbid in dbids))
    host.load_end(revision, mark, 1_000)


def read(instance: str, host: StoreHost) -> StoreReader:
    """A reader of what is in force."""
    fd = segment.open_data(instance, host.control.generation)
    try:
        return StoreReader(fd, host.control, 62)
    finally:
        os.close(fd)


def test_the_first_load_is_published_as_generation_1(instance: str) -> None:
    host = open_host(instance)
    assert not host.loaded
    load(host, range(101, 201))
    assert (host.loaded, host.published, host.mark) == (True, 5, 77)
    assert (host.control.generation, host.control.state) == (1, 1)
    assert read(instance, host).count(SKILL.id) == 100


def test_a_successor_takes_over_what_was_published(instance: str) -> None:
    host = open_host(instance)
    load(host, range(101, 201))
    host.apply(rename(101, "new", 6, 77))
    host.close()
    successor = open_host(instance)
    assert successor.published == 6
    assert b'"name":"new"' in (successor.image(SKILL.id, 101) or b"")


def test_a_successor_rings_for_what_its_predecessor_published_last(instance: str) -> None:
    host = open_host(instance)
    load(host, range(101, 201))
    host.close()
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    open_host(instance, wake_fds=[bell])
    assert os.eventfd_read(bell) == 1


def sleep(instance: str, host: StoreHost, known: int) -> None:
    """The worker of slot 0 polls, and has seen this revision; it wants every publication."""
    host.control.set_interest(0, True)
    fd = segment.open_control(instance)
    with mmap.mmap(fd, 0) as memory:
        memory[ASLEEP_AT : ASLEEP_AT + 8] = (known + 1).to_bytes(8, "little")
    os.close(fd)


def rings(bell: int) -> int:
    """How often it was rung since the last look."""
    with suppress(BlockingIOError):
        return os.eventfd_read(bell)
    return 0


def test_workers_are_rung_for_what_they_have_not_seen_when_it_settles(instance: str) -> None:
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    host = open_host(instance, wake_fds=[bell])
    load(host, range(101, 201))
    rings(bell)
    sleep(instance, host, 5)
    host.apply(rename(101, "new", 6, 77), settle=False)
    assert (host.published, rings(bell)) == (6, 0)
    host.settle()
    assert rings(bell) == 1
    sleep(instance, host, 6)
    host.apply(rename(102, "new", 7, host.mark), settle=False)
    sleep(instance, host, 7)  # it woke for something else, and has seen it
    host.settle()
    assert rings(bell) == 0


def test_no_more_than_a_few_changes_wait_to_be_told(instance: str) -> None:
    bell = os.eventfd(0, os.EFD_NONBLOCK)
    host = open_host(instance, wake_fds=[bell])
    load(host, range(101, 201))
    rings(bell)
    sleep(instance, host, 5)
    waited = 0
    while not rings(bell) and waited < 99:
        host.apply(rename(101 + waited, "new", 6 + waited, host.mark), settle=False)
        waited += 1
    assert waited == STEP_CHANGES


def damage(instance: str, host: StoreHost, dbid: int) -> None:
    """Changes a letter of a record behind the writer's back."""
    fd = segment.open_data_to_write(instance, host.control.generation)
    with mmap.mmap(fd, 0) as memory:
        at = memory.find(f'"name":"skill {dbid}"'.encode())
        memory[at + 8 : at + 9] = b"S"
    os.close(fd)


@pytest.mark.parametrize(("run", "is_damaged", "is_checked"), [
    (7, False, False), (8, False, True), (7, True, True)
])  # fmt: skip
def test_records_are_checked_once_in_a_run_and_after_damage(
    instance: str, run: int, is_damaged: bool, is_checked: bool
) -> None:
    host = open_host(instance, run=7)
    load(host, range(101, 201))
    damage(instance, host, 150)
    if is_damaged:
        host.raise_alarm(ALARM_DAMAGED, "51324", reason="a test")
    host.close()
    assert open_host(instance, run=run).loaded == (not is_checked)


def test_an_unfinished_generation_is_removed_and_the_one_in_force_serves(instance: str) -> None:
    host = open_host(instance)
    load(host, range(101, 201))
    host.load_begin(b"T" * 16)
    host.load(image(500))
    assert segment.generations(instance) == [1, 2]
    successor = open_host(instance)
    assert segment.generations(instance) == [1]
    assert (successor.published, successor.stream) == (5, STREAM)


def test_a_new_generation_begins_its_log_with_the_difference(instance: str) -> None:
    host = open_host(instance)
    load(host, range(101, 201))
    host.apply(rename(150, "new", 6, 77))
    load(host, range(102, 202), revision=4, mark=88)
    assert (host.published, host.mark, host.control.generation) == (4, 88, 2)
    assert segment.generations(instance) == [2]
    logged = read(instance, host).raw_entry(4)
    assert logged is not None
    entry = parse_entry(logged)
    assert (entry.flags, entry.mark) == (DIFFERENCE, 88)
    assert [(item.op, item.dbid) for item in entry.items] == [
        ("delete", 101),
        ("update", 150),
        ("create", 201),
    ]


def test_changes_go_on_in_a_new_generation(instance: str) -> None:
    host = open_host(instance)
    load(host, range(101, 201))
    load(host, range(101, 201), revision=9, mark=99)
    host.apply(rename(101, "new", 10, 99))
    assert host.published == 10


def test_a_load_that_is_given_up_leaves_nothing(instance: str) -> None:
    host = open_host(instance)
    host.load_begin(STREAM)
    host.load_abort()
    assert segment.generations(instance) == []
    assert not host.loaded


def test_a_full_store_refuses_growth_and_counts_it(instance: str) -> None:
    host = open_host(instance)
    load(host, range(101, 201))
    large = skill(201, "large") | {"userProperties": {"a": {"k": "x" * (RESERVE_BYTES // 3)}}}
    made = build_entry(
        6, 77, 2_000, {}, [Change("create", SKILL, 201, after=large)],
        [build_image(SKILL, large, 6, Nothing())],
    )  # fmt: skip
    with pytest.raises(StoreFull, match="--reserve"):
        host.prepare([(made, ())])
    assert host.refused_full == 1
    gone = build_entry(
        6, 77, 2_000, {}, [Change("delete", SKILL, 101, before=skill(101, "a"))], [b""]
    )
    host.prepare([(gone, ())])
    host.apply(gone)
    assert host.published == 6


def test_what_was_prepared_is_applied_or_given_back(instance: str) -> None:
    host = open_host(instance)
    load(host, range(101, 201))
    room = host.room_bytes()
    first, second = rename(101, "new", 6, 77), rename(102, "newer", 6, 77)
    host.prepare([(first, ())])
    assert read(instance, host).get(SKILL.id, 101) == json_of(image(101))
    assert host.room_bytes() < room
    for _ in range(100):
        host.abandon()
        host.prepare([(first, ())])
    host.abandon()
    host.reclaim()
    # A bucket that was split to make room for a name stays split; nothing else is kept.
    assert room - host.room_bytes() <= BUCKETS_KEPT_BYTES_MAX
    host.prepare([(first, ())])
    host.apply(second)  # another one: what was prepared is given back
    assert host.published == 6
    assert b"newer" in (read(instance, host).get(SKILL.id, 102) or b"")
    assert read(instance, host).get(SKILL.id, 101) == json_of(image(101))


def test_a_load_without_room_keeps_what_is_in_force(instance: str) -> None:
    host = open_host(instance)
    load(host, range(101, 201))
    host.load_begin(STREAM)
    images = b"".join(image(dbid) for dbid in range(1, 200_000))
    with pytest.raises(StoreFull):
        host.load(images)
    host.load_abort()
    assert read(instance, host).count(SKILL.id) == 100
    host.apply(rename(101, "new", 6, 77))


def test_segments_that_were_set_aside_give_way_to_a_first_load_that_finds_no_room(
    instance: str,
) -> None:
    older = open_host(instance)
    load(older, range(101, 201))
    older.close()
    assert segment.set_aside(instance)
    control = Control(segment.create(segment.control_name(instance), Control.SIZE), format=True)
    assert control.generation == 0
    small = open_host(instance, reserve_bytes=16 << 20)
    with pytest.raises(StoreFull):
        load(small, range(101, 60_000))
    assert not segment.take_back(instance)
    small.load_abort()
    load(small, range(101, 201))
    assert small.published == 5


def test_segments_that_were_set_aside_are_whole_when_they_are_taken_back(instance: str) -> None:
    host = open_host(instance)
    load(host, range(101, 201))
    host.close()
    assert segment.set_aside(instance)
    assert segment.generations(instance) == []
    assert not segment.set_aside(instance)  # one set at most
    assert segment.take_back(instance)
    assert open_host(instance).published == 5
