"""Failpoints act at the passing that was asked for, and nowhere else."""

from __future__ import annotations

import os
import signal

import pytest

from csp.observe import failpoint


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    signals: list[int] = []
    monkeypatch.setattr(os, "kill", lambda _pid, number: signals.append(number))
    yield signals  # type: ignore[misc]
    failpoint.arm({})


def test_acts_once_at_the_passing_asked_for(sent: list[int]) -> None:
    failpoint.arm({failpoint.VARIABLE: "a.b=kill@3,c.d=stop"})
    for _ in range(5):
        failpoint.passed("a.b")
        failpoint.passed("x.y")
    assert sent == [signal.SIGKILL]
    failpoint.passed("c.d")
    assert sent == [signal.SIGKILL, signal.SIGSTOP]


@pytest.mark.parametrize("text", ["a.b", "a.b=die", "a.b=kill@", "a.b=kill@x"])
def test_refuses_what_it_does_not_understand(sent: list[int], text: str) -> None:
    with pytest.raises(ValueError, match="CSP_FAILPOINT"):
        failpoint.arm({failpoint.VARIABLE: text})
