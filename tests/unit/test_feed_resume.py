"""Decides by position whether a feed continues or loads, and when to try again."""

import json

import pytest

from csp.errors import CspError
from csp.feed.resume import Backoff, decide, warnings_about, why_refuse
from csp.feed.snapshot import Snapshot
from csp.model.feed import (
    FORMAT,
    NOWHERE,
    Asked,
    FeedError,
    Greeting,
    Position,
    greeting_words,
    read_greeting,
    read_request,
    request_words,
)
from csp.model.keys import TABLE_DIGEST

STREAM = bytes(range(16))
OTHER = bytes(16)


def greeting(
    revision: int = 60,
    mark: int = 7,
    *,
    stream: bytes = STREAM,
    snapshot: bool = False,
    release: str = "0.1.0",
    feed_format: int = FORMAT,
    table: int = TABLE_DIGEST,
) -> Greeting:
    """What a master might say."""
    return Greeting(release, feed_format, Position(stream, revision, mark), snapshot, table)


def test_an_empty_store_loads() -> None:
    assert decide(NOWHERE, greeting(snapshot=True)).load


def test_the_same_history_continues() -> None:
    assert not decide(Position(STREAM, 50, 3), greeting()).load
    assert not decide(Position(STREAM, 60, 7), greeting()).load


@pytest.mark.parametrize(
    ("have", "word"),
    [
        (Position(OTHER, 50, 3), "stream"),
        (Position(STREAM, 61, 7), "restored"),
        (Position(STREAM, 60, 8), "mark"),
    ],
)
def test_another_history_loads_even_if_the_master_would_continue(have: Position, word: str) -> None:
    decision = decide(have, greeting())
    assert decision.load
    assert word in decision.reason


def test_a_master_that_cannot_continue_loads() -> None:
    assert decide(Position(STREAM, 50, 3), greeting(snapshot=True)).load


def test_an_older_feed_format_is_refused_and_a_newer_release_warned_about() -> None:
    assert "update the master" in str(why_refuse(greeting(feed_format=FORMAT - 1)))
    assert why_refuse(greeting(feed_format=FORMAT + 1)) is None
    assert "newer" in warnings_about(greeting(release="0.10.0"), "0.9.1", TABLE_DIGEST)[0]
    assert warnings_about(greeting(release="0.9.1"), "0.10.0", TABLE_DIGEST) == []


def test_another_key_table_is_warned_about() -> None:
    for table in (TABLE_DIGEST ^ 1, 0):
        (warning,) = warnings_about(greeting(table=table), "0.1.0", TABLE_DIGEST)
        assert "key table" in warning


def test_what_a_greeting_says_is_read() -> None:
    _, payload = greeting_words("0.1.0", Position(STREAM, 60, 7), snapshot=True)
    assert read_greeting(payload) == greeting(snapshot=True)


@pytest.mark.parametrize("part", [None, 1])
def test_what_is_asked_is_read(part: int | None) -> None:
    parts = 1 if part is None else 4
    words = [word.encode() for word in request_words(Position(STREAM, 5, 255), part, parts)]
    assert read_request(words) == Asked(STREAM.hex(), 5, "00000000000000ff", part, parts)
    with pytest.raises(CspError, match=f"speaks feed format {FORMAT}: update who asks"):
        read_request(words[:-2])
    with pytest.raises(CspError, match=f"speaks feed format {FORMAT}, not 1"):
        read_request([*words[:-1], b"1"])


def test_a_greeting_is_read_with_its_mark_in_hexadecimal_digits() -> None:
    said = {
        "release": "0.1.0",
        "format": 1,
        "stream": STREAM.hex(),
        "revision": 60,
        "mark": "00000000000000ff",
        "mode": "snapshot",
        "table": "00000000000000ab",
        "classes": [],
    }
    read = read_greeting(json.dumps(said).encode())
    assert (read.position, read.table) == (Position(STREAM, 60, 255), 0xAB)
    assert read.snapshot
    del said["mode"]
    with pytest.raises(FeedError, match="greeting"):
        read_greeting(json.dumps(said).encode())


def test_the_position_goes_on_the_wire_as_words() -> None:
    assert request_words(NOWHERE)[:4] == ["FROM", "-", "0", "-"]
    words = [STREAM.hex(), "5", "00000000000000ff"]
    assert request_words(Position(STREAM, 5, 255))[1:4] == words


def test_the_delays_double_from_a_fifth_of_a_second_to_five_seconds() -> None:
    middle = Backoff(lambda: 0.5)
    assert [middle.next_delay_ms() for _ in range(8)] == [0, 200, 400, 800, 1600, 3200, 5000, 5000]
    middle.reset()
    assert middle.next_delay_ms() == 0


def test_the_delays_are_spread_by_half() -> None:
    low, high = Backoff(lambda: 0.0), Backoff(lambda: 0.999999)
    for _ in range(20):
        shortest, longest = low.next_delay_ms(), high.next_delay_ms()
    assert (shortest, longest) == (2500, 7500)


def test_the_part_that_began_first_is_kept_and_the_latest_end_is_the_target() -> None:
    snapshot = Snapshot(3)
    for index, revision in enumerate((12, 10, 11)):
        snapshot.greeted(index, greeting(revision))
    assert snapshot.greeted_all
    assert snapshot.keep() == 1
    for index, revision in enumerate((13, 15, 14)):
        assert not snapshot.completed_all
        snapshot.completed(index, revision, revision * 2, 99)
    assert snapshot.target() == (Position(STREAM, 15, 30), 99)


def test_a_snapshot_over_two_streams_is_given_up() -> None:
    snapshot = Snapshot(2)
    snapshot.greeted(0, greeting())
    with pytest.raises(FeedError, match="stream"):
        snapshot.greeted(1, greeting(stream=OTHER))
