"""Where a subscription goes on: each part of a transaction is told once, lose the link or not."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from csp.client.place import Place
from csp.resp import Decoder

CHANNELS = ("cfg", "cfg:CfgSkill")


def change(revision: int, dbid: int) -> dict[str, Any]:
    return {"op": "update", "class": "CfgSkill", "DBID": dbid, "revision": revision}


def words(place: Place) -> list[bytes]:
    """Of the last command, whose place counts."""
    decoder = Decoder()
    decoder.feed(place.requests(2)[-1])
    found = decoder.next()
    assert isinstance(found, list)
    return [word for word in found if isinstance(word, bytes)]


def test_it_begins_with_what_there_is_and_goes_on_from_there() -> None:
    place = Place()
    assert words(place)[:2] == [b"CFG.FROM", b"NOW"]
    place.begin(7, "00000000000000aa")
    assert words(place)[1:4] == [b"7", b"MARK", b"00000000000000aa"]
    assert place.take(("cfg",), change(9, 1))
    assert words(place)[1:3] == [b"8", b"SUBS"]  # more of 9 may have been under way
    assert b"$1\r\n7\r\n$4\r\nMARK" in place.requests(2)[0]  # is it the same history still
    place.begin(9, "")
    assert words(place)[1:3] == [b"9", b"SUBS"]
    assert len(place.requests(2)) == 1
    place.forget()
    assert words(place)[1] == b"NOW"


def test_a_difference_between_histories_is_told_whole_and_moves_nothing_back() -> None:
    place = Place()
    place.begin(7, "")
    assert place.take(("cfg",), change(9, 1))
    assert place.take(("cfg",), change(3, 2))
    assert place.take(("cfg",), change(3, 2))
    assert words(place)[1] == b"8"


@given(
    st.lists(st.integers(1, 4), min_size=1, max_size=6),
    st.lists(st.integers(1, 30), max_size=12),
    st.randoms(use_true_random=False),
)
def test_each_is_told_once_whenever_the_link_is_lost(
    sizes: list[int], cuts: list[int], chance: Any
) -> None:
    """Transactions of so many objects, and a link that is lost after so many messages."""
    log = [
        (channel, change(revision, dbid))
        for revision, size in enumerate(sizes, start=8)
        for dbid in range(size)
        for channel in CHANNELS
    ]
    place = Place()
    place.begin(7, "")
    heard: list[tuple[str, int, int]] = []
    cuts = [*cuts, len(log) + 1]
    while cuts:
        start = int(words(place)[1])
        sent = [one for one in log if one[1]["revision"] > start]
        if chance.random() < 0.5:  # another worker knows the channels in another order
            sent.sort(key=lambda one: (one[1]["revision"], one[1]["DBID"], one[0] == "cfg"))
        for channel, content in sent[: cuts.pop(0)]:
            if place.take((channel,), content):
                heard.append((channel, content["revision"], content["DBID"]))
    assert sorted(heard) == sorted((c, one["revision"], one["DBID"]) for c, one in log)
    assert [revision for _, revision, _ in heard] == sorted(revision for _, revision, _ in heard)
