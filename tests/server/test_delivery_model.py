"""Subscribers of a small change log, quick and slow: each change once, in order, or a notice.

They come anew with CFG.FROM where they had been, ahead of the server, or with a mark of elsewhere.
"""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.effort import examples
from tests.server.hot_stage import HotServer, Raw, command, person

LOG_BYTES = 400_000
OUTPUT_BYTES = 16_384
RECEIVE_BYTES = 32_768
# The kernel keeps some 2.5 MB of what a worker sends: only large changes outrun a subscriber.
SIZES = (10, 3_000, 60_000)


class Subscriber:
    """One connection, and the revision that it must be told next."""

    def __init__(self, server: HotServer) -> None:
        self.server = server
        self.next = server.writer.published + 1
        self.gaps = 0
        self.is_elsewhere = False  # began in another history: a gap comes before anything else
        self._connect()
        self._subscribe()

    def _connect(self) -> None:
        self.raw: Raw = self.server.connect(proto=3, receive_bytes=RECEIVE_BYTES)

    def _subscribe(self, *begin: str | int) -> None:
        """With SUBS 2, where it begins with CFG.FROM: cfg.notice counts."""
        words = command("CFG.FROM", *begin, "SUBS", 2) if begin else b""
        self.raw.send(words + command("SUBSCRIBE", "cfg", "cfg.notice"))
        self.raw.read_all(3 if begin else 2)

    def come_again(self, place: int, mark: int | None, *, is_ours: bool = True) -> None:
        """Over a new connection, from a place that may be ahead of the server."""
        self.raw.close()
        self._connect()
        self.next = place + 1
        self.is_elsewhere = not is_ours
        self._subscribe(place, *(("MARK", f"{mark:016x}") if mark is not None else ()))

    @property
    def is_level(self) -> bool:
        """Whether nothing is to come before the next change."""
        published = self.server.writer.published
        return self.next > published and not (self.is_elsewhere and self.next <= published + 1)

    @property
    def is_ahead(self) -> bool:
        return self.next > self.server.writer.published + 1

    def take(self, names: dict[int, str]) -> None:
        """The next message, which the model must allow."""
        kind, channel, text = self.raw.read()
        assert kind == "message"
        told: dict[str, Any] = orjson.loads(text)
        if channel == "cfg.notice":
            assert told["op"] == "resync"
            assert told["oldest"] >= self.next + (not self.is_elsewhere)
            assert told["oldest"] <= self.server.writer.published + 1
            self.next = told["oldest"]
            self.is_elsewhere = False
            self.gaps += 1
            return
        assert not self.is_elsewhere
        assert (channel, told["revision"]) == ("cfg", self.next)
        assert told["delta"]["changed"]["lastName"] == names[self.next]
        self.next += 1


class DeliveryMachine(RuleBasedStateMachine):
    """One worker, its writer in this process, up to three subscribers."""

    @initialize()
    def begin(self) -> None:
        self.server = HotServer(
            [("CfgPerson", person(101))],
            reserve_bytes=32 << 20,
            log_bytes=LOG_BYTES,
            log_age_ms=0,
            output_bytes=OUTPUT_BYTES,
            from_wait_ms=600_000,
        )
        self.names: dict[int, str] = {}
        self.subscribers: list[Subscriber] = []

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        try:
            for one in self.subscribers:
                while not one.is_level:
                    one.take(self.names)
                # And nothing beyond; a read of one that is ahead waits.
                one.raw.send(command("ECHO", "end") if one.is_ahead else command("GET", "x"))
                assert one.raw.read() == ("end" if one.is_ahead else None)
        finally:
            self.server.stop()

    @rule(count=st.integers(1, 60), size=st.sampled_from(SIZES))
    def change(self, count: int, size: int) -> None:
        for _ in range(count):
            name = str(self.server.writer.published).ljust(size, "x")
            self.names[self.server.change(("update", "CfgPerson", person(101, lastName=name)))] = (
                name
            )

    @precondition(lambda self: len(self.subscribers) < 3)
    @rule()
    def subscribe(self) -> None:
        self.subscribers.append(Subscriber(self.server))

    @precondition(lambda self: self.subscribers)
    @rule(data=st.data(), back=st.integers(0, 30), marked=st.booleans())
    def come_again(self, data: st.DataObject, back: int, marked: bool) -> None:
        """From what it was told last, or from before that: then it comes a second time."""
        one = data.draw(st.sampled_from(self.subscribers))
        if one.is_ahead or one.is_elsewhere:
            return
        place = max(1, one.next - 1 - back)
        one.come_again(place, self.server.marks[place] if marked else None)

    @precondition(lambda self: self.subscribers)
    @rule(data=st.data(), ahead=st.integers(1, 8), mark=st.sampled_from([None, 99]))
    def come_ahead(self, data: st.DataObject, ahead: int, mark: int | None) -> None:
        """Of the server; with a mark, of another history."""
        one = data.draw(st.sampled_from(self.subscribers))
        place = self.server.writer.published + ahead
        one.come_again(place, mark, is_ours=mark is None)

    @precondition(lambda self: self.subscribers)
    @rule(data=st.data(), count=st.integers(1, 40))
    def read(self, data: st.DataObject, count: int) -> None:
        one = data.draw(st.sampled_from(self.subscribers))
        while count and not one.is_level:
            one.take(self.names)
            count -= 1


TestDeliveryMachine = DeliveryMachine.TestCase
TestDeliveryMachine.settings = examples(
    8, stateful_step_count=12, suppress_health_check=list(HealthCheck)
)


def test_a_change_that_was_told_is_no_gap_when_it_leaves_the_log() -> None:
    """At the change at which it fell behind it was told all: what follows is in the log."""
    machine = DeliveryMachine()
    machine.begin()
    machine.subscribe()
    subscriber, server = machine.subscribers[0], machine.server
    watcher = server.connect()
    while "'lagging': 0" in watcher.call("COUNTERS"):  # each is delivered before the next
        machine.change(count=1, size=60_000)
    fell_behind_at = server.writer.published
    while server.writer.oldest <= fell_behind_at:
        machine.change(count=1, size=60_000)
    assert server.writer.oldest == fell_behind_at + 1
    machine.teardown()
    assert subscriber.gaps == 0


def test_who_reads_nothing_for_long_is_told_of_the_gap() -> None:
    """The case that the machine must be able to reach."""
    machine = DeliveryMachine()
    machine.begin()
    machine.subscribe()
    machine.change(count=80, size=60_000)
    slow = machine.subscribers[0]
    machine.teardown()
    assert slow.gaps >= 1
