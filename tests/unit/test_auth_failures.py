"""What is told of failed sign-ins: a line at once, then one a minute and address, and an alarm."""

from __future__ import annotations

import logging
import tracemalloc

import pytest

from csp.auth.failure_alarm import DEFAULT_COUNT as ALARM_COUNT
from csp.auth.failure_alarm import DEFAULT_MS as ALARM_MS
from csp.auth.failure_alarm import PERCENT_OF_MIN, Rule
from csp.auth.failures import ADDRESSES_MAX, INTERVAL_MS, Failures, printable
from csp.auth.verifier import BUSY, WRONG
from tests.unit.fake_flags import FakeFlags


@pytest.fixture
def flags() -> FakeFlags:
    return FakeFlags()


@pytest.fixture
def failures(flags: FakeFlags, caplog: pytest.LogCaptureFixture) -> Failures:
    caplog.set_level(logging.INFO)
    return Failures(flags, 0)


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    found = [line.getMessage() for line in caplog.records]
    caplog.clear()
    return found


def test_the_first_is_told_at_once_the_rest_with_a_count(
    failures: Failures, caplog: pytest.LogCaptureFixture
) -> None:
    failures.add(b"default", "10.0.0.1", WRONG, 0)
    assert lines(caplog) == [f"sign-in of default from 10.0.0.1 refused: {WRONG}"]
    for number in range(30):
        failures.add(b"ann", "10.0.0.1", WRONG, number)
    failures.add(b"bob", "10.0.0.2", WRONG, 40)
    assert lines(caplog) == [f"sign-in of bob from 10.0.0.2 refused: {WRONG}"]
    failures.tick(INTERVAL_MS - 1)
    assert lines(caplog) == []
    failures.tick(INTERVAL_MS + 1_000)
    assert lines(caplog) == [f"sign-in of ann from 10.0.0.1 refused: {WRONG}; 30 times in 61 s"]
    # Quiet for a minute: the next failure is told at once again.
    failures.tick(3 * INTERVAL_MS)
    failures.add(b"ann", "10.0.0.1", WRONG, 3 * INTERVAL_MS)
    assert len(lines(caplog)) == 1


