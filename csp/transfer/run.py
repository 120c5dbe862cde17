"""Carries a plan out: sends its transactions one after the other, and goes on after a lost link."""

# 1. A transaction is sent again only under the same id, so it is never done twice.
# 2. The first refusal ends the run; what came before it stays done and is not repeated by the
#    next import.

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from csp.errors import (
    Busy,
    CspError,
    ExecAbort,
    Loading,
    MasterDown,
    NoPerm,
    ReadOnly,
    UnknownOutcome,
    from_line,
)
from csp.resp import request
from csp.transfer.granting import AtServer
from csp.transfer.objects import Item
from csp.transfer.plan import Plan
from csp.transfer.present import Source
from csp.transfer.problems import Problems
from csp.transfer.transactions import Cutter, Transaction, item_of

ATTEMPTS_MAX = 8
RETRY_SECONDS = 0.25  # doubles: with eight attempts about half a minute
PASSING = (Busy, Loading, MasterDown, UnknownOutcome)
ABORTED = re.compile(r"(?:(\w+) )?command (\d+): (.*)", re.S)

Progress = Callable[[int, int], None]  # done, of


class Sink(Source, Protocol):
    """What is asked of a client."""

    def exchange(self, requests: Sequence[bytes]) -> list[Any]:
        """The replies to encoded requests, errors among them; raises if the link breaks."""


class LinkLost(Exception):
    """What a Sink raises when the link broke; it connects again at the next exchange."""


def run(plan: Plan, revision: int, sink: Sink, problems: Problems, progress: Progress) -> int:
    """Does everything; the last revision. Refusals go to problems, then ImportRefused is raised."""
    cutter = Cutter(plan, revision, AtServer(sink))
    done = 0
    for transaction in cutter.transactions():
        try:
            replies = _do(transaction, sink)
        except ExecAbort as refusal:
            cause = _cause(refusal)
            if isinstance(cause, (NoPerm, ReadOnly)):
                raise cause from refusal  # nothing is wrong with the files
            _report(refusal, transaction, problems)
            problems.check()
            raise
        for command, reply in zip(transaction.commands, replies, strict=True):
            if isinstance(command, Item):
                revision, command.node.dbid = int(reply[0]), int(reply[1])
            else:
                revision = int(reply)
        done += len(transaction.commands)
        progress(done, max(plan.commands, plan.count, done))
    return revision


def _do(transaction: Transaction, sink: Sink) -> list[Any]:
    requests = [request("MULTI"), *transaction.encoded, request("EXEC")]
    wait = RETRY_SECONDS
    for attempt in range(ATTEMPTS_MAX):
        try:
            replies = sink.exchange(requests)
        except LinkLost as lost:
            if attempt == ATTEMPTS_MAX - 1:
                text = f"transaction {transaction.number} ({transaction.write_id}): {lost}"
                raise UnknownOutcome(text) from lost
        else:
            problem = _problem_of(replies)
            if problem is None:
                result: list[Any] = replies[-1]
                return result
            if not isinstance(problem, PASSING) or attempt == ATTEMPTS_MAX - 1:
                raise problem
        time.sleep(wait)
        wait *= 2
    raise AssertionError("the last attempt returns or raises")


def _problem_of(replies: list[Any]) -> CspError | None:
    """Why a transaction was not done: a command's own refusal says more than EXEC's."""
    if not isinstance(replies[-1], CspError):
        return None
    for position, reply in enumerate(replies[1:-1], 1):
        if isinstance(reply, CspError):
            return ExecAbort(f"{reply.WORD} command {position}: {reply.text}")
    return replies[-1]


def _cause(refusal: ExecAbort) -> CspError | None:
    """The error of the command that was refused."""
    match = ABORTED.match(refusal.text)
    return from_line(f"{match[1] or 'ERR'} {match[3]}") if match else None


def _report(refusal: ExecAbort, transaction: Transaction, problems: Problems) -> None:
    match = ABORTED.match(refusal.text)
    if match is None:
        return
    item = item_of(transaction.commands[int(match[2]) - 1])
    rule = f"refused by the server: {match[1] or 'ERR'} {match[3]}"
    if transaction.number > 1:
        rule += f" (the {transaction.number - 1} transactions before it are done)"
    problems.add(item.file or "files", rule, object=item.shown)
