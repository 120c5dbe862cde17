"""Invalidations between workers: asked for, told, gathered, lost, and what is left of the dead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from csp.worker.call import Lane, State
from csp.worker.mailbox import ANSWER_MS_MAX, Mailbox, Tell, Words
from csp.worker.redirects import KEYS_MAX, REDIRECT, RETRY_MS, TRIES_MAX, Redirects
from tests.unit.fake_loop import FakeLoop

TARGET = 5 << 6 | 1  # a connection of worker 1


class Worker:
    """A worker's mailbox and redirects on a loop of its own."""

    def __init__(self, folder: Path, slot: int) -> None:
        self.loop = FakeLoop()
        self.states: dict[int, State] = {}
        self.mailbox = Mailbox(self.loop, folder, slot, 2, self._asked)
        lane: Any = SimpleNamespace(loop=self.loop, mailbox=self.mailbox, states=self.states)
        lane.info = SimpleNamespace(slot=slot)
        self.redirects = Redirects(cast(Lane, lane))
        self.joined: list[bool] = []
        self.mailbox.open()
        self.redirects.start()

    def _asked(self, words: Words, tell: Tell) -> None:
        assert words[0] == REDIRECT
        self.redirects.answer(words[1:], tell)

    def join(self) -> None:
        self.redirects.join(TARGET, self.joined.append)


@pytest.fixture
def workers(tmp_path: Path) -> Iterator[tuple[Worker, Worker]]:
    """One whose connections track, and one whose connection 50 is told."""
    reads, told = Worker(tmp_path, 0), Worker(tmp_path, 1)
    told.loop.tracking.ids[TARGET] = 50
    settle(reads, told)
    told.loop.tracking.told.clear()
    yield reads, told
    reads.mailbox.close()
    told.mailbox.close()


def settle(*workers: Worker) -> None:
    for _ in range(4):
        for one in workers:
            one.loop.poll()


def test_a_target_is_asked_for_and_told(workers: tuple[Worker, Worker]) -> None:
    reads, told = workers
    reads.join()
    reads.redirects.join(7 << 6 | 1, reads.joined.append)
    settle(*workers)
    assert reads.joined == [True, False]
    reads.redirects.invalidate(TARGET, [b"a", b"b"])
    settle(*workers)
    reads.redirects.invalidate(TARGET, None)
    settle(*workers)
    assert told.loop.tracking.told == [(50, [b"a", b"b"]), (50, None)]
    assert reads.loop.tracking.ended == []


def test_what_comes_while_an_answer_is_owed_is_gathered(workers: tuple[Worker, Worker]) -> None:
    reads, told = workers
    reads.join()
    settle(*workers)
    for key in (b"a", b"b", b"c"):
        reads.redirects.invalidate(TARGET, [key])
    settle(*workers)
    assert told.loop.tracking.told == [(50, [b"a"]), (50, [b"b", b"c"])]
    for _ in range(2):
        reads.redirects.invalidate(TARGET, [b"key"] * (KEYS_MAX // 2 + 1))
    reads.redirects.invalidate(TARGET, [b"key"] * (KEYS_MAX // 2 + 1))
    settle(*workers)
    assert told.loop.tracking.told[2:] == [(50, [b"key"] * (KEYS_MAX // 2 + 1)), (50, None)]


def test_the_end_of_a_target_is_told(workers: tuple[Worker, Worker]) -> None:
    reads, told = workers
    reads.join()
    settle(*workers)
    del told.loop.tracking.ids[TARGET]
    for undo in told.states.pop(50).on_close.values():
        undo()
    settle(*workers)
    assert reads.loop.tracking.ended == [TARGET]
    reads.redirects.invalidate(TARGET, [b"a"])
    settle(*workers)
    assert reads.loop.tracking.ended == [TARGET, TARGET]
    assert told.loop.tracking.told == []


def test_what_is_not_answered_becomes_a_null(workers: tuple[Worker, Worker]) -> None:
    reads, told = workers
    reads.join()
    settle(*workers)
    reads.redirects.invalidate(TARGET, [b"a"])
    reads.loop.pass_time(ANSWER_MS_MAX)  # the other one is busy
    settle(told)
    reads.loop.pass_time(RETRY_MS)
    settle(*workers)
    assert told.loop.tracking.told == [(50, [b"a"]), (50, None)]
    assert reads.loop.tracking.ended == []


def test_a_worker_that_never_answers_is_given_up(workers: tuple[Worker, Worker]) -> None:
    reads, told = workers
    reads.join()
    settle(*workers)
    told.mailbox.close()
    reads.redirects.invalidate(TARGET, [b"a"])
    reads.redirects.join(TARGET, reads.joined.append)
    for _ in range(TRIES_MAX):
        assert reads.loop.tracking.ended == []
        reads.loop.pass_time(RETRY_MS)
    assert reads.loop.tracking.ended == [TARGET]
    assert reads.joined == [True, False]


def test_a_worker_that_begins_says_so(workers: tuple[Worker, Worker], tmp_path: Path) -> None:
    """Its predecessor may have died with readers, whose targets hear a null, or with a target."""
    reads, told = workers
    reads.join()
    settle(*workers)
    again = Worker(tmp_path, 0)
    settle(again, told)
    assert told.loop.tracking.told == [(50, None)]
    again.join()
    settle(again, told)
    second = Worker(tmp_path, 1)
    settle(again, second)
    assert again.loop.tracking.ended == [TARGET]
    again.mailbox.close()
    second.mailbox.close()


def test_a_reader_that_ends_is_told_as_a_null(workers: tuple[Worker, Worker]) -> None:
    reads, told = workers
    reads.join()
    settle(*workers)
    reads.redirects.leave(TARGET)
    settle(*workers)
    assert told.loop.tracking.told == [(50, None)]