def test_a_flood_of_addresses_is_not_a_flood_of_lines(
    failures: Failures, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(ADDRESSES_MAX + 500):
        failures.add(b"ann", f"10.0.{number // 256}.{number % 256}", WRONG, 0)
    assert len(lines(caplog)) == ADDRESSES_MAX + 2  # one for all others, and the alarm
    failures.tick(INTERVAL_MS)
    (line, over) = lines(caplog)
    assert line.startswith("sign-in of ann from other addresses refused: ")
    assert line.endswith("; 499 times in 60 s")
    assert over == "sign-ins fail no more often than usual"


def test_many_failures_are_an_alarm_until_they_are_few(
    failures: Failures, flags: FakeFlags
) -> None:
    for number in range(ALARM_COUNT - 1):
        failures.add(b"ann", "10.0.0.1", WRONG, 500 * number)
    failures.add(b"ann", "10.0.0.1", BUSY, 49_000)
    assert flags.names() == []
    failures.add(b"ann", "10.0.0.1", WRONG, 50_000)
    assert flags.names() == ["sign-ins fail"]
    failures.tick(ALARM_MS)
    assert flags.names() == ["sign-ins fail"], "no flapping"
    failures.tick(ALARM_MS + 30_000)
    assert flags.names() == []


def test_a_rare_failure_is_none(failures: Failures, flags: FakeFlags) -> None:
    for number in range(3 * ALARM_COUNT):
        failures.add(b"ann", "10.0.0.1", WRONG, 1_000 * number)
    assert flags.names() == []


def test_what_a_client_sends_is_made_printable() -> None:
    assert (
        printable(b"a\r\n2026 alarm\x1b[31m\xff") == "a??2026 alarm?[31m\N{REPLACEMENT CHARACTER}"
    )
    assert len(printable(b"x" * 10_000)) == 64


def test_a_successor_knows_nothing_for_a_minute_and_takes_nothing_back(
    failures: Failures, flags: FakeFlags
) -> None:
    for _ in range(ALARM_COUNT):
        failures.add(b"ann", "10.0.0.1", WRONG, 1_000)
    assert flags.names() == ["sign-ins fail"]
    successor = Failures(flags, 2_000)
    successor.tick(2_000 + ALARM_MS - 1)
    assert flags.names() == ["sign-ins fail"]
    successor.tick(2_000 + ALARM_MS)
    assert flags.names() == []


def test_options_say_how_many_failures_in_what_time_are_an_alarm(
    failures: Failures, flags: FakeFlags
) -> None:
    failures.alarm.take(Rule.of({"failure-alarm-period": 5, "failure-alarm-count": 3}), 0)
    for minute in range(3):
        failures.add(b"ann", "10.0.0.1", WRONG, minute * 60_000)
    assert flags.names() == [], "three are not more than three"
    failures.add(b"ann", "10.0.0.1", WRONG, 4 * 60_000)
    assert flags.names() == ["sign-ins fail"]
    assert flags.texts() == [
        "4 sign-ins failed within 300 s, the last one of ann from 10.0.0.1",
    ]
    failures.tick(8 * 60_000)
    assert flags.names() == []
    for minute in range(10, 60, 2):  # never more than three in five minutes
        failures.add(b"ann", "10.0.0.1", WRONG, minute * 60_000)
    assert flags.names() == []


def test_the_alarm_is_raised_once_a_window(
    failures: Failures, flags: FakeFlags, caplog: pytest.LogCaptureFixture
) -> None:
    """T56 and F98: each of the rules, however many more fail."""
    for rule in ({"failure-alarm-count": 3}, {"failure-alarm-percent": 50}):
        failures.alarm.take(Rule.of({"failure-alarm-period": 5, **rule}), 0)
        for start_ms in (0, 20 * 60_000):
            lines(caplog)
            for number in range(40):
                failures.add(b"ann", "10.0.0.1", WRONG, start_ms + number * 1_000)
            told = [one for one in lines(caplog) if "sign-ins failed within" in one]
            assert told == flags.texts()
            assert flags.names() == ["sign-ins fail"]
            failures.tick(start_ms + 15 * 60_000)
            assert flags.names() == []


def test_a_share_of_failures_is_an_alarm_once_there_are_some(
    failures: Failures, flags: FakeFlags
) -> None:
    failures.alarm.take(Rule.of({"failure-alarm-period": 1, "failure-alarm-percent": 50}), 0)
    for _ in range(PERCENT_OF_MIN - 2):
        failures.add(b"ann", "10.0.0.1", WRONG, 1_000)
    assert flags.names() == [], "of so few a share says nothing"
    for _ in range(PERCENT_OF_MIN - 2):
        failures.add_right(2_000)
    assert flags.names() == []
    failures.add(b"ann", "10.0.0.1", WRONG, 3_000)
    assert flags.names() == ["sign-ins fail"], "9 of 17"


def test_an_hour_of_right_sign_ins_leaves_no_memory_behind(failures: Failures) -> None:
    """Auth grew by a slice a second for as long as nobody mistyped, half a MiB an hour."""
    warm_s, end_s = 5 * 60, 65 * 60
    tracemalloc.start()
    try:
        for second in range(warm_s):
            failures.add_right(second * 1_000)
        before, _ = tracemalloc.get_traced_memory()
        for second in range(warm_s, end_s):
            failures.add_right(second * 1_000)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 4_096


@pytest.mark.parametrize(
    "stated",
    [
        {},
        {"failure-alarm-period": 5},
        {"failure-alarm-count": 3},
        {"failure-alarm-percent": 30},
    ],
)
def test_half_a_rule_leaves_ours(stated: dict[str, int]) -> None:
    assert Rule.of(stated) == Rule()
