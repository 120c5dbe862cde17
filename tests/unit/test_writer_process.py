"""Runs the writer's loop with a fake origin, and talks to it as workers do."""

import json
import os
import socket
import threading
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from csp.errors import BadValue, MasterDown, ReadOnly
from csp.model.requests import OUTCOME, Create, WriteOutcome, WriteRequest
from csp.process.context import Request, Upstream
from csp.process.origin import Later, StoreForOrigin
from csp.process.own_options import OwnOptions
from csp.process.polling import Descriptor
from csp.resp import Decoder, request
from csp.writer.process import Writer
from csp.writer.writes import GROUP_REQUESTS_MAX, OWN_MAX
from tests.neighbours.waiting import wait_until
from tests.unit.fake_flags import FakeFlags
from tests.unit.feed_stage import FakeHost, a_context

SKILL = b'{"name":"english","tenantDBID":1}'


class CountingHost(FakeHost):
    """A host as the writer's loop needs it."""

    def __init__(self) -> None:
        super().__init__()
        self.control = FakeFlags()
        self.refused_full = 0
        self.refused_room_bytes = 0
        self.reclaimed = 0
        self.room = 1 << 30
        self.counted: Counter[str] = Counter()

    def count(self, metric: str, change: int = 1) -> None:
        self.counted[metric] += change

    def gauge(self, metric: str, value: int) -> None:
        self.counted[metric] = value

    def application(self, name: str) -> bytes:
        return b""

    def reader(self) -> None:
        return None

    def walk(self, ms: int) -> bool:
        return False

    def pins(self) -> list[Any]:
        return []

    def levels(self) -> None:
        return None

    def held_words(self) -> str:
        return ""

    def reclaim(self) -> int:
        self.reclaimed += 1
        return 0

    def room_bytes(self) -> int:
        return self.room

    def close(self) -> None:
        self.calls.append("close")


class FakeOrigin:
    """Commits everything but what is named "refused"."""

    def __init__(self) -> None:
        self.groups: list[list[WriteRequest]] = []
        self.revision = 10
        self.heads: list[Later[int]] = []
        self.forwards = False
        self.forwarded: list[list[bytes]] = []
        self.undecided: list[Later[WriteOutcome]] = []
        self.due: list[int | Exception] = []  # answered in the loop's own thread
        self.decided: list[WriteOutcome | Exception] = []
        self.may_write = threading.Event()
        self.may_write.set()
        self.may_settle = threading.Event()
        self.may_settle.set()

    writable = True

    def take_options(self, options: OwnOptions) -> None:
        return

    def start(self, host: StoreForOrigin) -> None:
        return

    def write(self, requests: Sequence[WriteRequest]) -> Sequence[WriteOutcome]:
        self.groups.append(list(requests))
        assert self.may_write.wait(5)
        return [self._write(one) for one in requests]

    def settle(self) -> None:
        assert not self.groups or self.may_settle.wait(5)

    def forward(self, messages: Sequence[list[bytes]]) -> list[Later[WriteOutcome]]:
        return [self._forward(message) for message in messages]

    def _forward(self, message: list[bytes]) -> Later[WriteOutcome]:
        later: Later[WriteOutcome] = Later()
        if message[-1] == b"never":
            later.answer(ReadOnly("not here"))
            return later
        self.undecided.append(later)
        self.forwarded.append(message)
        return later

    def _write(self, one: WriteRequest) -> WriteOutcome:
        if one.kind == OUTCOME:
            return WriteOutcome(0, text=f"committed {len(one.write_id)}")
        command = one.commands[0]
        if isinstance(command, Create) and command.object["name"] == "refused":
            return WriteOutcome(0, (), BadValue("name is refused"))
        self.revision += 1
        return WriteOutcome(self.revision, (self.revision * 2,))

    def head(self) -> Later[int]:
        later: Later[int] = Later()
        self.heads.append(later)
        return later

    def servers_above(self) -> frozenset[int]:
        return frozenset()

    def use_ticket(self, digest: str) -> bool:
        if digest == "away":
            raise MasterDown("away")
        return digest != "used"

    def watches(self) -> Sequence[Descriptor]:
        return []

    def tick(self, now_ms: int) -> None:
        while self.due and self.heads:
            self.heads.pop(0).answer(self.due.pop(0))
        while self.decided and self.undecided:
            self.undecided.pop(0).answer(self.decided.pop(0))

    def close(self) -> None:
        return


