"""A short run of every target under sanitizers, and readers of a store that changes.

What long runs found stays in the corpus and is tried each time.  The quick suite has none of this:
`bin/fuzz` runs beside it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import build
from tests.fuzz.__main__ import TARGETS

pytestmark = pytest.mark.long

SECONDS = 2
RUN_SECONDS_MAX = 120


@pytest.fixture(scope="module")
def built() -> None:
    build.build()


@pytest.mark.needs("cc")
@pytest.mark.needs("clang-runtime")
@pytest.mark.timeout(build.BUILD_SECONDS_MAX)
@pytest.mark.parametrize("target", TARGETS)
def test_nothing_is_found(target: str, built: None, tmp_path: Path) -> None:
    assert build.fuzz(target, seconds=SECONDS, found=tmp_path, seed=1) == 0
    assert not list(tmp_path.glob("failed-*"))


@pytest.mark.needs("clang-runtime")
@pytest.mark.timeout(build.BUILD_SECONDS_MAX)
def test_readers_of_a_changing_store_touch_only_what_is_theirs(built: None) -> None:
    assert build.run_module("tests.c.scenario", "4", within=RUN_SECONDS_MAX) == 0
