"""Who is compared next: addresses in turn, places left for the next one, a pace for guessers."""

from __future__ import annotations

import pytest

from csp.auth.line import (
    ADDRESSES_MAX,
    FAILURES_FREE,
    FAILURES_MS,
    PACE_MS,
    PACED_WAITING_MAX,
    WAITING_MAX,
    Line,
    line_of,
)


def filled(line: Line[str], address: str, now_ms: int = 0) -> int:
    """Adds until it is refused: how many found a place."""
    count = 0
    while line.add(address, f"{address} {count}", now_ms):
        count += 1
    return count


def taken(line: Line[str], now_ms: int, most: int = 10_000) -> list[str]:
    found = []
    while len(found) < most and (one := line.take(now_ms)) is not None:
        found.append(one)
    return found


def test_addresses_are_served_in_turn_each_in_its_order() -> None:
    line: Line[str] = Line()
    for number in range(3):
        line.add("a", f"a{number}", 0)
    line.add("b", "b0", 0)
    line.add("c", "c0", 0)
    line.add("b", "b1", 0)
    assert taken(line, 0) == ["a0", "b0", "c0", "a1", "b1", "a2"]
    assert len(line) == 0


def test_a_thousand_of_one_address_hold_up_nobody_else() -> None:
    line: Line[str] = Line()
    assert filled(line, "guesser") == WAITING_MAX // 2
    assert line.add("other", "right", 0)
    assert "right" in taken(line, 0, most=2)


def test_there_is_a_place_for_the_next_address_however_many_have_all_they_may() -> None:
    line: Line[str] = Line()
    places = [filled(line, f"address {number}") for number in range(9)]
    assert all(places), places
    assert line.add("one more", "x", 0)
    assert len(line) <= WAITING_MAX


def test_who_fails_often_is_served_at_a_pace_and_the_others_are_not() -> None:
    line: Line[str] = Line()
    for _ in range(FAILURES_FREE):
        line.failed("guesser", 0)
    assert filled(line, "guesser") > PACED_WAITING_MAX, "people mistype"
    dropped = line.failed("guesser", 0)
    assert len(line) == PACED_WAITING_MAX, "what would wait too long has no place any more"
    assert dropped[-1] == f"guesser {PACED_WAITING_MAX}"
    assert not line.add("guesser", "one more", 0)
    line.add("other", "other", 0)
    assert taken(line, 0) == ["guesser 0", "other"]
    assert taken(line, PACE_MS - 1) == []
    assert taken(line, PACE_MS) == ["guesser 1"]
    assert len(taken(line, FAILURES_MS)) == PACED_WAITING_MAX - 2, "long enough ago"


def test_of_whom_there_was_no_place_for_nothing_is_kept() -> None:
    line: Line[str] = Line()
    number = 0
    while len(line) < WAITING_MAX:
        line.add(f"busy {number}", "x", 0)
        number += 1
    assert not line.add("too late", "x", 0)
    taken(line, 0)
    for number in range(ADDRESSES_MAX + 1):
        line.failed(f"guesser {number}", 0)
    assert line.add("too late", "x", 0)


@pytest.mark.parametrize(
    ("host", "line"),
    [
        ("10.1.2.3", "10.1.2.3"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::7", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_a_network_of_ipv6_is_one_line(host: str, line: str) -> None:
    assert line_of(host) == line
