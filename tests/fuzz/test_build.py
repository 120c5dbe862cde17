"""Builds for the fuzzer that are asked for at the same time: one is made, the other waits."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fuzz import build

OVERLAP_SECONDS = 0.3  # how long the first build gives a second one to get in
SECONDS_MAX = 30


def test_two_builds_at_once_follow_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    both_inside = threading.Barrier(2)
    overlaps: list[bool] = []

    def note_an_overlap() -> None:
        try:
            both_inside.wait(OVERLAP_SECONDS)
        except threading.BrokenBarrierError:
            overlaps.append(False)
        else:
            overlaps.append(True)
        both_inside.reset()

    monkeypatch.setattr(build, "LOCK", tmp_path / "made" / "fuzz.lock")
    monkeypatch.setattr(build, "_build", note_an_overlap)
    with ThreadPoolExecutor(2) as threads:
        for one in [threads.submit(build.build) for _ in range(2)]:
            one.result(SECONDS_MAX)
    assert overlaps == [False, False]
