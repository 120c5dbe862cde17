"""A subscriber that reads as well: no reply shows what a later push announces.

The model knows of each change which messages a connection gets, in order; every reply that shows
data must stand exactly behind the changes up to its revision (G5).
"""

from __future__ import annotations

import itertools
import socket
from typing import Any

import orjson
from hypothesis import HealthCheck
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from tests.effort import examples
from tests.server.hot_stage import HotServer, Raw, command, person

OBJECTS = 12
FIRST = 101
# A few of the largest are more than the kernel keeps: the socket is full in mid-message.
SIZES = (10, 2_000, 120_000)
ONE = f"cfg:CfgPerson:{FIRST}"
CHANNELS = (
    ("SUBSCRIBE", "cfg"),
    ("SUBSCRIBE", ONE),
    ("SUBSCRIBE", "cfg@1:CfgPerson"),
    ("PSUBSCRIBE", "cfg:CfgPerson:*"),
)


TEXTS = itertools.count()


def padded(dbid: int, text: str) -> dict[str, Any]:
    """A person with a text that is in no index, so it may be large; each time another one."""
    return person(dbid, userProperties={"section": {"key": f"{next(TEXTS)} {text}"}})


class Client:
    """One connection: what it listens to, what it must still be told, what it has asked.

    It begins behind an earlier revision (CFG.FROM), or with what comes.
    """

    def __init__(
        self, server: HotServer, listens: list[int], start: int, history: dict[int, list[int]]
    ) -> None:
        self.raw: Raw = server.connect(proto=3)
        self.listens = [CHANNELS[one] for one in listens]
        if start < server.writer.published:
            assert self.raw.call("CFG.FROM", start, "SUBS", len(listens))[0] == "cfg.from"
        for verb, name in self.listens:
            self.raw.call(verb, name)
        # Revision, DBID, and by channel or pattern whether `more` follows; those of one change
        # come in the order in which the server first knew them.
        self.expected: list[tuple[int, int, dict[str, bool]]] = []
        self.asked: list[str] = []
        self.told = start  # all up to here, once `expected` is told
        for revision, dbids in history.items():
            if revision > start:
                self.change(revision, dbids)

    def change(self, revision: int, dbids: list[int]) -> None:
        """What a transaction brings: per item a message of each subscription that fits."""
        for at, dbid in enumerate(dbids):
            later = set(dbids[at + 1 :])
            fits = {
                name: bool(later) and (name != ONE or FIRST in later)
                for _, name in self.listens
                if name != ONE or dbid == FIRST
            }
            if fits:
                self.expected.append((revision, dbid, fits))

    def take(self) -> None:
        """The next thing that comes: the next message of the model, or the oldest reply."""
        came = self.raw.read()
        if isinstance(came, list) and came and came[0] in ("message", "pmessage"):
            told = orjson.loads(came[-1])
            revision, dbid, fits = self.expected[0]
            assert (told["revision"], told["DBID"]) == (revision, dbid)
            assert fits.pop(came[1]) is told["more"]
            if not fits:
                self.expected.pop(0)
            self.told = revision
            return
        asked = self.asked.pop(0)
        if asked == "PING":
            assert came == "PONG"
            return
        shown = came[0] if asked == "page" else max(orjson.loads(one)["revision"] for one in came)
        following = self.expected[0][0] if self.expected else shown + 1
        assert following > shown, "a change that the reply shows comes after it"
        objects = came[2] if asked == "page" else came
        newest = max(orjson.loads(one)["revision"] for one in objects)
        assert newest >= min(self.told, shown), "the reply hides a change that was told before"


class OrderMachine(RuleBasedStateMachine):
    """One worker, its writer in this process, up to two clients of all kinds."""

    @initialize()
    def begin(self) -> None:
        self.server = HotServer(
            [("CfgPerson", person(FIRST + at)) for at in range(OBJECTS)],
            reserve_bytes=512 << 20,
            log_bytes=128 << 20,  # all that an example changes: nobody is told of a gap
            page_bytes=64 << 20,
        )
        self.clients: list[Client] = []
        self.history: dict[int, list[int]] = {}  # the objects that each revision changed

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        try:
            for one in self.clients:
                one.raw.send(command("PING"))
                one.asked.append("PING")
                while one.asked or one.expected:
                    one.take()
                assert one.raw.is_silent()
        finally:
            self.server.stop()

    @precondition(lambda self: len(self.clients) < 2)
    @rule(
        listens=st.lists(st.sampled_from(range(len(CHANNELS))), unique=True, min_size=1),
        back=st.integers(0, 6),
    )
    def connect(self, listens: list[int], back: int) -> None:
        start = max(1, self.server.writer.published - back)
        self.clients.append(Client(self.server, listens, start, self.history))

    @rule(
        sizes=st.lists(st.sampled_from(SIZES), min_size=1, max_size=3),
        items=st.integers(1, OBJECTS),
    )
    def change(self, sizes: list[int], items: int) -> None:
        for size in sizes:
            dbids = [FIRST + at for at in range(items)]
            revision = self.server.change(
                *(("update", "CfgPerson", padded(dbid, "x" * size)) for dbid in dbids)
            )
            self.history[revision] = dbids
            for one in self.clients:
                one.change(revision, dbids)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), what=st.sampled_from(["page", "MGET", "PING"]))
    def ask(self, data: st.DataObject, what: str) -> None:
        one = data.draw(st.sampled_from(self.clients))
        key = f"CfgPerson:{FIRST}"
        words: dict[str, list[Any]] = {
            "page": ["CFG.READ", "CfgPerson"],
            "MGET": ["MGET", key, key],
            "PING": ["PING"],
        }
        one.raw.send(command(*words[what]))
        one.asked.append(what)

    @precondition(lambda self: self.clients)
    @rule(data=st.data(), count=st.integers(1, 60))
    def read(self, data: st.DataObject, count: int) -> None:
        one = data.draw(st.sampled_from(self.clients))
        while count and (one.asked or one.expected):
            one.take()
            count -= 1


