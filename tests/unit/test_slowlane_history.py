"""CFG.HISTORY at a worker: pages of what the account may read, and whose sessions it sees."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from csp.model.history import HistoryQuestion, joined
from csp.model.rights import PERSON, READ
from csp.model.sessions import SessionsQuestion
from csp.model.types import CLASSES
from csp.worker.history import PAGES_MAX
from tests.unit.fake_loop import Server

SKILL = CLASSES["CfgSkill"].id
HIDDEN, ANN = 2, 7


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.reader.put("CfgSkill", 1)
    server.reader.put("CfgSkill", HIDDEN)
    server.reader.accounts[ANN] = {(PERSON.id, ANN)}
    server.reader.granted[SKILL, 1] = {(PERSON.id, ANN): READ}
    server.loop.session(1).account_dbid = ANN
    yield server
    server.close()


def record(revision: int, dbid: int = 1) -> bytes:
    change = {"op": "update", "class": "CfgSkill", "DBID": dbid}
    found = {"revision": revision, "time": 1, "actor": {}, "changes": [change]}
    return joined(orjson.dumps(found), [["update", "CfgSkill", dbid]])


def answer(server: Server, following: int, *records: bytes) -> HistoryQuestion:
    """The reading process answers what it is asked."""
    verb, number, question = server.reading.take()
    assert verb == b"HISTORY"
    server.reading.answer("DONE", number, server.reader.revision, following, *records)
    server.loop.poll()
    return HistoryQuestion.from_json(question)


def revisions(page: object) -> list[int]:
    assert isinstance(page, list)
    return [orjson.loads(one)["revision"] for one in page[2]]


def test_a_page_has_what_is_readable(server: Server) -> None:
    assert server.raw("CFG.HISTORY", "SINCE", "3") is None
    asked = answer(server, 0, record(4), record(5, HIDDEN), record(6))
    assert asked.since == 3
    page = server.later()
    assert revisions(page) == [4, 6]
    assert page[:2] == [10, b"0"]
    assert page[2][0].endswith(b"}"), "what servers tell one another is for no client"


def test_a_page_of_which_nothing_is_left_is_followed_by_the_next(server: Server) -> None:
    server.raw("CFG.HISTORY")
    answer(server, 5, record(4, HIDDEN), record(5, HIDDEN))
    asked = answer(server, 7, record(6, HIDDEN), record(7))
    assert asked.since == 5
    page = server.later()
    assert (revisions(page), page[1]) == ([7], b"7")


def test_looking_for_something_readable_ends(server: Server) -> None:
    server.raw("CFG.HISTORY")
    for at in range(PAGES_MAX):
        answer(server, at + 1, record(at + 1, HIDDEN))
    page = server.later()
    assert (revisions(page), page[1]) == ([], b"%d" % PAGES_MAX)


def test_a_limit_counts_what_is_told(server: Server) -> None:
    server.raw("CFG.HISTORY", "LIMIT", "2")
    asked = answer(server, 0, record(1, HIDDEN), *(record(at) for at in (2, 3, 4)))
    assert asked.limit > 2, "one question, not one for each record that is hidden"
    page = server.later()
    assert (revisions(page), page[1]) == ([2, 3], b"3")
    server.raw("CFG.HISTORY", "SINCE", "3", "LIMIT", "2")
    answer(server, 0, record(4))
    page = server.later()
    assert (revisions(page), page[1]) == ([4], b"0")


def test_what_is_not_published_here_yet_is_not_told(server: Server) -> None:
    """Nobody could say whether it is readable, and no read here shows it."""
    server.raw("CFG.HISTORY")
    _, number, _ = server.reading.take()
    server.reading.answer("DONE", number, 12, 0, record(10), record(11))
    server.loop.poll()
    page = server.later()
    assert (revisions(page), page[:2]) == ([10], [10, b"0"])


def test_one_sees_ones_own_sessions_and_an_administrator_all(server: Server) -> None:
    session = server.loop.session(1)
    session.administrator = False
    for words, account in ((), 7), (("ACCOUNT", "CfgPerson:7"), 7):
        assert server.raw("CFG.HISTORY", "SESSIONS", *words) is None
        assert _sessions(server).account == account
    for other in ("CfgPerson:8", "CfgPerson:4000000"):
        refused = str(server.ask("CFG.HISTORY", "SESSIONS", "ACCOUNT", other))
        assert refused == "NOPERM only an administrator sees the sessions of other accounts"
    session.administrator = True
    for words, account in ((), 0), (("ACCOUNT", "CfgPerson:8"), 8):
        assert server.raw("CFG.HISTORY", "SESSIONS", *words) is None
        assert _sessions(server).account == account


def _sessions(server: Server) -> SessionsQuestion:
    verb, number, question = server.reading.take()
    assert verb == b"SESSIONLOG"
    server.reading.answer("DONE", number, 0)
    server.loop.poll()
    server.later()
    return SessionsQuestion.from_json(question)
