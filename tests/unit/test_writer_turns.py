"""Whose write is next, and how many may be under way at another server."""

from __future__ import annotations

from typing import Any

from csp.writer.turns import LARGE_BYTES, UNDER_WAY_BYTES_MAX, Pace, Taken, Turns


class FakePeer:
    is_paused = False


def message(number: int, who: str, size: int = 1) -> list[bytes]:
    return [b"WRITE", b"%d" % number, who.encode(), b"x" * size]


def turns_of(pace: Pace | None, *peers: Any) -> Turns:
    turns = Turns(pace)
    for peer in peers:
        turns.join(peer)
    return turns


def numbers(group: list[Taken]) -> list[int]:
    return [int(taken.message[1]) for taken in group]


def take(turns: Turns) -> list[Taken]:
    return turns.take(1_000, 10 * UNDER_WAY_BYTES_MAX)


def test_without_a_pace_a_connection_may_fill_a_group() -> None:
    peer: Any = FakePeer()
    turns = turns_of(None, peer)
    for number in range(50):
        turns.add(peer, message(number, "a"))
    assert numbers(take(turns)) == list(range(50))
    assert turns.are_open
    assert not turns.has_writes


def test_each_connection_has_so_many_under_way_and_they_keep_their_order() -> None:
    peer: Any = FakePeer()
    turns = turns_of(Pace(2, 100), peer)
    for number in range(4):
        turns.add(peer, message(number, "a"))
        turns.add(peer, message(10 + number, "b"))
    first = take(turns)
    assert numbers(first) == [0, 10, 1, 11]
    assert not turns.has_writes
    turns.decided(first[3])
    assert numbers(take(turns)) == [12]
    turns.decided(first[0])
    turns.decided(first[2])
    last = take(turns)
    assert numbers(last) == [2, 3]
    for taken in [*last, first[1]]:
        turns.decided(taken)
    turns.add(peer, message(20, "a"))
    assert numbers(take(turns)) == [13, 20]


def test_all_together_have_so_many_under_way() -> None:
    peer: Any = FakePeer()
    turns = turns_of(Pace(2, 3), peer)
    for number in range(5):
        turns.add(peer, message(number, str(number)))
    first = take(turns)
    assert numbers(first) == [0, 1, 2]
    assert not turns.has_writes
    turns.decided(first[1])
    assert turns.has_writes
    assert numbers(take(turns)) == [3]


def test_a_large_one_is_alone_among_its_connections() -> None:
    """It travels in pieces, which a small one behind it would overtake."""
    peer: Any = FakePeer()
    turns = turns_of(Pace(8, 100), peer)
    turns.add(peer, message(1, "a"))
    turns.add(peer, message(2, "a", LARGE_BYTES + 1))
    turns.add(peer, message(3, "a"))
    turns.add(peer, message(4, "b"))
    first = take(turns)
    assert numbers(first) == [1, 4]
    turns.decided(first[0])
    large = take(turns)
    assert numbers(large) == [2]
    turns.decided(large[0])
    assert numbers(take(turns)) == [3]


def test_their_bytes_are_limited_too() -> None:
    peer: Any = FakePeer()
    turns = turns_of(Pace(8, 100), peer)
    for number in range(3):
        turns.add(peer, message(number, str(number), UNDER_WAY_BYTES_MAX // 2))
    first = take(turns)
    assert numbers(first) == [0, 1]
    turns.decided(first[0])
    assert numbers(take(turns)) == [2]


def test_what_is_decided_for_a_worker_that_went_makes_room() -> None:
    gone: Any = FakePeer()
    here: Any = FakePeer()
    turns = turns_of(Pace(1, 1), gone, here)
    turns.add(gone, message(1, "a"))
    turns.add(gone, message(2, "a"))
    turns.add(here, message(3, "a"))
    (first,) = take(turns)
    turns.leave(gone)
    turns.decided(first)
    last = take(turns)
    assert numbers(last) == [3]
    turns.decided(last[0])
    assert not turns.are_open
