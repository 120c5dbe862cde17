"""Workers ask each other: sums, a dead one, a silent one, a full socket, what is no message."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from csp.errors import Busy, TooBig
from csp.worker import mailbox
from csp.worker.mailbox import (
    ANSWER_MS_MAX,
    ASKED_MAX,
    MESSAGE_BYTES_MAX,
    Mailbox,
    Tell,
    Words,
)
from tests.unit.fake_loop import FakeLoop


class Worker:
    """A mailbox on a loop of its own, which answers with its slot and notes what it was asked."""

    def __init__(self, folder: Path, slot: int, workers: int) -> None:
        self.loop = FakeLoop()
        self.heard: list[list[bytes]] = []
        self.slot = slot
        self.totals: list[int] = []
        self.names: Words = []
        self.mailbox = Mailbox(self.loop, folder, slot, workers, self._answer)
        self.mailbox.open()

    def _answer(self, words: Words, tell: Tell) -> None:
        self.heard.append(words)
        tell(mailbox.count(self.slot) if words[0] == b"KILL" else self.names)

    def ask(self, *words: bytes) -> None:
        self.mailbox.ask(list(words), lambda answers: self.totals.append(mailbox.total(answers)))


def test_the_answers_are_added_up(tmp_path: Path) -> None:
    asks, *others = (Worker(tmp_path, slot, 3) for slot in range(3))
    asks.ask(b"KILL", b"ID", b"7")
    assert asks.totals == []
    for other in others:
        other.loop.poll()
        assert other.heard == [[b"KILL", b"ID", b"7"]]
    asks.loop.poll()
    assert asks.totals == [1 + 2]
    asks.loop.pass_time(ANSWER_MS_MAX)
    assert asks.totals == [3]


def test_alone_it_is_answered_at_once(tmp_path: Path) -> None:
    alone = Worker(tmp_path, 0, 1)
    alone.ask(b"KILL")
    assert alone.totals == [0]


def test_a_dead_worker_costs_nothing(tmp_path: Path) -> None:
    asks, dead = Worker(tmp_path, 0, 3), Worker(tmp_path, 1, 3)
    dead.mailbox._socket.close()  # type: ignore[union-attr]  # its address is left behind
    asks.ask(b"KILL")
    assert asks.totals == [0]
    again = Worker(tmp_path, 1, 3)  # its successor has the address
    asks.ask(b"KILL")
    again.loop.poll()
    asks.loop.poll()
    assert asks.totals == [0, 1]


def test_a_silent_worker_costs_the_limit_and_its_late_answer_nothing(tmp_path: Path) -> None:
    asks, other, silent = (Worker(tmp_path, slot, 3) for slot in range(3))
    asks.ask(b"KILL")
    other.loop.poll()
    asks.loop.poll()
    asks.loop.pass_time(ANSWER_MS_MAX - 1)
    assert asks.totals == []
    asks.loop.pass_time(1)
    assert asks.totals == [1]
    silent.loop.poll()
    asks.loop.poll()
    assert asks.totals == [1]


def test_what_a_full_socket_does_not_take_is_sent_again(tmp_path: Path) -> None:
    asks, slow = Worker(tmp_path, 0, 2), Worker(tmp_path, 1, 2)
    filler = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    with contextlib.suppress(BlockingIOError):
        while True:
            filler.sendto(b"x" * 1000, str(tmp_path / "m1.sock"))
    asks.ask(b"KILL")
    while not slow.heard:
        slow.loop.poll()
        asks.loop.pass_time(mailbox.RETRY_MS)
    asks.loop.poll()
    assert asks.totals == [1]


def test_an_answer_of_many_words_comes_whole_or_not_at_all(tmp_path: Path) -> None:
    asks, tells = Worker(tmp_path, 0, 2), Worker(tmp_path, 1, 2)
    tells.names = [b"%d" % number * 50 for number in range(10_000)]
    answers: list[list[Words]] = []
    asks.mailbox.ask([b"NAMES"], answers.append)
    tells.loop.poll()
    for _ in range(100):  # more messages than a socket holds
        asks.loop.poll()
        tells.loop.pass_time(mailbox.RETRY_MS)
    assert [[sorted(words) for words in answer] for answer in answers] == [[sorted(tells.names)]]
    asks.mailbox.ask([b"NAMES"], answers.append)
    tells.loop.poll()
    asks.loop.poll()  # some parts, not all
    asks.loop.pass_time(ANSWER_MS_MAX)
    assert answers[1:] == [[]]


def test_bounds(tmp_path: Path) -> None:
    asks, silent = Worker(tmp_path, 0, 2), Worker(tmp_path, 1, 2)
    with pytest.raises(TooBig):
        asks.ask(b"x" * MESSAGE_BYTES_MAX)
    for _ in range(ASKED_MAX):
        asks.ask(b"KILL")
    with pytest.raises(Busy):
        asks.ask(b"KILL")
    asks.loop.pass_time(ANSWER_MS_MAX)
    asks.ask(b"KILL")
    assert not silent.heard


@pytest.mark.parametrize("data", [b"", b"x", b"*1\r\n$1\r\nx\r\n", b":1\r\n", b"*1\r\n"])
def test_what_is_no_message_is_passed_over(tmp_path: Path, data: bytes) -> None:
    worker = Worker(tmp_path, 0, 2)
    other = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    other.sendto(data, str(tmp_path / "m0.sock"))
    worker.loop.poll()
    assert worker.heard == []


def test_its_address_goes_with_it(tmp_path: Path) -> None:
    worker = Worker(tmp_path, 0, 2)
    worker.mailbox.close()
    assert list(tmp_path.iterdir()) == []
