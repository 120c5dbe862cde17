"""Asks directories in threads, a few for each: one that is slow holds up nobody of another.

1. A directory is what one set of settings names. It has threads of its own, which come with its
   questions and go when there are none.
2. Every question has one answer: the directory's, or AWAY when its deadline is over, whatever its
   thread still waits for.
3. What is asked of one directory at once, and how many directories there are, is bounded.
4. Threads only ask; all else happens in the main thread, which `done_fd` wakes.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from csp.external.backend import Backend, Directory, Kind, Unusable, Verdict
from csp.external.questions import Question
from csp.external.settings import Settings, digest_of
from csp.observe.faults import told_fault

DIRECTORIES_MAX = 64  # that are remembered; a server has one, tenants and persons may have theirs
QUESTIONS_MAX = 64  # of one directory at once, and so its threads: they only wait
IDLE_SECONDS = 60.0  # after which a thread ends

TOO_MANY = "too much is asked of the directory at once"
TOO_LATE = "no answer came in time"

Answer = Callable[[Verdict], None]

log = logging.getLogger("csp.external")


@dataclass(eq=False)
class Task:
    """A question that is being asked."""

    pool: Pool
    question: Question
    deadline: float  # seconds of time.monotonic
    answer: Answer
    is_answered: bool = False


class Pool:
    """The threads of one directory."""

    def __init__(self, backend: Callable[[], Backend], settings: bytes, done: Done) -> None:
        self.under_way = 0  # questions; changed by the main thread
        self._backend = backend
        self._settings = settings
        self._done = done
        self._directory: Directory | None = None
        self._opening = threading.Lock()
        self._guard = threading.Lock()
        self._threads = 0
        self._todo: queue.SimpleQueue[Task] = queue.SimpleQueue()

    def put(self, task: Task) -> None:
        """Gives a question to a thread."""
        self.under_way += 1
        with self._guard:
            self._todo.put(task)
            if self._threads < self.under_way:
                self._threads += 1
                threading.Thread(target=self._work, name="asking", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                task = self._todo.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                with self._guard:
                    if self._todo.empty():
                        self._threads -= 1
                        return
                continue
            self._done.put(task, self._decide(task))

    def _decide(self, task: Task) -> Verdict:
        question = task.question
        if time.monotonic() >= task.deadline:
            return Verdict(Kind.AWAY, TOO_LATE)
        try:
            directory = self._opened()
            return directory.authenticate(question.user, question.secret, task.deadline)
        except Unusable as why:
            return Verdict(Kind.UNUSABLE, str(why))
        except Exception as error:  # noqa: BLE001 - whatever it is, nobody gets in by it
            # Its text is left out: libraries put into it what they were given.
            kind = type(error).__name__
            return Verdict(
                Kind.UNUSABLE, told_fault(log, "asking a directory", error, says=kind).text
            )

    def _opened(self) -> Directory:
        with self._opening:
            if self._directory is None:
                self._directory = self._backend().open(Settings.from_json(self._settings))
            return self._directory


class Done:
    """What threads have found out, on its way to the main thread."""

    def __init__(self) -> None:
        self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._found: queue.SimpleQueue[tuple[Task, Verdict]] = queue.SimpleQueue()

    def put(self, task: Task, verdict: Verdict) -> None:
        """From a thread."""
        self._found.put((task, verdict))
        os.eventfd_write(self.fd, 1)

    def take(self) -> list[tuple[Task, Verdict]]:
        """All that is there."""
        try:
            os.eventfd_read(self.fd)
        except BlockingIOError:
            return []
        found = []
        while not self._found.empty():
            found.append(self._found.get())
        return found


class Directories:
    """All directories of one backend."""

    def __init__(self, backend: Callable[[], Backend]) -> None:
        """`backend` raises Unusable where it can't work at all."""
        self._backend = backend
        self._done = Done()
        self._pools: OrderedDict[bytes, Pool] = OrderedDict()  # the one asked last comes last
        self._tasks: dict[Task, None] = {}  # not answered

    @property
    def done_fd(self) -> int:
        """Readable when `take_done` has something to do."""
        return self._done.fd

    def ask(self, question: Question, answer: Answer) -> bool:
        """Answers later, once; False where there is no place for it."""
        pool = self._pool(question.settings)
        if pool is None or pool.under_way >= QUESTIONS_MAX:
            return False
        deadline = time.monotonic() + question.within_ms / 1000
        task = Task(pool, question, deadline, answer)
        self._tasks[task] = None
        pool.put(task)
        return True

    def take_done(self) -> None:
        """Passes on what threads have found out."""
        for task, verdict in self._done.take():
            task.pool.under_way -= 1
            self._answer(task, verdict)

    def tick(self) -> None:
        """Answers what is overdue; called several times a second."""
        now = time.monotonic()
        for task in [task for task in self._tasks if now >= task.deadline]:
            self._answer(task, Verdict(Kind.AWAY, TOO_LATE))

    def _answer(self, task: Task, verdict: Verdict) -> None:
        if not task.is_answered:
            task.is_answered = True
            del self._tasks[task]
            task.answer(verdict)

    def _pool(self, settings: bytes) -> Pool | None:
        digest = digest_of(settings)
        pool = self._pools.get(digest)
        if pool is None:
            if len(self._pools) >= DIRECTORIES_MAX and not self._forget_one():
                return None
            pool = self._pools[digest] = Pool(self._backend, settings, self._done)
        self._pools.move_to_end(digest)
        return pool

    def _forget_one(self) -> bool:
        """Lets go of the directory that was not asked for longest; False where all are busy."""
        idle = next((key for key, pool in self._pools.items() if not pool.under_way), None)
        if idle is None:
            return False
        del self._pools[idle]
        return True
