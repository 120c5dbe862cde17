"""CFG.HISTORY: pages of change and session records, from the reading process or the master."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Final

from csp.errors import BadValue, CspError, NoPerm
from csp.model.history import HistoryQuestion, revision_of
from csp.model.sessions import SessionsQuestion
from csp.model.symbolic import parse_key
from csp.process.application import dbid_of
from csp.process.rights import AccountRights
from csp.resp.encode import encode
from csp.resp.values import Value
from csp.tables.options import OPTIONS
from csp.worker.asking import ask
from csp.worker.call import Call, Handler
from csp.worker.refusal import NOT_INTEGER, SYNTAX, number, text_of
from csp.worker.scoped import scope_of
from csp.worker.slices import in_slices
from csp.worker.told_changes import Rights, told

MAX_RECORDS = int(OPTIONS["history-log", "max-records"].default)
RECORDS_ASKED_MIN: Final = 100
PAGES_MAX: Final = 10  # looked through for one page that shows something
SLICE_SECONDS: Final = 0.005  # of a turn


def history(call: Call) -> None:
    """CFG.HISTORY [SINCE r] [FILTER key value]… [LIMIT n] | SESSIONS [SINCE time] [ACCOUNT key]"""
    if len(call.args) > 1 and call.args[1].upper() == b"SESSIONS":
        _sessions(call)
        return

    Telling(call, _question(call)).ask()


def _sessions(call: Call) -> None:
    proto = call.proto

    def done(parts: list[bytes]) -> bytes:
        page: Value = [int(parts[0]), list(parts[1:])]
        return encode(page, proto)

    ask(call, call.lane.reading, "SESSIONLOG", _sessions_question(call).as_json(), done=done)


def _sessions_question(call: Call) -> SessionsQuestion:
    """Of one's own sessions; an administrator sees all."""
    since_ms = account = 0
    words = call.args[2:]
    for at in range(0, len(words), 2):
        word, value = words[at].upper(), words[at + 1 : at + 2]
        if word == b"SINCE" and value:
            since_ms = number(value[0], NOT_INTEGER)
        elif word == b"ACCOUNT" and value:
            cls, account = parse_key(text_of(value[0]))
            if cls.name != "CfgPerson":
                raise BadValue(f"ACCOUNT takes the key of a CfgPerson, not of a {cls.name}")
        else:
            raise CspError(SYNTAX)
    if not call.session.administrator or scope_of(call.lane) is not None:
        if account not in (0, call.session.account_dbid):
            raise NoPerm("only an administrator sees the sessions of other accounts")
        account = call.session.account_dbid
    return SessionsQuestion(since_ms, account, call.lane.info.limit("max-records", MAX_RECORDS))


class Telling:
    """One page that is put together of what its reader may know, in slices between the turns.

    A page of which nothing is left is followed by the next one at once, PAGES_MAX of them at most:
    then what is told is an empty page, and where to go on.
    """

    def __init__(self, call: Call, question: HistoryQuestion) -> None:
        self._call = call
        self._question = question
        self._since = question.since
        self._asked = 0
        self._rights: AccountRights | None = None
        self._records: list[bytes] = []

    def ask(self) -> None:
        """Asks for the next page."""
        self._asked += 1
        # Much may be left out: a page of one record would be a question for each of them.
        limit = max(self._question.limit, RECORDS_ASKED_MIN)
        question = replace(self._question, since=self._since, limit=limit)
        lane = self._call.lane
        ask(self._call, lane.reading, "HISTORY", question.as_json(), done=self._answered)

    def _answered(self, parts: list[bytes]) -> None:
        head, following = int(parts[0]), int(parts[1])
        steps = self._take(parts[2:], following)
        in_slices(self._call.lane.loop, self._slices(head, steps))

    def _slices(self, head: int, steps: Iterator[int]) -> Iterator[None]:
        while self._call.conn in self._call.lane.states:
            self._rights = None  # it holds for this turn alone
            until = time.monotonic() + SLICE_SECONDS
            for after in steps:
                if after >= 0:
                    self._page_done(head, after)
                    return
                if time.monotonic() > until:
                    break
            yield

    def _take(self, records: list[bytes], following: int) -> Iterator[int]:
        """Yields -1 between steps, at the end where to go on: 0, nowhere."""
        for record in records:
            revision = revision_of(record)
            if revision > self._call.lane.reader.revision:
                following = 0  # it is not published here yet, as nothing after it
                break
            if len(self._records) >= self._question.limit:
                following = self._since
                break
            found = yield from self._told(record)
            self._since = revision
            if found is not None:
                self._records.append(found)
        yield following

    def _told(self, record: bytes) -> Generator[int, None, bytes | None]:
        steps = told(record, self._question, self._now)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                found: bytes | None = end.value
                return found
            yield -1

    def _now(self) -> Rights:
        """The rights at what is pinned: between two slices it may have changed."""
        reader = self._call.lane.reader
        if self._rights is None:
            self._rights = AccountRights(
                reader, self._call.session.account_dbid, scope_of(self._call.lane)
            )
        return self._rights

    def _page_done(self, head: int, following: int) -> None:
        call = self._call
        if not self._records and following and self._asked < PAGES_MAX:
            self._since = following
            self.ask()
            return
        revision = min(head, call.lane.reader.revision)
        page: Value = [revision, b"%d" % following, list(self._records)]
        call.lane.finish(call.conn, encode(page, call.proto))


def _question(call: Call) -> HistoryQuestion:
    args = call.args
    most = call.lane.info.limit("max-records", MAX_RECORDS)
    since, limit, filters, at = 0, most, [], 1
    while at < len(args):
        word, left = args[at].upper(), len(args) - at - 1
        if word == b"FILTER" and left >= 2:
            filters.append(_filter(call, text_of(args[at + 1]), text_of(args[at + 2])))
            at += 3
        elif word in (b"SINCE", b"LIMIT") and left >= 1:
            value = number(args[at + 1], NOT_INTEGER)
            if word == b"SINCE":
                since = value
            else:
                limit = value
            at += 2
        else:
            raise CspError(SYNTAX)
    if since < 0:
        raise BadValue(f"SINCE {since}: a revision is 0 or more")
    if not 1 <= limit <= most:
        raise BadValue(f"LIMIT {limit}: 1 to {most} ([history-log] max-records)")
    return HistoryQuestion(since, limit, tuple(filters))


def _filter(call: Call, key: str, value: str) -> tuple[str, str]:
    """A filter as it stands in the records: `user` is an account by its name."""
    if key != "user":
        return key, value
    dbid = dbid_of(call.reader, "CfgPerson", "user_name", value)
    if dbid:
        return "account", f"CfgPerson:{dbid}"
    raise BadValue(f"user {value!r}: there is no such user; one that was deleted is account=KEY")


HANDLERS: dict[str, Handler] = {"cfg.history": history}
