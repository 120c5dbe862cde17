"""Which Application objects a proxy may run as."""

from __future__ import annotations

from typing import Any

import pytest

from csp.supervisor.application import ApplicationWanted, port_of, why_unfit

GOOD: dict[str, Any] = {
    "DBID": 101,
    "name": "p",
    "type": "configurationserver",
    "state": "enabled",
    "portInfos": [{"id": "other", "port": "1"}, {"id": "default", "port": "2020"}],
}
WANTED = ApplicationWanted("p", None, may_create=False)


def test_a_fit_application() -> None:
    assert why_unfit(GOOD, WANTED) is None
    assert port_of(GOOD) == 2020


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"state": "disabled"}, "is disabled"),
        ({"type": "statserver"}, "is of type statserver"),
        ({"portInfos": []}, "no port"),
        ({"portInfos": [{"id": "default", "port": "0"}]}, "no port"),
        ({"portInfos": [{"id": "default"}]}, "no port"),
    ],
)
def test_an_unfit_one_is_named(change: dict[str, Any], words: str) -> None:
    assert words in (why_unfit(GOOD | change, WANTED) or "")


def test_a_missing_one_says_how_to_make_it() -> None:
    assert "--create-app" in (why_unfit(None, WANTED) or "")