TestOrderMachine = OrderMachine.TestCase
TestOrderMachine.settings = examples(
    10, stateful_step_count=12, suppress_health_check=list(HealthCheck)
)


def test_a_page_under_way_is_not_overtaken() -> None:
    """A change while a long page is collected: the page shows the state before, and comes first."""
    count = 20_000
    server = HotServer(
        [("CfgPerson", person(FIRST + at)) for at in range(count)],
        reserve_bytes=256 << 20,
        page_bytes=64 << 20,
        page_objects=count,
    )
    try:
        reader, other = server.connect(proto=3), server.connect()
        reader.call("SUBSCRIBE", "cfg")
        dbid = FIRST + count // 2
        for run in range(12):
            reader.send(command("CFG.READ", "CfgPerson", "LIMIT", count))
            other.send(command("CFG.READ", "CfgPerson", "LIMIT", 10 * run + 1))
            revision = server.change(("update", "CfgPerson", person(dbid, firstName=f"Run{run}")))
            first, second = reader.read(), reader.read()
            page, is_told = (second, True) if first[0] == "message" else (first, False)
            assert (page[0] >= revision) is is_told
            shown = orjson.loads(page[2][dbid - FIRST])
            assert (shown["revision"] == revision) is is_told
            other.read()
    finally:
        server.stop()


def test_who_is_behind_is_still_answered_what_shows_no_data(server: HotServer) -> None:
    slow, watcher = server.connect(proto=3), server.connect()
    slow.call("SUBSCRIBE", "cfg")
    last = 0
    while "'lagging': 0" in watcher.call("COUNTERS"):
        last = server.change(("update", "CfgPerson", padded(101, "x" * 120_000)))
    for _ in range(5):
        last = server.change(("update", "CfgPerson", padded(101, "x" * 120_000)))
    slow.send(command("PING") + command("STRLEN", "CfgPerson:101") + command("ECHO", "after"))
    came = []
    while not came or came[-1] != "after":
        came.append(slow.read())
    told = [orjson.loads(one[2])["revision"] for one in came if isinstance(one, list)]
    assert told == list(range(told[0], last + 1))
    assert came.index("PONG") < len(came) - 3, "it waited for the changes"
    assert came[-2] > 120_000, "a read comes when all is told, and what follows behind it"
    assert isinstance(came[-3], list)


def test_the_gap_is_told_to_whatever_subscription(server: HotServer) -> None:
    """`resync` reaches who does not listen to cfg.notice too."""
    slow, quick = (server.connect(proto=proto) for proto in (2, 3))
    slow.call("SUBSCRIBE", "cfg:CfgPerson:101")
    quick.call("PSUBSCRIBE", "cfg:CfgPerson:10[1]")
    while server.writer.oldest < 60:
        server.change(("update", "CfgPerson", padded(101, "x" * 120_000)))
    for raw in (slow, quick):
        came = [raw.read()]
        while came[-1][1] != "cfg.notice":
            came.append(raw.read())
        assert came[-1][0] == "message"
        gap = orjson.loads(came[-1][2])
        assert gap["op"] == "resync"
        assert orjson.loads(raw.read()[-1])["revision"] == gap["oldest"]


def private_kib(pid: int) -> int:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def test_a_large_change_is_not_copied_for_each_who_does_not_read() -> None:
    server = HotServer([("CfgPerson", person(101))], reserve_bytes=256 << 20)
    try:
        watcher = server.connect()
        held = [server.connect() for _ in range(40)]
        for raw in held:
            # The kernel's buffers of both ends may take four megabytes and more.
            raw.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 19)
            raw.call("SUBSCRIBE", "cfg")
        before = private_kib(server.pid)
        server.change(("update", "CfgPerson", padded(101, "x" * (6 << 20))))
        while f"'lagging': {len(held)}" not in watcher.call("COUNTERS"):
            pass
        assert private_kib(server.pid) - before < 16 << 10
        messages = {raw.read()[2] for raw in held}
        assert len(messages) == 1
        assert len(messages.pop()) > 6 << 20
    finally:
        server.stop()


def test_of_the_links_state_only_the_latest_waits(server: HotServer) -> None:
    slow, watcher = server.connect(proto=3), server.connect(proto=3)
    slow.send(command("SUBSCRIBE", "cfg", "cfg.notice"))
    slow.read_all(2)
    watcher.call("SUBSCRIBE", "cfg.notice")
    server.control.set_link(1, 1, 0)
    while "'lagging': 0" in watcher.call("COUNTERS"):
        server.change(("update", "CfgPerson", padded(101, "x" * 120_000)))
    for state, op in ((2, "stale"), (1, "fresh"), (2, "stale")):
        server.control.set_link(state, 1, 0)
        assert orjson.loads(watcher.read()[2])["op"] == op
    came = [slow.read()]
    while came[-1][1] != "cfg.notice":
        came.append(slow.read())
    slow.send(command("ECHO", "end"))
    while came[-1] != "end":
        came.append(slow.read())
    notices = [one for one in came[:-1] if one[1] == "cfg.notice"]
    assert [orjson.loads(one[2])["op"] for one in notices] == ["stale"]
