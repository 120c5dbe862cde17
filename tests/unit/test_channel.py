"""One process asks another over a channel: what each question is answered, whatever happens."""

from __future__ import annotations

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from csp.process.channel.answering import Answerer, Message, Peer
from csp.process.channel.asking import Absent, Answer, Asker, Broken, Done, Fail
from csp.process.channel.framing import Limits
from csp.process.polling import Poller
from csp.resp import request
from tests.unit.fake_loop import FakeLoop

LIMITS = Limits(
    question_bytes=1_000,
    in_flight=20,
    unsent_questions_bytes=10_000,
    unsent_answers_bytes=10_000,
    greeting_ms=5_000,
    answer_ms=10_000,
)


class Answering:
    """The process that answers; its listening socket outlives it, as the supervisor keeps it."""

    def __init__(self, path: Path) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(str(path))
        self.listener.listen()
        self.asked: list[Message] = []
        self.peers: list[Peer] = []
        self.answerer: Answerer | None = None

    def start(self) -> None:
        """A new life of it."""
        self.poller = Poller()
        self.answerer = Answerer(
            self.listener.fileno(),
            LIMITS,
            ask=self._take,
            joined=self.peers.append,
            left=self.peers.remove,
            log=logging.getLogger("csp.test"),
        )

    def _take(self, peer: Peer, message: Message) -> None:
        self.asked.append(message)
        if message[0] == b"ECHO":
            peer.done(message[1], *message[2:])
        elif message[0] == b"NO":
            peer.fail(message[1], "BADVALUE no")

    def turn(self) -> None:
        """One turn of its loop."""
        if self.answerer is not None:
            self.poller.wait(self.answerer.descriptors(), 0)
            self.answerer.flush()

    def die(self) -> None:
        """The end of this life."""
        assert self.answerer is not None
        self.answerer.close()
        self.answerer = None


class Pair:
    """Both ends, moved by hand."""

    def __init__(self, folder: Path) -> None:
        self.loop = FakeLoop()
        self.answering = Answering(folder / "s")
        self.asker = Asker(self.loop, str(folder / "s"), LIMITS)
        self.answers: dict[str, Answer] = {}

    def ask(self, verb: str, text: str = "") -> None:
        """Asks; the answer is kept under its text."""

        def then(answer: Answer) -> None:
            assert text not in self.answers, "answered twice"
            self.answers[text] = answer

        self.asker.ask(verb, text, then=then)

    def turn(self) -> None:
        """Turns of both, enough for a question and its answer."""
        for _ in range(3):
            self.answering.turn()
            self.loop.poll()

    def close(self) -> None:
        self.asker.close()
        if self.answering.answerer is not None:
            self.answering.die()
        self.answering.listener.close()


@pytest.fixture
def pair(tmp_path: Path) -> Iterator[Pair]:
    made = Pair(tmp_path)
    yield made
    made.close()


def test_a_question_is_answered(pair: Pair) -> None:
    pair.answering.start()
    pair.ask("ECHO", "a")
    pair.ask("NO", "b")
    pair.turn()
    assert pair.answers == {"a": Done([b"a"]), "b": Fail("BADVALUE no")}


def test_a_process_that_accepts_and_never_serves_leaves_no_question_hanging(pair: Pair) -> None:
    pair.ask("ECHO", "a")
    pair.loop.pass_time(LIMITS.greeting_ms - 1)
    assert pair.answers == {}
    pair.loop.pass_time(1)
    away = "the process that decides it has not served for 5 s"
    assert pair.answers == {"a": Absent(away, is_away=True)}
    pair.ask("ECHO", "b")  # and the next ones are told at once
    assert isinstance(pair.answers["b"], Absent)
    pair.answering.start()
    pair.turn()
    assert pair.answering.asked == [], "what was refused must never be done"
    pair.ask("ECHO", "c")
    pair.turn()
    assert pair.answers["c"] == Done([b"c"])


def test_who_dies_at_every_start_is_not_waited_for_anew(pair: Pair) -> None:
    pair.ask("ECHO", "a")
    for _ in range(20):
        pair.answering.start()
        assert pair.answering.answerer is not None
        pair.answering.poller.wait(pair.answering.answerer.descriptors(), 0)
        pair.answering.die()  # it took the connection in, but never came to greet
        pair.loop.poll()
        pair.loop.pass_time(500)
    assert isinstance(pair.answers["a"], Absent)


