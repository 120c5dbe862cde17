"""A short run of every target; what long runs found stays in the corpus and is tried each time."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import build
from tests.fuzz.__main__ import TARGETS

SECONDS = 6


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
