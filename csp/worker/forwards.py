"""CFG.FORWARD: asks on behalf of another server's clients, and answers each when it is decided.

1. A question comes in pieces under a number of the asker's; the answer is a push with that number.
   Nothing of a connection waits for anything else of it, but its writes are passed on in order.
2. It is asked under the identity that it names, not the connection's: only a registered server may
   call this (the table says so), and the writer looks again.
3. What no server forwards is refused, as is a write where this server takes none itself.
4. What of the log is here is answered here; the writer is asked for the rest of it.
5. What is not whole when its connection ends was never asked.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

from csp.errors import BadValue, Busy, CspError, MasterDown, TooBig, UnknownOutcome
from csp.model.forward import (
    ACCOUNTS,
    DONE,
    END,
    ENTRIES,
    FAIL,
    FORWARDED,
    HEAD,
    HISTORY,
    MORE,
    OUTCOME,
    PAIR,
    QUESTIONS_BYTES_MAX,
    QUESTIONS_MAX,
    SESSIONLOG,
    SESSIONS,
    TICKET,
    WRITE,
)
from csp.model.history import HistoryQuestion
from csp.model.principal import principal_in
from csp.model.requests import EXPECT, PASSWORD, SKIP
from csp.model.sessions import SessionsQuestion
from csp.process.channel.asking import Absent, Answer, Broken, Done, Fail
from csp.resp import Decoder, ProtocolError, Push
from csp.resp.encode import encode
from csp.tables.commands import COMMANDS
from csp.worker.asked import Asked
from csp.worker.call import Call, Handler
from csp.worker.history import MAX_RECORDS
from csp.worker.log_pages import page_from
from csp.worker.refusal import number
from csp.worker.scoped import check_whole
from csp.worker.writes import asks_of, check_taken

RESP3 = 3
Paged = TypeVar("Paged", HistoryQuestion, SessionsQuestion)
COMMAND_NAME = re.compile(rb"\*[0-9]{1,7}\r\n\$[0-9]{1,2}\r\n([A-Za-z.]{1,32})\r\n")
# The commands of a write as they go to a writer; PASSWORD is what CFG.PASSWD becomes.
COMMANDS_TAKEN = frozenset(name.encode() for name, one in COMMANDS.items() if one.forwarded) | {
    EXPECT,
    PASSWORD,
    SKIP,
}


PAGES = (ENTRIES, HISTORY, SESSIONLOG)  # of what the master's database keeps


def forward(call: Call) -> bytes:
    """CFG.FORWARD number MORE|END piece"""
    check_whole(call)
    _, digits, more, piece = call.args
    name = number(digits)
    if more not in (MORE, END):
        raise BadValue("CFG.FORWARD takes a number, MORE or END, and a piece")
    asked = call.state.asked
    _collect(asked, name, piece)
    if more == END:
        try:
            _ask(call, asked, name, b"".join(asked.pieces.pop(name)))
        except CspError as refusal:
            _answer(call, asked, name, FAIL, refusal.line)
    return b""


def _collect(asked: Asked, name: int, piece: bytes) -> None:
    """Refuses what no server asks that keeps to the limits: it ends the link."""
    if name not in asked.pieces:
        if name in asked.sizes:
            raise BadValue(f"the question {name} is asked already")
        if len(asked.sizes) >= QUESTIONS_MAX:
            raise Busy(f"{QUESTIONS_MAX} questions of this server wait already")
        asked.pieces[name] = []
        asked.sizes[name] = 0
    if asked.bytes + len(piece) > QUESTIONS_BYTES_MAX:
        raise TooBig(f"{QUESTIONS_BYTES_MAX} bytes of this server's questions wait already")
    asked.pieces[name].append(piece)
    asked.sizes[name] += len(piece)
    asked.bytes += len(piece)


def _ask(call: Call, asked: Asked, name: int, question: bytes) -> None:
    """Passes a whole question to the writer."""
    verb, *words = _words(question)

    def answered(answer: Answer) -> None:
        match answer:
            case Done(parts):
                _answer(call, asked, name, DONE, *parts)
            case Fail(text):
                _answer(call, asked, name, FAIL, text)
            case Absent(why, is_away):
                refusal = MasterDown if is_away else Busy
                _answer(call, asked, name, FAIL, refusal(f"nothing was done: {why}").line)
            case Broken(why):
                lost = UnknownOutcome if verb == WRITE else MasterDown
                _answer(call, asked, name, FAIL, lost(f"it was under way, but {why}").line)

    arguments = _for_writer(call, verb, words)
    if verb == ENTRIES:
        reader = call.lane.reader
        entries = page_from(reader, int(arguments[0]))
        if entries:
            _answer(call, asked, name, DONE, str(reader.oldest), *entries)
            return
    lane = call.lane
    asker = lane.reading if verb in PAGES else lane.writer
    asker.ask(verb.decode(), *arguments, then=answered)


def _for_writer(call: Call, verb: bytes, words: Sequence[bytes]) -> Sequence[bytes]:
    """The arguments of the question to this server's writer."""
    if verb == WRITE and len(words) >= 4:
        check_taken(call.lane)
        _check_commands(words[2], words[3:])
        return [asks_of(call, principal_in(words[0])), *words[1:]]
    if verb == OUTCOME and len(words) == 2:
        return [asks_of(call, principal_in(words[0])), words[1]]
    if verb == HEAD and not words:
        return words
    if verb in (SESSIONS, ACCOUNTS, TICKET) and len(words) == 1:
        return words
    if verb == PAIR and len(words) == 3:
        return words
    if verb == SESSIONLOG and len(words) == 1:
        return [_paged(call, SessionsQuestion, words[0])]
    if verb == ENTRIES and len(words) == 1 and words[0].isdigit():
        return words
    if verb == HISTORY and len(words) == 1:
        return [_paged(call, HistoryQuestion, words[0])]
    raise BadValue(f"{verb[:32]!r} with {len(words)} arguments is not forwarded")


