"""The validators of histories: a valid one passes, each fault put in is found by its validator."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from tests.validate import (  # noqa: F401 - they fill PLANTS
    plants_answered,
    plants_assured,
    plants_cached,
    plants_told,
)
from tests.validate.history import (
    Assured,
    Bookmark,
    Committed,
    Finished,
    Gap,
    Hit,
    Part,
    Read,
    Shown,
    Subscribed,
    Told,
    Write,
    load,
    save,
)
from tests.validate.planting import PLANTS, Plant
from tests.validate.pretended import pretend
from tests.validate.validators import VALIDATORS, judge

SEEDS = range(12)
OF_PLANTS = range(2)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_valid_history_passes(seed: int) -> None:
    records = pretend(seed)
    assert judge(records) == []


def test_a_valid_history_has_what_is_judged() -> None:
    kinds = Counter(type(one) for one in pretend(1))
    assert min(kinds[kind] for kind in (Committed, Write, Read, Told, Hit)) > 50
    assert kinds[Bookmark] > 5
    assert kinds[Gap] == 0
    assert {one.state for one in pretend(1) if isinstance(one, Write)} == {
        "committed",
        "rejected",
        "unknown",
    }


@pytest.mark.parametrize("seed", OF_PLANTS)
@pytest.mark.parametrize("plant", PLANTS, ids=lambda plant: plant.name)
def test_a_fault_put_in_is_found(plant: Plant, seed: int) -> None:
    records = plant.put(pretend(seed), random.Random(seed))
    assert VALIDATORS[plant.finder](records), judge(records)


def test_every_validator_has_faults_to_find() -> None:
    assert {plant.finder for plant in PLANTS} == set(VALIDATORS)


def test_a_gap_that_was_due_excuses_what_it_hides() -> None:
    """The log had passed the place, and the subscriber was told so."""
    part = Part("update", "CfgSkill:101", 1)
    log = [Committed(revision, revision, (part,)) for revision in range(11, 17)]
    where = ("who", "first", 1, 0.0)

    def told(revision: int) -> Told:
        return Told(*where, "cfg", part.op, part.key, revision, revision, False)

    begin = Subscribed(*where, ("cfg",), 10, 10)
    heard = [told(revision) for revision in (14, 15, 16)]
    end = Finished("who", 1.0, 16)
    silent = [begin, told(11), *heard, end, *log]
    assert VALIDATORS["reliable"](silent)
    assert VALIDATORS["resumable"](silent)
    for oldest in (14, 0):  # said, or to be seen from what comes next
        gap = Gap(*where, "the log has passed it", oldest)
        told_so = [begin, told(11), gap, *heard, end, *log]
        assert VALIDATORS["reliable"](told_so) == []
        # A gap of which the server does not say that its log had passed the place is a fault.
        assert bool(VALIDATORS["resumable"](told_so)) == (oldest == 0)


def test_a_gap_that_is_told_excuses_a_read_of_the_past() -> None:
    """Who is told that changes may be missing knows that what was seen counts no more."""
    log = [Committed(at, at, (Part("update", "CfgSkill:101", 1),)) for at in (11, 12)]
    came = Assured("who", "second", 1, 0.0, 0.1, 12, "token")
    old = Read("who", "second", 1, 0.2, 0.3, (Shown("CfgSkill:101", 11, 11),))
    assert VALIDATORS["assured"]([came, old, *log])
    gap = Gap("who", "second", 1, 0.15, "resync", 12)
    assert VALIDATORS["assured"]([came, gap, old, *log]) == []


def test_a_history_is_the_same_from_its_file(tmp_path: Path) -> None:
    records = pretend(3, 50)
    save(records, tmp_path / "history.jsonl")
    assert load(tmp_path / "history.jsonl") == records
