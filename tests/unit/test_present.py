"""Which servers are registered is told as soon as one comes or goes, through a chain too."""

from __future__ import annotations

from typing import Any

import pytest

from csp.model.feed import PRESENT, PRESENT_MAX, read_present
from csp.resp import Decoder
from csp.writer.answers import AGAIN_MS, Answers
from csp.writer.registry import Registry


class Origin:
    """One that has heard of servers above."""

    forwards = False

    def __init__(self) -> None:
        self.above: frozenset[int] = frozenset()

    def servers_above(self) -> frozenset[int]:
        return self.above


class Peer:
    """A worker that asks."""

    number = 1

    def __init__(self) -> None:
        self.told: list[tuple[int, ...]] = []

    def done(self, _: bytes, *dbids: int) -> None:
        self.told.append(dbids)


class Stage:
    def __init__(self) -> None:
        self.origin, self.registry, self.peer = Origin(), Registry(), Peer()
        self.answers = Answers(self.origin, self.registry, "me")  # type: ignore[arg-type]
        self.answers.tell_present(0)

    def ask(self, *known: int) -> None:
        words = [b"PRESENT", b"1", *(b"%d" % one for one in known)]
        self.answers.take(self.peer, words)  # type: ignore[arg-type]

    def register(self, dbid: int, **more: Any) -> None:
        wish = {"session": f"s{dbid}", "application": f"a{dbid}", "dbid": dbid, "daemon": True}
        self.registry.register({**wish, "shared": True, "instance": "i", **more}, 1, 0)


def test_who_asks_hears_when_others_are_there() -> None:
    stage = Stage()
    stage.register(7)
    stage.answers.tell_present(AGAIN_MS)
    stage.ask(0)
    assert stage.peer.told == [(7,)]
    stage.ask(7)
    stage.answers.tell_present(AGAIN_MS)
    assert stage.peer.told == [(7,)]
    stage.register(8)
    stage.register(9, shared=False)  # no configuration server
    stage.answers.tell_present(AGAIN_MS)
    assert stage.peer.told == [(7,), (7, 8)]
    stage.ask(7, 8)
    stage.registry.unregister("s7")
    stage.answers.tell_present(AGAIN_MS)
    assert stage.peer.told[-1] == (8,)


def test_a_new_writer_calls_nobody_gone_before_all_have_registered_again() -> None:
    stage = Stage()
    stage.ask(7, 8)
    stage.register(8)
    stage.answers.tell_present(AGAIN_MS - 1)
    assert stage.peer.told == []
    stage.register(7)
    stage.answers.tell_present(AGAIN_MS)
    assert stage.peer.told == [(7, 8)]


def test_a_proxy_passes_on_who_is_there_above() -> None:
    stage = Stage()
    stage.answers.tell_present(AGAIN_MS)
    stage.ask()
    stage.origin.above = frozenset((3, 5))
    stage.register(4)
    stage.answers.tell_present(AGAIN_MS)
    assert stage.peer.told == [(3, 4, 5)]


def test_the_frame_says_numbers_alone() -> None:
    decoder = Decoder()
    decoder.feed(b"*2\r\n$8\r\n+present\r\n$1\r\n7\r\n")
    assert decoder.next() == [PRESENT, b"7"]
    assert read_present([b"7", b"8"]) == {7, 8}
    for words in ([b"x"], [b"-1"], [b"1"] * (PRESENT_MAX + 1)):
        with pytest.raises(ValueError, match=r"."):
            read_present(words)
