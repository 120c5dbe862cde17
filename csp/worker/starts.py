"""CFG.FROM: says behind which revision the subscriptions that follow on a connection begin.

1. A place that this history can't go on from is refused at once, in words that say where one can;
   one that this server's log has let go is looked for in the master's (replays.py brings it).
2. What lies beyond this server's revision is refused only where the master itself, asked now, has
   not got that far; where it can't be asked, or has, the place is taken and awaited (the loop's
   start.pxi says how long, and looks at the mark when the revision is there).
"""

from __future__ import annotations

from dataclasses import dataclass

from csp._fastpath import next_mark
from csp.errors import BadValue, CspError, Resync
from csp.model.entry import mark_of
from csp.process.channel.asking import Answer, Done
from csp.resp.encode import encode, error
from csp.store.control import LINK_UP
from csp.tables.options import OPTIONS
from csp.worker.call import Call, Handler
from csp.worker.ports import Reader
from csp.worker.refusal import text_of

SUBSCRIPTIONS_MAX = int(OPTIONS["csp", "max-subscriptions"].default)
BOOKMARK_MS_MIN = 1_000
BOOKMARK_MS_MAX = 86_400_000  # a day
REVISION_MAX = 2**63 - 2
NUMBER_DIGITS_MAX = 19
MARK_DIGITS = 16
MASTER_ASKED_MS_MAX = 2_000  # a master that does not say by then is one that can't be asked

HISTORY_ASKED_MS_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Start:
    """What CFG.FROM asks for."""

    revision: int | None  # None: what this server has now
    mark: int | None = None
    subs: int = 1
    bookmark_ms: int = 0
    states: bool = False


def from_(call: Call) -> bytes | None:
    """CFG.FROM revision|NOW [MARK m] [SUBS n] [BOOKMARKS ms] [WITHSTATE]"""
    lane, session = call.lane, call.session
    most = lane.info.limit("max-subscriptions", SUBSCRIPTIONS_MAX)
    asked = read_start(call.args[1:], most)
    if session.subscriptions:
        raise CspError(
            f"CFG.FROM comes before the first subscription, and this connection has "
            f"{session.subscriptions}: end them (UNSUBSCRIBE, PUNSUBSCRIBE, RESET), or connect anew"
        )
    if lane.loop.tracking.info(call.conn) is not None:
        raise CspError(
            "CFG.FROM places a cursor, and a connection that tracks has one: turn it off "
            "(CLIENT TRACKING OFF), or use another connection"
        )
    if asked.revision is None or asked.revision <= lane.reader.revision:
        if asked.revision is not None and asked.revision < oldest_start(lane.reader):
            _ask_history(call, asked, asked.revision)
            return None
        return _begin(call, asked)
    if lane.info.mode != "proxy":
        raise _beyond(asked.revision, lane.reader.revision)
    if lane.control.link()[0] != LINK_UP:
        return _begin(call, asked)
    _ask_master(call, asked, asked.revision)
    return None


def read_start(args: list[bytes], subscriptions_max: int = SUBSCRIPTIONS_MAX) -> Start:
    """The words behind the command's name; refused in words that say which is wrong."""
    is_now = args[0].upper() == b"NOW"
    revision = (
        None if is_now else _number("CFG.FROM", args[0], 0, REVISION_MAX, "a revision or NOW")
    )
    found: dict[bytes, int] = {}
    words = [word.upper() for word in args[1:]]
    states = words.count(b"WITHSTATE")
    if states > 1:
        raise CspError("CFG.FROM has WITHSTATE twice")
    args = [word for word in args if word.upper() != b"WITHSTATE"]
    for at in range(1, len(args), 2):
        word, value = args[at].upper(), args[at + 1 : at + 2]
        if word not in (b"MARK", b"SUBS", b"BOOKMARKS"):
            raise CspError(
                f"CFG.FROM takes MARK, SUBS, BOOKMARKS and WITHSTATE, not '{text_of(args[at])}'"
            )
        if not value or word in found:
            wrong = "twice" if value else "without a value"
            raise CspError(f"CFG.FROM has {text_of(word)} {wrong}")
        if word == b"SUBS":
            what = f"1 to {subscriptions_max} subscriptions"
            found[word] = _number("SUBS", value[0], 1, subscriptions_max, what)
        elif word == b"BOOKMARKS":
            least, most = BOOKMARK_MS_MIN, BOOKMARK_MS_MAX
            what = f"{least} to {most} milliseconds"
            found[word] = _number("BOOKMARKS", value[0], least, most, what)
        elif is_now:
            raise BadValue("MARK belongs to a revision, not to NOW")
        else:
            found[word] = _mark(value[0])
    return Start(
        revision,
        found.get(b"MARK"),
        found.get(b"SUBS", 1),
        found.get(b"BOOKMARKS", 0),
        bool(states),
    )