def _check_commands(kind: bytes, commands: Sequence[bytes]) -> None:
    """Looks at their names alone: ten thousand are not read twice."""
    names = commands[:1] if kind == b"one" else [_name_of(one) for one in commands]
    for name in names:
        if name.upper() not in COMMANDS_TAKEN:
            raise BadValue(f"{name[:32]!r} is not forwarded")


def _name_of(encoded: bytes) -> bytes:
    found = COMMAND_NAME.match(encoded)
    if found is None:
        raise BadValue("a command that can't be read")
    return found[1]


def _paged(call: Call, kind: type[Paged], question: bytes) -> bytes:
    """A question for a page, whose limit is this server's at most."""
    try:
        asked = kind.from_json(question)
    except (ValueError, TypeError) as error:
        raise BadValue(f"the question can't be read: {error}") from None
    most = call.lane.info.limit("max-records", MAX_RECORDS)
    return replace(asked, limit=min(max(asked.limit, 1), most)).as_json()


def _words(encoded: bytes) -> list[bytes]:
    """An array of strings, of which there is at least one."""
    decoder = Decoder()
    decoder.feed(encoded)
    try:
        value = decoder.next()
    except ProtocolError as error:
        raise BadValue(f"a question that can't be read: {error}") from None
    if isinstance(value, list) and value and not decoder.unread_size:
        words = [word for word in value if isinstance(word, bytes)]
        if len(words) == len(value):
            return words
    raise BadValue("a question that is no array of strings")


def _answer(call: Call, asked: Asked, name: int, kind: bytes, *parts: bytes | str) -> None:
    asked.bytes -= asked.sizes.pop(name, 0)
    call.lane.loop.push(call.conn, encode(Push([FORWARDED, str(name), kind, *parts]), RESP3))


HANDLERS: dict[str, Handler] = {"cfg.forward": forward}
