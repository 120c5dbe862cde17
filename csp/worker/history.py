"""CFG.HISTORY: pages of change and session records, from the reading process or the master."""

from __future__ import annotations

from csp.errors import BadValue, CspError
from csp.model.history import HistoryQuestion
from csp.model.sessions import SessionsQuestion
from csp.model.symbolic import parse_key
from csp.process.application import dbid_of
from csp.resp.encode import encode
from csp.resp.values import Value
from csp.tables.options import OPTIONS
from csp.worker.asking import ask
from csp.worker.call import Call, Handler
from csp.worker.refusal import NOT_INTEGER, SYNTAX, number, text_of

MAX_RECORDS = int(OPTIONS["history-log", "max-records"].default)


def history(call: Call) -> None:
    """CFG.HISTORY [SINCE r] [FILTER key value]… [LIMIT n] | SESSIONS [SINCE time] [ACCOUNT key]"""
    proto = call.proto
    if len(call.args) > 1 and call.args[1].upper() == b"SESSIONS":
        _sessions(call)
        return

    def done(parts: list[bytes]) -> bytes:
        page: Value = [int(parts[0]), parts[1], list(parts[2:])]
        return encode(page, proto)

    ask(call, call.lane.reading, "HISTORY", _question(call).as_json(), done=done)


def _sessions(call: Call) -> None:
    proto = call.proto

    def done(parts: list[bytes]) -> bytes:
        page: Value = [int(parts[0]), list(parts[1:])]
        return encode(page, proto)

    ask(call, call.lane.reading, "SESSIONLOG", _sessions_question(call).as_json(), done=done)


def _sessions_question(call: Call) -> SessionsQuestion:
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
    return SessionsQuestion(since_ms, account, call.lane.info.limit("max-records", MAX_RECORDS))


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