def _number(word: str, data: bytes, least: int, most: int, what: str) -> int:
    if data.isdigit() and len(data) <= NUMBER_DIGITS_MAX and least <= int(data) <= most:
        return int(data)
    raise BadValue(f"{word} takes {what}, not '{text_of(data)}'")


def _mark(data: bytes) -> int:
    digits = data.lower()
    if len(digits) == MARK_DIGITS and not digits.strip(b"0123456789abcdef"):
        return int(digits, 16)
    raise BadValue(f"MARK takes {MARK_DIGITS} hexadecimal digits, not '{text_of(data)}'")


def _begin(call: Call, asked: Start) -> bytes:
    """Places the cursor; the reply."""
    reader = call.lane.reader
    revision = reader.revision if asked.revision is None else asked.revision
    mark = asked.mark
    if oldest_start(reader) <= revision <= reader.revision:
        mark = _mark_there(reader, revision, asked.mark)
    call.lane.loop.start_from(
        call.conn,
        revision,
        subs=asked.subs,
        mark=mark,
        bookmark_ms=asked.bookmark_ms,
        states=asked.states,
    )
    # An array in RESP3 too: what a library's pub/sub object takes must have three parts.
    shown = None if mark is None else b"%016x" % mark
    return encode([b"cfg.from", revision, shown], call.proto)


def _mark_there(reader: Reader, revision: int, said: int | None) -> int | None:
    """The mark of a revision from which the log goes on, None where nobody knows it; or Resync."""
    if revision == reader.revision:
        found: int | None = reader.mark
    else:
        here = reader.log_head(revision)
        found = here[0] if here is not None else said
        if here is None and said is not None and not reader.log_follows(said, revision + 1):
            found = None
    if said is not None and found != said:
        raise _other_history(revision)
    return found


def oldest_start(reader: Reader) -> int:
    """The oldest revision from which everything is still in the log."""
    oldest = min(reader.oldest, reader.revision + 1)
    _, is_difference = reader.log_head(oldest) or (0, False)
    return oldest if is_difference else oldest - 1


def _ask_history(call: Call, asked: Start, revision: int) -> None:
    """What this server's log has let go the master may still have: asked for once, then kept."""
    lane, conn = call.lane, call.conn

    def answered(answer: Answer) -> None:
        if conn in lane.states:
            lane.finish(conn, reply(answer.parts if isinstance(answer, Done) else []))

    def reply(parts: list[bytes]) -> bytes:
        try:
            entries = parts[1:]
            if not entries:
                raise _gone(lane.reader, revision, int(parts[0]) if parts else 0)
            if asked.mark is not None and next_mark(asked.mark, entries[0]) != mark_of(entries[0]):
                raise _other_history(revision)
            lane.replays.keep(entries)
            return _begin(call, asked)
        except CspError as refusal:
            return error(refusal.line)

    lane.reading.ask("ENTRIES", revision + 1, then=answered, within_ms=HISTORY_ASKED_MS_MAX)


def _gone(reader: Reader, revision: int, oldest: int) -> Resync:
    first = min(oldest_start(reader), oldest - 1) if oldest else oldest_start(reader)
    return Resync(f"the log does not go on from revision {revision}; from {first} it does")


def _other_history(revision: int) -> Resync:
    return Resync(f"revision {revision} has another mark here: that was another history")


def _beyond(revision: int, newest: int) -> Resync:
    return Resync(f"revision {revision} is beyond the newest of this history, {newest}")


def _ask_master(call: Call, asked: Start, revision: int) -> None:
    """Only the master knows what it has: what this server last heard of it may be a second old."""
    lane, conn = call.lane, call.conn

    def answered(answer: Answer) -> None:
        if conn in lane.states:
            lane.finish(conn, reply(int(answer.parts[0]) if isinstance(answer, Done) else None))

    def reply(newest: int | None) -> bytes:
        try:
            if newest is not None and revision > max(newest, lane.reader.revision):
                raise _beyond(revision, newest)
            return _begin(call, asked)
        except CspError as refusal:
            return error(refusal.line)

    lane.writer.ask("HEAD", then=answered, within_ms=MASTER_ASKED_MS_MAX)


HANDLERS: dict[str, Handler] = {"cfg.from": from_}
