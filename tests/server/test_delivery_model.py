"""Subscribers of a small change log, quick and slow: each change once, in order, or a notice."""

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
        self.raw: Raw = server.connect(proto=3, receive_bytes=RECEIVE_BYTES)
        self.raw.send(command("SUBSCRIBE", "cfg", "cfg.notice"))
        self.raw.read_all(2)
        self.next = server.writer.published + 1
        self.gaps = 0

    def take(self, names: dict[int, str]) -> None:
        """The next message, which the model must allow."""
        kind, channel, text = self.raw.read()
        assert kind == "message"
        told: dict[str, Any] = orjson.loads(text)
        if channel == "cfg.notice":
            assert told["op"] == "resync"
            assert told["oldest"] > self.next
            self.next = told["oldest"]
            self.gaps += 1
            return
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
        )
        self.names: dict[int, str] = {}
        self.subscribers: list[Subscriber] = []

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        try:
            for one in self.subscribers:
                while one.next <= self.server.writer.published:
                    one.take(self.names)
                assert one.raw.call("GET", "CfgPerson:1") is None  # and nothing beyond
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
    @rule(data=st.data(), count=st.integers(1, 40))
    def read(self, data: st.DataObject, count: int) -> None:
        one = self.subscribers[data.draw(st.integers(0, len(self.subscribers) - 1))]
        while count and one.next <= self.server.writer.published:
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
