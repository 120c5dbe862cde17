"""Decides sign-ins and hashes new passwords: remembered sign-ins at once, the rest by two threads.

1. At most THREADS are worked on; the rest stands in a line (line.py), and who finds no place in it
   gets BUSY at once.
2. Equal requests that wait at the same time share one comparison; what was wrong is remembered for
   a while too, so clients that come again and again with an old password cost nothing.
3. Threads only compare and hash; everything else happens in the main thread, between two polls.
"""

from __future__ import annotations

import dataclasses
import os
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from csp.auth.accounts import Account
from csp.auth.line import Line
from csp.auth.passwords import compare, compare_in_vain, hash_password, is_password
from csp.auth.remembered import Remembered
from csp.observe.clock import monotonic_ms

SHARED_MAX = 10_000  # of one comparison: a whole site comes back with one account
THREADS = 2  # argon2id takes 19 MiB and a processor for 40 ms; workers need processors too
WRONG_REMEMBERED_MAX = 10_000

WRONG = "WRONGPASS invalid username-password pair or user is disabled."
BUSY = "BUSY too many sign-ins wait; try again in some seconds"

Answer = Callable[[Account | str], None]  # the account, or the text of a refusal


@dataclass
class Comparison:
    """One password that is compared, and who waits for the result."""

    digest: bytes
    address: str  # in whose line it stands
    password: bytes
    account: Account | None
    answers: list[Answer] = field(default_factory=list)
    is_right: bool = False
    upgraded: str = ""  # a better hash than the one that is stored

    def work(self) -> None:
        """Compares; in a thread."""
        if self.account is None:
            self.is_right = compare_in_vain(self.password)
        else:
            stored = self.account.algorithm, self.account.hash
            self.is_right, self.upgraded = compare(self.password, *stored)


@dataclass
class Hashing:
    """A new password that is hashed, and who waits for the hash."""

    password: bytes
    answer: Callable[[str | None], None]
    earlier: Sequence[tuple[str, str]] = ()  # algorithm and hash of each that may not come back
    hash: str = ""  # empty: it is one of those

    def work(self) -> None:
        """Hashes; in a thread."""
        if not any(is_password(self.password, *one) for one in self.earlier):
            self.hash = hash_password(self.password)


class Verifier:
    """All sign-ins under way."""

    def __init__(
        self,
        find_account: Callable[[bytes], Account | None],
        count: Callable[[str], None],
        now_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        self._find_account = find_account
        self.count = count  # adds one to a metric
        self._now_ms = now_ms
        self._remembered = Remembered()
        self._wrong = Remembered(WRONG_REMEMBERED_MAX)
        self._by_digest: dict[bytes, Comparison] = {}
        self._line: Line[Comparison | Hashing] = Line()
        self._working = 0
        self._todo: queue.SimpleQueue[Comparison | Hashing] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Comparison | Hashing] = queue.SimpleQueue()
        self.done_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        for index in range(THREADS):
            threading.Thread(target=self._work, name=f"argon2-{index}", daemon=True).start()

    def verify(self, user: bytes, password: bytes, answer: Answer, address: str = "") -> None:
        """Answers now or from a later `take_done`."""
        account = self._find_account(user)
        dbid, revision = (account.dbid, account.revision) if account else (0, 0)
        digest = self._remembered.digest(user, password, dbid, revision)
        if account and self._remembered.has(digest):
            self.count("remembered" if account.is_enabled else "refused")
            answer(account if account.is_enabled else WRONG)
            return
        if self._wrong.has(digest):
            self.count("refused")
            answer(WRONG)
            return
        comparison = self._by_digest.get(digest)
        if comparison is None:
            comparison = Comparison(digest, address, password, account)
            if not self._line.add(address, comparison, self._now_ms()):
                self.count("refused")
                answer(BUSY)
                return
            self._by_digest[digest] = comparison
        if len(comparison.answers) >= SHARED_MAX:
            self.count("refused")
            answer(BUSY)
        else:
            comparison.answers.append(answer)
        self.work_off()

    def hash(
        self,
        password: bytes,
        answer: Callable[[str | None], None],
        address: str = "",
        earlier: Sequence[tuple[str, str]] = (),
    ) -> None:
        """Hashes a new password of somebody who has been verified; answers from `take_done`.

        None where there is no place in the line, "" where it is one of the earlier ones.
        """
        if not self._line.add(address, Hashing(password, answer, earlier), self._now_ms()):
            answer(None)
        self.work_off()

    def work_off(self) -> None:
        """Gives the threads what is next; called in each turn, for those that wait at a pace."""
        while self._working < THREADS:
            task = self._line.take(self._now_ms())
            if task is None:
                return
            self._working += 1
            self._todo.put(task)

    def take_done(self) -> None:
        """Answers what the threads have worked out; called when `done_fd` is readable."""
        try:
            os.eventfd_read(self.done_fd)
        except BlockingIOError:
            return
        while not self._done.empty():
            comparison = self._done.get()
            self.count("hashes")
            self._working -= 1
            if isinstance(comparison, Hashing):
                comparison.answer(comparison.hash)
                continue
            del self._by_digest[comparison.digest]
            account = comparison.account
            if comparison.is_right and account is not None:
                self._remembered.add(comparison.digest)
            else:
                self._wrong.add(comparison.digest)
                for task in self._line.failed(comparison.address, self._now_ms()):
                    self._refuse(task)
            if not comparison.is_right or account is None or not account.is_enabled:
                self._answer(comparison, WRONG)
                continue
            # One of those who wait brings the better hash to where hashes are kept.
            better = dataclasses.replace(account, upgraded=comparison.upgraded)
            for number, answer in enumerate(comparison.answers):
                answer(account if number else better)
        self.work_off()

    def _refuse(self, task: Comparison | Hashing) -> None:
        """Its place was taken away."""
        if isinstance(task, Hashing):
            task.answer(None)
            return
        del self._by_digest[task.digest]
        self._answer(task, BUSY)

    def _answer(self, task: Comparison, refusal: str) -> None:
        for answer in task.answers:
            self.count("refused")
            answer(refusal)

    def _work(self) -> None:
        while True:
            task = self._todo.get()
            task.work()
            self._done.put(task)
            os.eventfd_write(self.done_fd, 1)
