"""Looks for the barriers of arm64 in what the compiler makes of the ways to shared words."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.c.arm64 import instructions

pytestmark = pytest.mark.needs("cc-arm64")
OLD, NEW = "armv8-a", "armv8.3-a"  # loads and stores that are tried again; atomic instructions
FENCE = "dmb ish"


def before(found: list[str], first: str, then: str) -> bool:
    """Whether both are there, in this order."""
    return first in found and then in found[found.index(first) + 1 :]


@pytest.mark.parametrize("march", [OLD, NEW])
def test_words_are_released_and_acquired(march: str, tmp_path: Path) -> None:
    found = instructions(march, tmp_path)
    assert "stlr" in found["store"]
    assert {"ldar", "ldapr"} & set(found["load"])
    assert found["fence"].count(FENCE) == 1


@pytest.mark.parametrize(("march", "swap", "add"), [
    (OLD, ("ldaxr", "stlxr"), ("ldaxr", "stlxr")), (NEW, ("swpal",), ("ldaddal",))
])  # fmt: skip
def test_swaps_order_both_ways(
    march: str, swap: tuple[str, ...], add: tuple[str, ...], tmp_path: Path
) -> None:
    found = instructions(march, tmp_path)
    assert set(swap) <= set(found["swap"])
    assert set(add) <= set(found["add"])


@pytest.mark.parametrize(("march", "announced"), [(OLD, "stlxr"), (NEW, "swpal")])
def test_nothing_is_read_before_the_announcement_is_seen(
    march: str, announced: str, tmp_path: Path
) -> None:
    found = instructions(march, tmp_path)["pin"]
    assert before(found, announced, FENCE)
    loads = [at for at, one in enumerate(found) if one in ("ldar", "ldapr")]
    assert loads[-1] > found.index(FENCE), "the revision is loaded behind the fence"


@pytest.mark.parametrize(("march", "raised"), [(OLD, "stlxr"), (NEW, "ldaddal")])
def test_announcements_are_looked_at_behind_the_raised_epoch(
    march: str, raised: str, tmp_path: Path
) -> None:
    found = instructions(march, tmp_path)["oldest"]
    assert before(found, raised, FENCE)
    assert "ldar" in found[found.index(FENCE) :]


@pytest.mark.parametrize("march", [OLD, NEW])
def test_checksums_use_the_processor_where_it_can(march: str, tmp_path: Path) -> None:
    found = instructions(march, tmp_path)
    inside = {one for body in found.values() for one in body}
    assert {"crc32cx", "crc32cb"} <= inside
    assert "bl" in found["prepare"], "the kernel is asked whether it can"