def test_what_was_sent_may_have_been_done_when_the_channel_breaks(pair: Pair) -> None:
    pair.answering.start()
    pair.asker.open()
    pair.turn()
    pair.ask("KEEP", "a")
    pair.turn()
    pair.answering.die()
    pair.turn()
    assert pair.answers == {"a": Broken("the process that decides it ended meanwhile")}


def test_what_waits_for_a_successor_is_asked_of_it(pair: Pair) -> None:
    pair.answering.start()
    pair.asker.open()
    pair.turn()
    pair.answering.die()
    pair.turn()
    pair.loop.pass_time(100)  # connected to the socket that is there, whoever serves it
    pair.ask("ECHO", "a")
    assert pair.answers == {}
    pair.answering.start()
    pair.turn()
    assert pair.answers == {"a": Done([b"a"])}


def test_an_answer_that_does_not_come_is_told_and_may_come_late(pair: Pair) -> None:
    pair.answering.start()
    pair.asker.open()
    pair.turn()
    pair.ask("KEEP", "a")
    pair.turn()
    pair.loop.pass_time(LIMITS.answer_ms + 2_000)
    assert pair.answers == {"a": Broken("no answer came in time", is_late=True)}
    (peer,) = pair.answering.peers
    peer.done(pair.answering.asked[0][1], "late")
    pair.ask("ECHO", "b")
    pair.turn()
    assert pair.answers["b"] == Done([b"b"]), "a late answer breaks nothing"


def test_a_question_that_is_too_large_harms_no_other(pair: Pair) -> None:
    pair.answering.start()
    pair.asker.open()
    pair.turn()
    pair.ask("KEEP", "a")
    pair.ask("ECHO", "x" * LIMITS.question_bytes)
    assert str(pair.answers["x" * LIMITS.question_bytes]).startswith("Fail(text='TOOBIG")
    pair.ask("ECHO", "b")
    pair.turn()
    assert pair.answers["b"] == Done([b"b"])
    assert "a" not in pair.answers


def test_questions_under_way_are_bounded(pair: Pair) -> None:
    pair.answering.start()
    for number in range(LIMITS.in_flight + 1):
        pair.ask("KEEP", str(number))
    assert pair.answers == {"20": Absent("20 requests are waiting already")}


@pytest.mark.parametrize(
    "data",
    [
        b"PING\r\n",
        b"*1\r\n:1\r\n",
        b"*2\r\n:1\r\n:2\r\n",
        b"*2\r\n$1\r\nA\r\n*1\r\n$1\r\nB\r\n",
        b"*1\r\n$9999\r\n",
    ],
)
def test_a_peer_that_speaks_nonsense_is_cut_off(
    pair: Pair, tmp_path: Path, data: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    pair.answering.start()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(tmp_path / "s"))
        peer.sendall(data)
        for _ in range(3):
            pair.answering.turn()
        assert peer.recv(100) == request("READY", 0)
        assert peer.recv(100) == b""
    assert "a worker was cut off" in caplog.text


def test_questions_in_pieces_of_every_size(pair: Pair, tmp_path: Path) -> None:
    pair.answering.start()
    stream = request("KEEP", "7", "default", b"p\r\n$3\x00") * 3
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(tmp_path / "s"))
        for size in (1, 2, 7, 30):
            for at in range(0, len(stream), size):
                peer.sendall(stream[at : at + size])
                pair.answering.turn()
                pair.answering.turn()
    assert pair.answering.asked == [[b"KEEP", b"7", b"default", b"p\r\n$3\x00"]] * 12


def test_a_peer_that_takes_no_answers_is_cut_off(pair: Pair, tmp_path: Path) -> None:
    pair.answering.start()
    with socket.socket(socket.AF_UNIX) as peer:
        peer.connect(str(tmp_path / "s"))
        for number in range(2_000):
            peer.sendall(request("ECHO", number, "x" * 900))
            pair.answering.turn()
            if not pair.answering.peers and number:
                return
    raise AssertionError("it may make the other end hold as much as it likes")


def test_a_longer_limit_of_one_question_holds_for_it_alone(pair: Pair) -> None:
    pair.answering.start()
    pair.asker.open()
    pair.turn()
    found: list[Answer] = []
    pair.asker.ask("KEEP", "slow", then=found.append, within_ms=60_000)
    pair.ask("KEEP", "usual")
    pair.loop.pass_time(LIMITS.answer_ms + 2_000)
    assert found == []
    assert "usual" in pair.answers
    pair.loop.pass_time(60_000)
    assert len(found) == 1
