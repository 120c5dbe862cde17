"""What `bin/redis-py-suite` makes of failures, and that its list is in order."""

from __future__ import annotations

import re
import tomllib

from tests.redis_py_suite.__main__ import HERE, judge

EXPECTED = {
    "errors": [{"error": "unknown command 'SET'", "reason": "no writes"}],
    "named": [{"tests": ["a.py::test_named"], "reason": "by name"}],
}


def test_failures_are_explained_by_their_error_or_their_name() -> None:
    failed = {
        "a.py::test_writes[x]": "ResponseError: unknown command 'SET', with …",
        "a.py::test_named[y]": "KeyError: 'cmd'",
        "a.py::test_broken": "AssertionError",
    }
    verdict = judge(failed, EXPECTED, whole=True)
    assert verdict.explained == {
        "no writes": ["a.py::test_writes[x]"],
        "by name": ["a.py::test_named[y]"],
    }
    assert verdict.unexplained == {"a.py::test_broken": "AssertionError"}
    assert not verdict.is_good


def test_a_named_test_that_passes_is_told() -> None:
    assert judge({}, EXPECTED, whole=True).passed_after_all == ["a.py::test_named"]
    assert judge({}, EXPECTED, whole=False).is_good


def test_every_expected_failure_has_its_reason() -> None:
    expected = tomllib.loads((HERE / "expected.toml").read_text())
    for row in expected["errors"]:
        re.compile(row["error"])
    named = [test for row in expected["named"] for test in row["tests"]]
    assert len(named) == len(set(named))
    assert all(test.split("::")[0] in expected["files"] for test in named)
    assert all(row["reason"] for row in [*expected["errors"], *expected["named"]])
