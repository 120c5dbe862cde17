"""PUBSUB: what is subscribed to, over the workers of this server.

1. Each worker lists its own, some thousand names a turn; the others are asked (mailbox.py). Who
   does not answer in time is left out, as a dead worker's connections are.
2. No list has more than NAMES_MAX names of a worker, nor names above NAME_BYTES_MAX, which no
   change can have.
3. A channel of an object or tenant that the session may not read, or that is not there, is named to
   nobody who may not read everything, and has no subscribers for him.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain

from csp.errors import CspError, TooBig
from csp.resp.encode import array, bulk, error, integer
from csp.worker.call import Call, Handler, Lane
from csp.worker.glob import compile_glob
from csp.worker.mailbox import Tell, Words
from csp.worker.refusal import text_of
from csp.worker.slices import in_slices

PUBSUB = b"PUBSUB"  # the mailbox's verb: CHANNELS pattern | PATTERNS | COUNTS channel…
NAMES_MAX = 100_000
NAME_BYTES_MAX = 1_024
BUCKETS_AT_ONCE = 1_024
SLICE_SECONDS = 0.002
WHOLE, TOO_MANY = b"WHOLE", b"TOOMANY"  # how an answer of names begins


def channels(call: Call) -> None:
    """PUBSUB CHANNELS [pattern]"""
    if len(call.args) > 3:
        word = text_of(call.args[1])
        raise CspError(
            f"unknown subcommand or wrong number of arguments for '{word}'. Try PUBSUB HELP."
        )
    pattern = call.args[2] if len(call.args) == 3 else b"*"

    def listed(names: set[bytes]) -> bytes:
        ordered = sorted(names)
        heard = call.lane.loop.may_hear(call.conn, ordered)
        return array(bulk(name) for name, may in zip(ordered, heard, strict=True) if may)

    _name_all(call, [b"CHANNELS", pattern], listed)


def pattern_count(call: Call) -> None:
    """PUBSUB NUMPAT: a pattern counts once, however many use it."""
    _name_all(call, [b"PATTERNS"], lambda names: integer(len(names)))


def _name_all(call: Call, question: Words, reply_of: Callable[[set[bytes]], bytes]) -> None:
    """Answers by the names that all workers together have."""
    lane, conn = call.lane, call.conn

    def told(own: Words, others: list[Words]) -> None:
        answers = [own, *others]
        if any(words[0] == TOO_MANY for words in answers):
            refusal = TooBig(f"a worker has more than {NAMES_MAX} of them: give a narrower pattern")
            lane.finish(conn, error(refusal.line))
        else:
            lane.finish(conn, reply_of(set(chain.from_iterable(words[1:] for words in answers))))

    def named(own: Words) -> None:
        _ask(lane, conn, question, partial(told, own))

    _names(lane, question, named)


def counts(call: Call) -> None:
    """PUBSUB NUMSUB channel…"""
    lane, conn, asked = call.lane, call.conn, call.args[2:]
    if not asked:
        lane.finish(conn, array([]))
        return

    def told(others: list[Words]) -> None:
        sums = lane.loop.subscribers(asked)
        for words in others:
            sums = [a + int(b) for a, b in zip(sums, words, strict=True)]
        heard = lane.loop.may_hear(conn, asked)
        pairs = ((a, n if may else 0) for a, n, may in zip(asked, sums, heard, strict=True))
        lane.finish(conn, array(chain.from_iterable((bulk(a), integer(b)) for a, b in pairs)))

    _ask(lane, conn, [b"COUNTS", *asked], told)


def answer_another(lane: Lane, words: Words, tell: Tell) -> None:
    """What another worker's PUBSUB asks of this one."""
    if words[0] == b"COUNTS":
        tell([b"%d" % count for count in lane.loop.subscribers(words[1:])])
    else:
        _names(lane, words, tell)


def _ask(lane: Lane, conn: int, question: Words, then: Callable[[list[Words]], None]) -> None:
    try:
        lane.mailbox.ask([PUBSUB, *question], then)
    except CspError as refusal:
        lane.finish(conn, error(refusal.line))


def _names(lane: Lane, question: Words, then: Tell) -> None:
    """This worker's channels that match, or its patterns, gathered over several turns."""
    in_slices(lane.loop, _gathered(lane, question, then))


def _gathered(lane: Lane, question: Words, then: Tell) -> Iterator[None]:
    is_pattern = question[0] == b"PATTERNS"
    matches = compile_glob(b"*" if is_pattern else question[1])
    found: Words = []
    at, until = 0, time.monotonic() + SLICE_SECONDS
    while at >= 0:
        names, at = lane.loop.subscribed_from(at, BUCKETS_AT_ONCE, is_pattern)
        found.extend(name for name in names if len(name) <= NAME_BYTES_MAX and matches(name))
        if len(found) > NAMES_MAX:
            then([TOO_MANY])
            return
        if at >= 0 and time.monotonic() > until:
            yield
            until = time.monotonic() + SLICE_SECONDS
    then([WHOLE, *found])


HANDLERS: dict[str, Handler] = {
    "pubsub|channels": channels,
    "pubsub|numsub": counts,
    "pubsub|numpat": pattern_count,
}
