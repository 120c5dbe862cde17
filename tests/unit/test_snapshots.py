"""When the supervisor has a snapshot written, how long it waits for one, and what it says."""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp._fastpath import Control
from csp.observe.log import LogSettings
from csp.store import segment
from csp.store.alarms import ALARM_SNAPSHOT, is_raised
from csp.supervisor import snapshots
from csp.supervisor.snapshots import FIRST_SECONDS, RETRY_SECONDS, Snapshots
from tests.neighbours.waiting import wait_until

INTERVAL = 300.0


@pytest.fixture
def made(instance: str, tmp_path: Path) -> Iterator[Snapshots]:
    one = Snapshots(
        instance, tmp_path, "proxy1", LogSettings(str(tmp_path / "log"), "text", "info")
    )
    yield one
    one.kill()


@pytest.fixture
def control(instance: str) -> Control:
    return Control(segment.open_control(instance))


class Signals:
    """The supervisor's ear."""

    def __init__(self, *numbers: int) -> None:
        self.fd, to = os.pipe()
        os.write(to, bytes(numbers) or b"")
        self._numbers = list(numbers)

    def take(self) -> list[int]:
        taken, self._numbers = self._numbers, []
        return taken


def attempts(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """What an attempt does in its process, instead of writing."""
    monkeypatch.setattr(snapshots, "keep_snapshot", answer)


def turn_to_the_end(made: Snapshots, now: float) -> None:
    """Turns until the attempt under way has ended."""
    wait_until(lambda: made.tick(now, interval_seconds=INTERVAL) or not made.pid, 10, "its end")


def test_the_first_comes_soon_after_the_load_the_next_after_the_interval(
    made: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts(monkeypatch, lambda *_, **__: "")
    now = time.monotonic()
    made.tick(now, interval_seconds=INTERVAL)
    made.tick(now + FIRST_SECONDS - 1, interval_seconds=INTERVAL)
    assert made.pid == 0
    made.tick(now + FIRST_SECONDS, interval_seconds=INTERVAL)
    assert made.pid != 0
    turn_to_the_end(made, now + FIRST_SECONDS)
    made.tick(now + FIRST_SECONDS + INTERVAL - 60, interval_seconds=INTERVAL)
    assert made.pid == 0
    made.tick(now + FIRST_SECONDS + INTERVAL + 60, interval_seconds=INTERVAL)
    assert made.pid != 0


def test_one_failure_is_a_line_the_second_an_alarm_which_ends_with_success(
    made: Snapshots, control: Control, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    attempts(monkeypatch, lambda *_, **__: "No space left on device")
    made.tick(time.monotonic(), interval_seconds=INTERVAL)
    for is_alarm in (False, True):
        now = made._due_at or 0.0
        made.tick(now, interval_seconds=INTERVAL)
        turn_to_the_end(made, now)
        assert is_raised(control, ALARM_SNAPSHOT) == is_alarm
        assert (made._due_at or 0.0) - time.monotonic() == pytest.approx(RETRY_SECONDS, abs=5)
    now = made._due_at or 0.0
    assert b"No space left on device" in control.alarm(ALARM_SNAPSHOT.place)[2]
    attempts(monkeypatch, lambda *_, **__: "")
    made.tick(now, interval_seconds=INTERVAL)
    turn_to_the_end(made, now)
    assert not is_raised(control, ALARM_SNAPSHOT)
    log = (tmp_path / "log").read_text()
    assert [number for number in ("51364", "51365", "51366") if number in log] == [
        "51364", "51365", "51366"
    ]  # fmt: skip


def test_a_stop_waits_so_long_and_leaves_the_snapshot_before(
    made: Snapshots, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    made.path.write_text("the one before")
    attempts(monkeypatch, lambda *_, **__: signal.pause())
    monkeypatch.setattr(snapshots, "STOP_SECONDS_MAX", 0.3)
    with caplog.at_level(logging.INFO):
        assert not made.write_last(Signals(), deaf_until=0.0)  # type: ignore[arg-type]
    assert "not within" in caplog.text
    assert "the segments stay" in caplog.text
    assert made.pid == 0
    assert made.path.read_text() == "the one before"


def test_a_second_signal_ends_the_waiting_of_a_stop(
    made: Snapshots, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts(monkeypatch, lambda *_, **__: signal.pause())
    with caplog.at_level(logging.INFO):
        signals: Any = Signals(signal.SIGTERM)
        assert not made.write_last(signals, deaf_until=0.0)
    assert "SIGTERM came again" in caplog.text


def test_a_stop_ends_an_attempt_beside_the_service_and_begins_its_own(
    made: Snapshots, monkeypatch: pytest.MonkeyPatch
) -> None:
    attempts(monkeypatch, lambda *_, share, **__: signal.pause() if share < 1 else "")
    now = time.monotonic()
    made.tick(now, interval_seconds=INTERVAL)
    made.tick(now + FIRST_SECONDS, interval_seconds=INTERVAL)
    assert made.pid
    assert made.write_last(Signals(), deaf_until=0.0)  # type: ignore[arg-type]


def test_an_attempt_that_dies_is_told_and_counts_as_failed(
    made: Snapshots, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    attempts(monkeypatch, lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
    now = time.monotonic()
    made.tick(now, interval_seconds=INTERVAL)
    made.tick(now + FIRST_SECONDS, interval_seconds=INTERVAL)
    with caplog.at_level(logging.INFO):
        turn_to_the_end(made, now + FIRST_SECONDS)
    assert "SIGKILL" in caplog.text
    assert made._failures == 1
