"""Kills the writer at every failpoint, in a forked child; its successor must go on unseen."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable

import pytest

from csp._fastpath import FAILPOINTS, arm_failpoint
from tests.effort import parametrize_few
from tests.property.store_stage import (
    ACCOUNT,
    FOLDER,
    FOLDER_CLASS,
    GRANTS,
    GRANTS_KEY,
    GROUP,
    GROUP_OF,
    NAME,
    PERSON,
    STATE,
    Item,
    Stage,
    Thing,
    check_nodes,
    check_reader,
    entry,
    granted,
    group,
    image,
    number,
    person,
)

CHANGES = 160
OBJECTS = 900
ASKED = [
    *((NAME, b"user%d" % dbid) for dbid in range(40)),
    *((FOLDER, number(folder)) for folder in range(40)),
    *((STATE, state) for state in (b"enabled", b"disabled")),
    *((GROUP_OF, number(dbid)) for dbid in range(1, 9)),
]
APPLYING = [
    name for name in FAILPOINTS if name.startswith(("apply", "publish", "split", "direct", "log"))
]
RECLAIMING = [name for name in FAILPOINTS if name.startswith("reclaim")]
# After which death a successor passes a point; it passes the others always.
PASSED_AFTER = {
    "recover-split": "split-stored",
    "recover-list": "apply-stage-list",
    "recover-redo": "apply-intent",
    "recover-published": "apply-intent",
    "walk-name": "apply-stage-list",
    "walk-log": "apply-stage-list",
}
RECOVERING = [name for name in FAILPOINTS if name.startswith(("recover", "walk"))]


def script(seed: int) -> list[list[Item]]:
    """Transactions that pass every point: splits, leaves, empty lists, tombstones, grants."""
    chance = random.Random(seed)
    changes: list[list[Item]] = []
    for turn in range(CHANGES):
        items: list[Item] = []
        for _ in range(chance.choice([1, 1, 2, 60])):
            dbid = chance.randrange(1, OBJECTS)
            gone = chance.random() < 0.3
            name = b"user%d" % chance.randrange(OBJECTS)
            state = chance.choice([b"enabled", b"enabled", b"disabled"])
            items.append((PERSON, dbid, None if gone else person(name, turn % 40, state)))
        number_of_group = chance.randrange(1, 9)
        members = chance.sample(range(1, OBJECTS), chance.choice([0, 5, 400]))
        items.append((GROUP, number_of_group, group(number_of_group, members)))
        given = {(PERSON, chance.randrange(1, 40)): chance.randrange(256) for _ in range(turn % 4)}
        at = chance.randrange(1, 30)  # the number of the record, and of the folder
        items.append((GRANTS, at, granted((FOLDER_CLASS, at), given) if given else None))
        far = 1_000_000 * (1 + turn // 2)  # alone in its part of the index, and deleted by the next
        items.append((PERSON, far, None if turn % 2 else person(b"far", 1, b"enabled")))
        changes.append(items)
    return changes


def prepared(seed: int) -> tuple[Stage, list[list[Item]]]:
    stage = Stage(reserve_bytes=48 << 20, log_bytes=1 << 17)
    stage.load({
        (PERSON, dbid): person(b"user%d" % dbid, dbid % 40, b"enabled")
        for dbid in range(1, OBJECTS, 3)
    })  # fmt: skip
    changes = script(seed)
    for revision, items in enumerate(changes, 2):
        stage.note(revision, items)
    return stage, changes


def recover(stage: Stage, changes: list[list[Item]]) -> None:
    """Takes over, and walks while changes go on."""
    stage.take_over()
    walk_between(stage, changes[: stage.writer.published + 20])
    stage.writer.reclaim()


def names_in(stage: Stage) -> int:
    """Words that the names of the newest state need."""
    things = stage.states[stage.writer.published].values()
    return sum(key_id in (NAME, GRANTS_KEY) for thing in things for key_id, _, _ in thing.keys)


def apply_from(stage: Stage, changes: list[list[Item]]) -> None:
    """Goes on from what is published."""
    for revision in range(stage.writer.published + 1, len(changes) + 2):
        stage.writer.apply(entry(revision, changes[revision - 2], time_ms=revision))


def dies_at(point: str, passes: int, work: Callable[[], None]) -> bool:
    """Runs `work` in a child with the failpoint armed; whether it was killed there."""
    child = os.fork()
    if child == 0:
        try:
            os.environ["CSP_FAILPOINT"] = f"{point}=kill@{passes}"  # a writer that begins takes it
            arm_failpoint(os.environ["CSP_FAILPOINT"])
            work()
            os._exit(0)
        finally:
            os._exit(3)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, f"the child failed at {point}"
    if os.WIFSIGNALED(status):
        assert os.WTERMSIG(status) == signal.SIGKILL
        return True
    return False


def check_all(stage: Stage) -> None:
    reader = stage.reader(9)
    revision = reader.pin()
    try:
        check_reader(reader, stage.states[revision], ASKED)
    finally:
        reader.unpin()
    assert reader.probe(1) == 0


def walk_between(stage: Stage, changes: list[list[Item]]) -> None:
    """Goes on from what is published, a few steps of the walk after each change."""
    for _ in range(len(changes)):
        if stage.writer.published > len(changes):
            break
        apply_from(stage, changes[: stage.writer.published])
        stage.writer.walk(steps=25)
        stage.writer.reclaim()
    while stage.writer.walk(steps=500):
        stage.writer.reclaim()


def successor_goes_on(stage: Stage, changes: list[list[Item]], before: int) -> None:
    """Recovers, checks, applies the rest; a reader pinned before the death is true throughout."""
    old = stage.reader(1)
    assert old.pin() == before
    check_reader(old, stage.states[before], ASKED)
    stage.take_over()
    figures = stage.writer.walked()
    assert stage.writer.published in (before, before + 1)
    assert figures["redone"] == stage.writer.published - before
    check_reader(old, stage.states[before], ASKED)
    check_all(stage)
    walk_between(stage, changes[: stage.writer.published + 20])
    check_reader(old, stage.states[before], ASKED)
    assert stage.writer.stat()["merging"], "what the old reader may hold was given away"
    old.unpin()
    apply_from(stage, changes)
    for _ in range(3):
        stage.writer.reclaim()
    check_all(stage)
    figures = stage.writer.stat()
    assert not figures["merging"]
    after = stage.successor()
    assert after["names"] == names_in(stage)
    assert after["names_dropped"] == 0
    assert stage.writer.stat()["used_bytes"] == figures["used_bytes"] - figures["pending_bytes"]
    stage.take_over(check=True)


@parametrize_few("passes", [7, 1, 90])
@pytest.mark.parametrize("point", [*APPLYING, *RECLAIMING])
def test_a_killed_writer_is_succeeded(point: str, passes: int) -> None:
    stage, changes = prepared(passes)
    try:
        early = stage.reader(2)
        if passes == 7:  # it holds every version that the dead writer replaced
            early.pin()
        killed = dies_at(point, passes, lambda: apply_from(stage, changes))
        before = stage.reader(9).published
        if not killed:
            assert passes > 1 or point in ("apply-account",), f"{point} is never passed"
        if early.pinned:
            stage.successor()
            before = stage.writer.published
            check_reader(early, stage.states[1], ASKED)
            early.unpin()
        successor_goes_on(stage, changes, before)
    finally:
        stage.close()


@parametrize_few("first", ["apply-intent", "apply-word", "split-stored", "apply-stage-list"])
@pytest.mark.parametrize(("point", "passes"), [
    *((point, 1) for point in RECOVERING), ("walk-class", 100), ("walk-list", 8), ("walk-log", 3)
])  # fmt: skip
def test_a_successor_killed_while_recovering_is_succeeded(
    point: str, passes: int, first: str
) -> None:
    stage, changes = prepared(3)
    try:
        assert dies_at(first, 12, lambda: apply_from(stage, changes))
        killed = dies_at(point, passes, lambda: recover(stage, changes))
        assert killed or first != PASSED_AFTER.get(point, first), f"{point} is never passed"
        successor_goes_on(stage, changes, stage.reader(9).published)
    finally:
        stage.close()


BESIDE = ["apply-before-intent", "apply-intent", "apply-account", "apply-node", "apply-rights"]


@pytest.mark.parametrize("point", BESIDE)
def test_a_record_beside_the_items_is_old_or_new_after_a_kill(point: str) -> None:
    """Accounts and nodes are part of the intent: a change is there with them, or not at all."""
    stage, _ = prepared(1)
    try:
        first = entry(2, [(PERSON, 1, person(b"a", 777, b"enabled"))])
        second = entry(3, [(PERSON, 1, person(b"b", 778, b"enabled"))], time_ms=3)
        stage.writer.apply(first, [image(ACCOUNT, 7, 2, Thing(b"old"))])
        account = image(ACCOUNT, 7, 3, Thing(b"new"))
        assert dies_at(point, 1, lambda: stage.writer.apply(second, [account]))
        reader = stage.reader(0)
        assert (reader.published, reader.raw_get(ACCOUNT, 7)) == (2, b"old")
        stage.successor()
        for _ in range(5):
            stage.writer.reclaim()
        if point == "apply-before-intent":
            assert (reader.published, reader.raw_get(ACCOUNT, 7)) == (2, b"old")
            # More records than the memory that came back holds: some lie where the dead one's lay.
            others = [(PERSON, dbid, person(b"x", 1, b"enabled")) for dbid in range(1, 400)]
            stage.writer.prepare(entry(3, others, time_ms=3), [account])
            assert reader.raw_get(ACCOUNT, 7) == b"old"
            stage.writer.abandon()
            stage.writer.apply(second, [account])
        assert (reader.published, reader.raw_get(ACCOUNT, 7)) == (3, b"new")
        assert reader.count(ACCOUNT) == 0
        check_nodes(reader, {**stage.states[1], (PERSON, 1): person(b"b", 778, b"enabled")})
        assert reader.raw_rights_revision == 3
        stage.writer.reclaim()
        figures = stage.writer.stat()
        stage.successor()
        assert stage.writer.stat()["used_bytes"] == figures["used_bytes"] - figures["pending_bytes"]
    finally:
        stage.close()
