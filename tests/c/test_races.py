"""Lets threads read a store while it changes, under the race detector."""

from __future__ import annotations

import pytest

from tests.c import races

SECONDS = "4"


@pytest.mark.long
@pytest.mark.needs("cc")
@pytest.mark.timeout(races.BUILD_SECONDS_MAX + races.RUN_SECONDS_MAX)
def test_no_race() -> None:
    assert races.main(SECONDS) == 0
