"""CFG.FORWARD: what another server asks for its clients, in pieces, answered in any order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from csp.model.forward import QUESTIONS_BYTES_MAX, QUESTIONS_MAX
from csp.model.history import HistoryQuestion
from csp.model.principal import Principal, principal_of
from csp.resp import Decoder, request
from csp.worker import log_pages
from csp.worker.history import MAX_RECORDS
from tests.unit.fake_loop import Server

BOB = Principal(7, application="desktop", address="192.0.2.7:4711")
WHO = orjson.dumps(BOB.as_json())
DELETE = ("one", "CFG.DELETE", "CfgSkill", "101")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


def forward(server: Server, number: int, *words: Any, more: str = "END") -> None:
    assert server.raw("CFG.FORWARD", str(number), more, request(*words)) == b""


def pushes(server: Server) -> list[list[bytes]]:
    """What was pushed since the last time, behind the word that all have."""
    decoder = Decoder()
    for sent in server.loop.sent[1]:
        decoder.feed(sent)
    server.loop.sent[1].clear()
    found = []
    for frame in decoder:
        assert isinstance(frame, list)
        assert frame[0] == b"forwarded"
        found.append([part for part in frame[1:] if isinstance(part, bytes)])
    return found


def test_a_write_is_asked_on_behalf_of_its_author(server: Server) -> None:
    forward(server, 5, "WRITE", WHO, "an-id", *DELETE)
    verb, number, asks, write_id, *words = server.writer.take()
    assert (verb, write_id) == (b"WRITE", b"an-id")
    assert words == [word.encode() for word in DELETE]
    assert principal_of(asks) == BOB
    server.writer.answer("DONE", number, "12", "")
    server.loop.poll()
    assert pushes(server) == [[b"5", b"DONE", b"12", b""]]  # published here or not: the asker waits


def test_many_are_under_way_and_answered_as_they_are_decided(server: Server) -> None:
    for number in range(3):
        forward(server, number, "WRITE", WHO, "", *DELETE)
    asked = [server.writer.take()[1] for _ in range(3)]
    server.writer.answer("DONE", asked[2], "12", "")
    server.writer.answer("FAIL", asked[0], "UNIQUE name is taken")
    server.loop.poll()
    assert pushes(server) == [[b"2", b"DONE", b"12", b""], [b"0", b"FAIL", b"UNIQUE name is taken"]]
    server.writer.hang_up()
    server.loop.poll()
    ((number, kind, line),) = pushes(server)
    assert (number, kind) == (b"1", b"FAIL")
    assert line.startswith(b"UNKNOWNOUTCOME ")


def test_pieces_of_several_questions_may_alternate(server: Server) -> None:
    commands = [request("CFG.DELETE", "CfgSkill", str(dbid)) for dbid in range(100)]
    question = request("WRITE", WHO, "", "exec", *commands)
    cut = len(question) // 3
    server.raw("CFG.FORWARD", "1", "MORE", question[:cut])
    forward(server, 2, "HEAD")
    server.raw("CFG.FORWARD", "1", "MORE", question[cut : 2 * cut])
    server.raw("CFG.FORWARD", "1", "END", question[2 * cut :])
    assert server.writer.take()[0] == b"HEAD"
    assert server.writer.take()[3:] == [b"", b"exec", *commands]


def test_what_is_not_whole_was_never_asked(server: Server) -> None:
    server.raw("CFG.FORWARD", "1", "MORE", request("WRITE", WHO, "", *DELETE)[:20])
    server.disconnect()
    server.connect(2)
    assert server.raw("CFG.FORWARD", "1", "END", request("HEAD"), conn=2) == b""
    assert server.writer.take()[0] == b"HEAD"


def test_questions_that_are_no_writes(server: Server) -> None:
    forward(server, 1, "OUTCOME", WHO, "an-id")
    verb, _, asks, write_id = server.writer.take()
    assert (verb, write_id) == (b"OUTCOME", b"an-id")
    assert principal_of(asks) == BOB
    forward(server, 2, "HISTORY", HistoryQuestion(5, 10 * MAX_RECORDS).as_json())
    verb, number, question = server.reading.take()
    assert HistoryQuestion.from_json(question) == HistoryQuestion(5, MAX_RECORDS)
    server.reading.answer("DONE", number, "12", "0", "{}", "{}")
    server.loop.poll()
    assert pushes(server) == [[b"2", b"DONE", b"12", b"0", b"{}", b"{}"]]
    server.writer.hang_up()
    server.loop.poll()
    ((_, _, line),) = pushes(server)
    assert line.startswith(b"MASTERDOWN ")  # nobody knows now what became of it


def test_a_server_that_takes_no_writes_forwards_none(tmp_path: Path) -> None:
    server = Server(tmp_path, mode="proxy", upstream="above:2020")
    forward(server, 1, "WRITE", WHO, "", *DELETE)
    ((_, _, line),) = pushes(server)
    assert line.startswith(b"READONLY ")
    assert line.endswith(b"above:2020")
    forward(server, 2, "OUTCOME", WHO, "an-id")
    assert server.writer.take()[0] == b"OUTCOME"
    server.close()


def test_where_nobody_decides_nothing_was_done(server: Server) -> None:
    server.writer.accept()
    server.writer.hang_up()
    server.writer.listener.close()
    server.loop.poll()
    server.loop.pass_time(30_000)
    forward(server, 1, "WRITE", WHO, "", *DELETE)
    server.loop.pass_time(30_000)
    ((_, kind, line),) = pushes(server)
    assert kind == b"FAIL"
    assert line.startswith(b"MASTERDOWN nothing was done")


@pytest.mark.parametrize(
    "question",
    [
        request("WRITE", WHO, "", "one", "GET", "CfgSkill:1"),
        request("WRITE", WHO, "", "exec", request("CFG.REGISTER", "x")),
        request("WRITE", WHO, "", "exec", b"nonsense"),
        request("WRITE", b"[1]", "", *DELETE),
        request("WRITE", b"{", "", *DELETE),
        request("WRITE", WHO, ""),
        request("HISTORY", "{}"),
        request("HEAD", "x"),
        request("PASSWD", "x"),
        b"*1\r\n:5\r\n",
        b"?",
        b"",
        request("HEAD") + b"x",
    ],
)
def test_what_is_not_forwarded_is_refused_alone(server: Server, question: bytes) -> None:
    assert server.raw("CFG.FORWARD", "1", "END", question) == b""
    ((number, kind, line),) = pushes(server)
    assert (number, kind) == (b"1", b"FAIL")
    assert line.startswith(b"BADVALUE ")
    forward(server, 1, "HEAD")
    assert server.writer.take()[0] == b"HEAD"


@pytest.mark.parametrize("words", [("x", "END", "p"), ("-", "END", "p"), ("1", "LAST", "p")])
def test_what_no_server_says_ends_the_link(server: Server, words: tuple[str, ...]) -> None:
    reply = server.raw("CFG.FORWARD", *words)
    assert reply is not None
    assert reply.startswith(b"-")


def test_a_number_is_used_again_when_it_was_answered(server: Server) -> None:
    forward(server, 1, "HEAD")
    reply = server.raw("CFG.FORWARD", "1", "END", request("HEAD"))
    assert reply is not None
    assert reply.startswith(b"-BADVALUE ")
    number = server.writer.take()[1]
    server.writer.answer("DONE", number, "12")
    server.loop.poll()
    assert pushes(server) == [[b"1", b"DONE", b"12"]]
    forward(server, 1, "HEAD")


def test_a_link_has_so_many_questions_and_bytes_under_way(server: Server) -> None:
    piece = b"x" * (QUESTIONS_BYTES_MAX // 4)
    for number in range(4):
        assert server.raw("CFG.FORWARD", str(number), "MORE", piece) == b""
    reply = server.raw("CFG.FORWARD", "5", "MORE", b"x")
    assert reply is not None
    assert reply.startswith(b"-TOOBIG ")
    server.disconnect()
    server.connect(2)
    for number in range(QUESTIONS_MAX):
        assert server.raw("CFG.FORWARD", str(number), "MORE", b"x", conn=2) == b""
    reply = server.raw("CFG.FORWARD", str(QUESTIONS_MAX), "MORE", b"x", conn=2)
    assert reply is not None
    assert reply.startswith(b"-BUSY ")


def entry_of(revision: int, size: int = 64) -> bytes:
    head = bytearray(size)
    head[16:24] = revision.to_bytes(8, "little")
    return bytes(head)


def test_what_of_the_log_is_here_is_answered_here(server: Server) -> None:
    server.reader.published = 9
    server.reader.entries = {revision: entry_of(revision) for revision in range(5, 10)}
    server.reader.differences = {8}
    forward(server, 1, "ENTRIES", "6")
    assert pushes(server) == [[b"1", b"DONE", b"5", entry_of(6), entry_of(7)]]
    for number, first in ((2, "4"), (3, "8"), (4, "10")):
        forward(server, number, "ENTRIES", first)
        verb, req, asked = server.reading.take()
        assert (verb, asked) == (b"ENTRIES", first.encode())
        server.reading.answer("DONE", req, "1", b"an entry")
        server.loop.poll()
        assert pushes(server) == [[b"%d" % number, b"DONE", b"1", b"an entry"]]
    forward(server, 5, "ENTRIES", "-1")
    ((_, kind, _),) = pushes(server)
    assert kind == b"FAIL"


def test_a_page_of_the_log_ends_at_its_bytes(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_pages, "PAGE_BYTES_MAX", 150)
    server.reader.published = 9
    server.reader.entries = {revision: entry_of(revision) for revision in range(1, 10)}
    server.reader.entries[4] = entry_of(4, 1000)
    assert len(log_pages.page_from(server.reader, 1)) == 2
    assert log_pages.page_from(server.reader, 4) == [entry_of(4, 1000)], "one at least"