class Running:
    """A writer's loop in a thread."""

    def __init__(self, folder: Path, *, forwards: bool = False) -> None:
        self.path = str(folder / "writer.sock")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.path)
        listener.listen()
        control_read, self.control = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.report, report_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self.origin, self.host = FakeOrigin(), CountingHost()
        self.origin.forwards = forwards
        context = replace(
            a_context(Upstream("127.0.0.1", 1, "", "")),
            channel_fd=listener.detach(),
            control_fd=control_read,
            report_fd=report_write,
        )
        self.writer = Writer(context, self.host, self.origin)  # type: ignore[arg-type]
        self.thread = threading.Thread(target=self.writer.run, daemon=True)
        self.thread.start()

    def connect(self) -> "Worker":
        """A worker's channel."""
        return Worker(self.path)

    def ask(self, wish: Request) -> None:
        """What the supervisor says."""
        os.write(self.control, wish.value)

    def ends(self) -> bool:
        """Whether the loop has ended."""
        self.thread.join(5)
        return not self.thread.is_alive()


class Worker:
    """The worker's end of a channel."""

    def __init__(self, path: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(path)
        self.decoder = Decoder()
        assert self.read() == [b"READY", b"0"]

    def send(self, *words: bytes | str | int) -> None:
        """One message."""
        self.socket.sendall(request(*words))

    def write(self, number: int, name: str = "english", who: str = "{}") -> None:
        """A WRITE that creates a skill."""
        text = json.dumps({"name": name, "tenantDBID": 1})
        self.send("WRITE", number, who, "", "one", "CFG.CREATE", "CfgSkill", text)

    def read(self) -> list[Any]:
        """The next answer."""
        while True:
            for value in self.decoder:
                assert isinstance(value, list)
                return value
            data = self.socket.recv(65536)
            assert data, "the writer closed the channel"
            self.decoder.feed(data)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    loop = Running(tmp_path)
    yield loop
    os.close(loop.control)
    assert loop.ends()


def test_writes_are_answered_in_order(running: Running) -> None:
    worker = running.connect()
    for number, name in enumerate(("a", "refused", "b"), 1):
        worker.write(number, name)
    assert worker.read() == [b"DONE", b"1", b"11", b"22"]
    assert worker.read() == [b"FAIL", b"2", b"BADVALUE name is refused"]
    assert worker.read() == [b"DONE", b"3", b"12", b"24"]


def test_an_answer_waits_for_nothing_that_may_come_after_it(running: Running) -> None:
    worker = running.connect()
    running.origin.may_settle.clear()
    worker.write(1)
    assert worker.read() == [b"DONE", b"1", b"11", b"22"]
    running.origin.may_settle.set()


def test_a_write_that_cannot_be_read_is_refused_in_its_place(running: Running) -> None:
    worker = running.connect()
    worker.send("WRITE", 1, "{}", "", "one", "CFG.CREATE", "CfgNothing", "{}")
    worker.send("WRITE", 2, "{}", "", "exec", b"garbage")
    worker.write(3)
    assert worker.read()[2].startswith(b"BADCLASS")
    assert worker.read()[2].startswith(b"ERR")
    assert worker.read()[0] == b"DONE"


def test_a_busy_worker_does_not_starve_another(running: Running) -> None:
    busy, other = running.connect(), running.connect()
    data = b"".join(
        request("WRITE", n, "{}", "", "one", "CFG.CREATE", "CfgSkill", SKILL)
        for n in range(1, 5_001)
    )
    running.origin.may_write.clear()
    sender = threading.Thread(target=busy.socket.sendall, args=(data,))
    sender.start()
    wait_until(lambda: running.origin.groups, 5, "the writer to be at work for the busy one")
    other.write(1)
    running.origin.may_write.set()
    other.read()
    done = sum(len(group) for group in running.origin.groups)
    sender.join()
    assert done < 4_500, "the other's single write waited for all of the busy one's"


def test_a_busy_connection_does_not_starve_another_of_its_worker(running: Running) -> None:
    worker = running.connect()
    running.origin.may_write.clear()
    worker.write(1)
    wait_until(lambda: running.origin.groups, 5, "the writer to be at work")
    command = ("CFG.CREATE", "CfgSkill", SKILL)
    who = ['{"address":"192.0.2.7:1"}'] * 400 + ['{"address":"192.0.2.7:2"}']
    numbered = enumerate(who, 2)
    worker.socket.sendall(
        b"".join(request("WRITE", number, one, "", "one", *command) for number, one in numbered)
    )
    running.origin.may_write.set()
    order = [int(worker.read()[1]) for _ in range(402)]
    assert order.index(402) < 2 * GROUP_REQUESTS_MAX
    assert [one for one in order if one not in (1, 402)] == list(range(2, 402))


def test_what_became_of_a_write_is_asked_in_turn(running: Running) -> None:
    """Behind the writes of its connection: the answer may be a row in the database."""
    worker = running.connect()
    running.origin.may_write.clear()
    worker.write(1)
    wait_until(lambda: running.origin.groups, 5, "the writer to be at work")
    worker.write(2)
    worker.send("OUTCOME", 3, "{}", "abc")
    worker.send("OUTCOME", 4, "{}", "a" * 37)
    worker.write(5)
    running.origin.may_write.set()
    answers = [worker.read() for _ in range(5)]
    assert [answer[1] for answer in answers if answer[1] != b"4"] == [b"1", b"2", b"3", b"5"]
    assert answers[-1] == [b"DONE", b"5", b"13", b"26"]
    assert [b"DONE", b"3", b"0", b"committed 3"] in answers
    assert any(answer[2].startswith(b"TOOBIG ID") for answer in answers)


@pytest.fixture
def forwarding(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path, forwards=True)
    yield running
    os.close(running.control)
    assert running.ends()


def test_a_write_that_another_server_decides_holds_nobody_up(forwarding: Running) -> None:
    worker = forwarding.connect()
    worker.write(1)
    worker.write(2)
    worker.send("WRITE", 3, "{}", "", "one", "CFG.CREATE", "never")
    assert worker.read() == [b"FAIL", b"3", b"READONLY not here"]
    forwarding.origin.decided += [WriteOutcome(5, (7,)), MasterDown("away")]
    assert worker.read() == [b"DONE", b"1", b"5", b"7"]
    assert worker.read() == [b"FAIL", b"2", b"MASTERDOWN away"]


def test_who_sends_much_through_a_proxy_has_few_under_way(forwarding: Running) -> None:
    busy, other = forwarding.connect(), forwarding.connect()
    for number in range(1, 3 * OWN_MAX):
        busy.write(number)
    under_way = forwarding.origin.forwarded
    wait_until(lambda: len(under_way) >= OWN_MAX, 5, "the first to be passed on")
    other.write(1, who='{"account":7}')
    wait_until(lambda: len(under_way) == OWN_MAX + 1, 5, "the other's to be passed on")
    forwarding.origin.decided.append(WriteOutcome(5, (7,)))
    wait_until(lambda: len(under_way) == OWN_MAX + 2, 5, "the next one")
    assert [message[1] for message in under_way[-2:]] == [b"1", b"%d" % (OWN_MAX + 1)]
    shown = forwarding.host.counted
    wait_until(lambda: shown["forwards"] == OWN_MAX + 1, 5, "the gauge")
    assert shown["forwards_waiting"] == 3 * OWN_MAX - 1 - OWN_MAX - 1


def test_a_drain_waits_for_what_is_not_decided(forwarding: Running) -> None:
    running, worker = forwarding, forwarding.connect()
    worker.write(1)
    wait_until(lambda: running.origin.undecided, 5, "the write to be under way")
    running.ask(Request.DRAIN)
    running.origin.decided.append(WriteOutcome(5, (7,)))
    assert worker.read() == [b"DONE", b"1", b"5", b"7"]
    assert running.ends()


def test_questions_are_answered_when_the_answer_is_known(running: Running) -> None:
    worker = running.connect()
    worker.send("HEAD", 1)
    worker.send("OUTCOME", 2, "{}", "abc")
    assert worker.read() == [b"DONE", b"2", b"0", b"committed 3"]
    running.origin.due.append(55)
    worker.send("OUTCOME", 3, "{}", "abcd")
    assert {worker.read()[1], worker.read()[1]} == {b"1", b"3"}
    worker.send("HEAD", 4)
    running.origin.due.append(MasterDown("away"))
    assert worker.read() == [b"FAIL", b"4", b"MASTERDOWN away"]


def test_a_ticket_is_new_or_used_or_nobody_knows(running: Running) -> None:
    worker = running.connect()
    for number, digest in enumerate(("fresh", "used", "away"), 1):
        worker.send("TICKET", number, digest)
    assert worker.read() == [b"DONE", b"1", b"1"]
    assert worker.read() == [b"DONE", b"2", b"0"]
    assert worker.read() == [b"FAIL", b"3", b"MASTERDOWN away"]


def test_a_session_ends_with_its_workers_channel(running: Running) -> None:
    wish = {"session": "0-1", "application": "proxy2", "daemon": True, "instance": "a"}
    first, second = running.connect(), running.connect()
    first.send("REGISTER", 1, json.dumps(wish))
    assert first.read()[0] == b"DONE"
    again = json.dumps(wish | {"session": "1-1", "instance": "b"})
    second.send("REGISTER", 1, again)
    assert second.read()[2].startswith(b"BUSY application proxy2 is connected already")
    first.socket.close()

    def is_free() -> bool:
        second.send("REGISTER", 2, again)
        return bool(second.read()[0] == b"DONE")

    wait_until(is_free, 5, "the place is free")


def test_a_worker_that_speaks_nonsense_is_cut_off(running: Running) -> None:
    worker, other = running.connect(), running.connect()
    worker.socket.sendall(b"*1\r\n:5\r\n")
    assert worker.socket.recv(10) == b""
    other.write(1)
    assert other.read()[0] == b"DONE"


def test_a_drain_finishes_what_was_taken_in(running: Running) -> None:
    worker = running.connect()
    for number in range(1, 51):
        worker.write(number)
    assert worker.read()[1] == b"1"
    running.ask(Request.DRAIN)
    assert running.ends()
    assert running.host.calls[-1] == "close"
    answered = sum(len(group) for group in running.origin.groups)
    assert [worker.read()[1] for _ in range(answered - 1)][-1] == str(answered).encode()


def test_the_writer_ends_when_the_supervisor_is_dead(tmp_path: Path) -> None:
    running = Running(tmp_path)
    os.close(running.control)
    assert running.ends()


def test_the_alarm_is_raised_while_the_store_is_full_and_taken_back(running: Running) -> None:
    running.host.room = 0
    running.host.refused_full += 1
    wait_until(lambda: running.host.control.names() == ["store full"], 5, "the alarm")
    running.host.room = 1 << 30
    wait_until(lambda: not running.host.control.names(), 5, "the alarm's end")


def test_the_writer_says_whether_writes_are_taken(running: Running) -> None:
    worker = running.connect()  # it has started
    assert running.host.control.writable
    worker.socket.close()
