"""In redis-py's own test run: FLUSHDB is left out, and what failed is written down with its error.

Loaded with `-p suite_plugin`; the tests around it are not this project's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

FAILED: dict[str, str] = {}
COUNTS: dict[str, int] = {}
ERROR_SIZE_MAX = 2_000


def _flushdb(*_: Any, **__: Any) -> bool:
    return True


async def _flushdb_later(*_: Any, **__: Any) -> bool:
    return True


# Each fixture ends with it, and csp has no such command.
redis.Redis.flushdb = _flushdb  # type: ignore[assignment, method-assign]
redis.asyncio.Redis.flushdb = _flushdb_later  # type: ignore[assignment, method-assign]


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """One phase of one test."""
    if report.when == "call" or report.failed:
        COUNTS[report.outcome] = COUNTS.get(report.outcome, 0) + 1
    if report.failed:
        crash = getattr(report.longrepr, "reprcrash", None)
        text = crash.message if crash else str(report.longrepr)
        FAILED.setdefault(report.nodeid, text[:ERROR_SIZE_MAX])


def pytest_sessionfinish() -> None:
    """Hands over what was seen."""
    found = {"failed": FAILED, "counts": COUNTS}
    Path(os.environ["SUITE_REPORT"]).write_text(json.dumps(found, indent=1))
