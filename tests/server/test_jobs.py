"""Reads that span several turns: what they hold up, and how long they may take."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from tests.server.hot_stage import HotServer, Raw, Serve, command, dbids, person, wait_for

COUNT = 30_000
FIRST = 101
LONG = ("CFG.COUNT", "CfgPerson", "FILTER", "tenant_dbid", "1", "FILTER", "state", "enabled")
PEOPLE = [("CfgPerson", person(dbid)) for dbid in range(FIRST, FIRST + COUNT)]


@pytest.fixture(scope="module")
def server() -> Iterator[HotServer]:
    server = HotServer(PEOPLE, log_bytes=1 << 20, log_age_ms=0, announce_ms=60_000)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hasty() -> Iterator[HotServer]:
    """One that gives a read a millisecond."""
    server = HotServer(PEOPLE, announce_ms=1)
    yield server
    server.stop()


class Busy:
    """Clients that always have several long reads under way."""

    def __init__(self, server: HotServer, clients: int) -> None:
        self.replies: list[object] = []
        self._ending = False
        self._raws = [server.connect() for _ in range(clients)]
        self._threads = [threading.Thread(target=self._ask, args=(raw,)) for raw in self._raws]
        for thread in self._threads:
            thread.start()

    def _ask(self, raw: Raw) -> None:
        while not self._ending:
            raw.send(command(*LONG) * 20)
            self.replies += raw.read_all(20)

    def end(self) -> None:
        self._ending = True
        for thread in self._threads:
            thread.join()
        for raw in self._raws:
            raw.close()


def test_overlapping_reads_leave_no_announcement_standing(server: HotServer) -> None:
    """Each gives up its own; the oldest one is not handed on from one to the next."""
    busy = Busy(server, 3)
    seen: set[int] = set()
    changes = 0

    def change() -> bool:
        nonlocal changes
        changes += 1
        dbid = FIRST + changes % COUNT
        server.change(("update", "CfgPerson", person(dbid, firstName=f"F{changes}")))
        seen.add(server.control.slot(0)["seen"])
        return len(seen) >= 50

    try:
        assert wait_for(change, 30)
        assert changes < 5_000  # an announcement is renewed every few changes
        assert server.writer.stat()["pending_bytes"] < 4 << 20
    finally:
        busy.end()
    assert set(busy.replies) == {COUNT}


def test_many_long_reads_at_once_are_all_answered(server: HotServer) -> None:
    """More than may hold a revision at one time: the others wait, and begin anew."""
    raws = [server.connect() for _ in range(60)]
    for raw in raws:
        raw.send(command(*LONG) + command("CFG.READ", "CfgPerson", "LIMIT", 3000, "BRIEF"))
    for raw in raws:
        assert raw.read() == COUNT
        assert dbids(raw.read()) == list(range(FIRST, FIRST + 3000))
        raw.close()
    assert wait_for(lambda: server.control.slot(0)["seen"] == 0)


def test_a_read_sees_one_revision_while_changes_come(server: HotServer) -> None:
    """All objects carry the same word, which one transaction after another replaces."""
    busy = Busy(server, 2)
    raw = server.connect()
    try:
        for number in range(20):
            raw.send(command("CFG.READ", "CfgPerson", "LIMIT", 400, "FIELDS", 1, "lastName"))
            server.change(
                *(
                    ("update", "CfgPerson", person(dbid, lastName=f"L{number}"))
                    for dbid in range(FIRST, FIRST + 400)
                )
            )
            page = raw.read()
            assert len(page[2]) == 400
            if number > 0:
                assert len({one.partition('"lastName":')[2] for one in page[2]}) == 1
    finally:
        busy.end()


def test_what_is_not_computed_in_time_answers_busy(hasty: HotServer) -> None:
    busy = Busy(hasty, 4)
    raw = hasty.connect()
    try:
        told = wait_for(lambda: {one for one in busy.replies if one != COUNT})
        assert told == {"-BUSY not computed within 1 ms"}
        assert hasty.control.slot_counters(0)["busy"] > 0
        found = raw.call("CFG.FIND", "CfgPerson", "user_name", "user101")
        assert '"userName":"user101"' in found
    finally:
        busy.end()
    assert wait_for(lambda: hasty.control.slot(0)["seen"] == 0)


def test_a_client_that_goes_leaves_nothing(server: HotServer) -> None:
    for _ in range(20):
        raw = server.connect()
        raw.send(command(*LONG) * 5)
        raw.close(reset=True)
    asking = server.connect()
    assert wait_for(lambda: "'jobs': 0" in asking.call("COUNTERS"))
    assert wait_for(lambda: server.control.slot(0)["seen"] == 0)


def test_filters_beyond_the_limit_are_told(server: HotServer) -> None:
    raw = server.connect()
    many = ["FILTER", "state", "enabled"] * 64
    assert raw.call("CFG.COUNT", "CfgPerson", *many) == COUNT
    many += ["FILTER", "state", "enabled"]
    assert raw.call("CFG.COUNT", "CfgPerson", *many) == "-TOOBIG at most 64 filters"
    pairs = ["state", "enabled"] * 65
    assert raw.call("CFG.FIND", "CfgPerson", *pairs) == "-TOOBIG at most 64 filters"
    assert raw.call("PING") == "PONG"


def test_no_memory_for_a_filter_is_an_error_line(serve: Serve) -> None:
    """A silent command would leave the client one reply behind for good."""
    ports = [
        ("CfgIVRPort", {"DBID": 101 + n, "portNumber": str(n), "IVRDBID": 7, "DNDBID": 101 + n})
        for n in range(40_000)
    ]
    server = serve(ports, log_bytes=1 << 20)
    raw = server.connect()
    ask = ("CFG.COUNT", "CfgDN", "FILTER", "ivr_dbid", 7)
    assert raw.call("SQUEEZE", 100_000) == "OK"
    assert raw.call(*ask) == "-ERR out of memory"
    assert raw.call("PING") == "PONG"
