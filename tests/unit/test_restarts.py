"""When a dead process starts again, and when a silent one counts as hung."""

from __future__ import annotations

import pytest

from csp.process.roles import WORKER, WRITER
from csp.supervisor.hang import (
    DISK_SECONDS_MAX,
    SILENCE_SECONDS_MAX,
    PauseWatch,
    Pulse,
)
from csp.supervisor.restart import DELAY_MS_MAX, RestartPolicy


def test_a_process_that_was_ready_restarts_at_once_however_often() -> None:
    policy = RestartPolicy()
    for _ in range(1_000):
        policy.on_ready()
        assert policy.on_death(was_ready=True) == 0


def test_deaths_before_readiness_back_off_to_a_limit() -> None:
    policy = RestartPolicy()
    delays = [policy.on_death(was_ready=False) for _ in range(9)]
    assert delays == [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000, DELAY_MS_MAX]
    policy.on_ready()
    assert policy.on_death(was_ready=True) == 0
    assert policy.on_death(was_ready=False) == 100


@pytest.mark.parametrize(
    ("state", "seconds", "is_hung"),
    [
        ("T", SILENCE_SECONDS_MAX, True),
        ("S", SILENCE_SECONDS_MAX, True),
        ("S", SILENCE_SECONDS_MAX - 0.1, False),
        ("D", SILENCE_SECONDS_MAX, False),
        ("D", DISK_SECONDS_MAX, True),
        ("R", 1_000.0, False),  # gets no processor
        ("t", 1_000.0, False),  # under a debugger
    ],
)
def test_silence_without_progress(state: str, seconds: float, is_hung: bool) -> None:
    pulse = Pulse()
    pulse.asked(100.0, 7.0)
    found = pulse.why_hung(WORKER.spin_seconds_max, 100.0 + seconds, 7.0, state)
    assert (found is not None) is is_hung


def test_a_busy_process_is_given_long() -> None:
    pulse = Pulse()
    pulse.asked(0.0, 7.0)
    limit = WRITER.spin_seconds_max
    assert pulse.why_hung(WRITER.spin_seconds_max, limit - 1, 7.5, "S") is None
    assert pulse.why_hung(WRITER.spin_seconds_max, limit, 7.5, "R") is not None


@pytest.mark.parametrize(
    ("state", "after", "is_hung"),
    [
        ("S", SILENCE_SECONDS_MAX, True),
        ("T", SILENCE_SECONDS_MAX, True),
        ("S", SILENCE_SECONDS_MAX - 0.1, False),
        ("D", SILENCE_SECONDS_MAX, False),
        ("D", DISK_SECONDS_MAX, True),
        ("R", 100.0, False),
    ],
)
def test_worked_after_the_question_then_slept(state: str, after: float, is_hung: bool) -> None:
    pulse = Pulse()
    pulse.asked(0.0, 7.0)
    limit = WRITER.spin_seconds_max
    assert pulse.why_hung(limit, 1.0, 7.01, "R") is None
    assert pulse.why_hung(limit, 2.0, 7.02, "R") is None
    assert pulse.why_hung(limit, 2.0 + after - 0.05, 7.02, "R") is None
    found = pulse.why_hung(limit, 2.0 + after, 7.02, state)
    assert (found is not None) is is_hung
    assert found is None or f"no progress for {after:.0f} s" in found


def test_an_answer_and_a_pause_begin_anew() -> None:
    pulse = Pulse()
    pulse.asked(0.0, 0.0)
    pulse.restart_wait(1_000.0, 0.0)
    assert pulse.why_hung(WORKER.spin_seconds_max, 1_001.0, 0.0, "S") is None
    pulse.answered()
    assert pulse.why_hung(WORKER.spin_seconds_max, 9_999.0, 0.0, "T") is None


def test_a_paused_machine_is_noticed() -> None:
    watch = PauseWatch(0.0)
    assert not watch.was_paused(1.0)
    assert watch.was_paused(61.0)
    assert not watch.was_paused(62.0)
