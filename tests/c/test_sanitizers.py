"""Builds the extension with each sanitizer and lets threads read a store while it changes."""

from __future__ import annotations

import pytest

from tests.c import sanitize

SECONDS = "4"


@pytest.mark.needs("cc")
@pytest.mark.timeout(sanitize.BUILD_SECONDS_MAX + sanitize.RUN_SECONDS_MAX)
@pytest.mark.parametrize("flavour", list(sanitize.FLAVOURS))
def test_no_report(flavour: str) -> None:
    assert sanitize.main(flavour, SECONDS) == 0
