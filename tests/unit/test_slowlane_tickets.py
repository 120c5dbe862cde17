"""A Kerberos ticket at a worker: auth says whose it is, the master whether it was used before."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.worker.tickets import ASKED_MS_MAX
from tests.unit.fake_loop import Server

CONN = 2
TOKEN = b"\x60a token"
REPLY = b"a reply"
TOLD = {"user": "ann", "dbid": 200, "revision": 3, "digest": "d" * 64, "reply": REPLY.decode()}
BUSY = "BUSY can't sign in now: make a new token and send that"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.reader.put("CfgPerson", 200, userName="ann")
    server.connect(CONN, authenticated=False, account_dbid=0, user="")
    yield server
    server.close()


def show(server: Server) -> None:
    """The client sends its token."""
    words = ("CFG.AUTH", "gssapi", base64.b64encode(TOKEN).decode())
    assert server.raw(*words, conn=CONN) is None


def accept(server: Server, **more: Any) -> bytes:
    """Auth has nothing against it; the number of the question that the writer is asked then."""
    verb, number, *words = server.auth.take()
    assert (verb, words) == (b"TICKET", [b"127.0.0.1", TOKEN])
    server.auth.answer("DONE", number, json.dumps(TOLD | more))
    server.loop.poll()
    verb, asked, *words = server.writer.take()
    assert (verb, words) == (b"TICKET", [b"d" * 64])
    return asked


def answer(server: Server, *words: bytes | str) -> Any:
    """What the client hears once the writer has answered."""
    server.writer.answer(*words)
    return server.later(CONN)


def test_who_brings_a_new_ticket_is_signed_in(server: Server) -> None:
    show(server)
    asked = accept(server)
    assert not server.loop.session(CONN).authenticated
    assert answer(server, "DONE", asked, "1") == REPLY
    session = server.loop.session(CONN)
    assert (session.user, session.account_dbid, session.credential_revision) == ("ann", 200, 3)


def test_a_ticket_that_another_server_took_is_refused_and_told_to_auth(server: Server) -> None:
    show(server)
    said = answer(server, "DONE", accept(server), "0")
    assert said == "WRONGPASS the ticket was used before, at another server"
    assert not server.loop.session(CONN).authenticated
    verb, _, host, user, reason = server.auth.take()
    assert (verb, host, user) == (b"REFUSED", b"127.0.0.1", b"ann")
    assert reason.decode() == said


def test_without_the_master_it_is_let_in_and_that_is_told_once(
    server: Server, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "csp.worker")
    for _ in range(2):
        show(server)
        assert answer(server, "FAIL", accept(server), "MASTERDOWN the link is down") == REPLY
    show(server)
    assert answer(server, "DONE", accept(server), "1") == REPLY
    told = [getattr(one, "event", "") for one in caplog.records]
    assert told.count("51243") == 1
    assert told.count("51244") == 1
    assert "the link is down" in caplog.text


def test_a_master_that_says_nothing_is_not_waited_for(server: Server) -> None:
    show(server)
    accept(server)
    server.loop.pass_time(ASKED_MS_MAX + 2_000)
    assert server.later(CONN) == REPLY
    assert server.loop.session(CONN).authenticated


def test_a_writer_that_ends_meanwhile_knows_nothing(server: Server) -> None:
    show(server)
    accept(server)
    server.writer.hang_up()
    assert server.later(CONN) == REPLY


@pytest.mark.parametrize("line", ["BUSY 500000 tickets", "BADVALUE a ticket is named otherwise"])
def test_whatever_else_the_master_says_lets_nobody_in(server: Server, line: str) -> None:
    show(server)
    assert answer(server, "FAIL", accept(server), line) == line
    assert not server.loop.session(CONN).authenticated


def test_who_was_disabled_meanwhile_is_refused(server: Server) -> None:
    show(server)
    asked = accept(server)
    server.reader.put("CfgPerson", 200, userName="ann", state="disabled")
    assert str(answer(server, "DONE", asked, "1")).startswith("WRONGPASS invalid")
    assert not server.loop.session(CONN).authenticated


def test_a_refusal_of_auth_is_passed_on(server: Server) -> None:
    show(server)
    number = server.auth.take()[1]
    server.auth.answer("FAIL", number, "WRONGPASS Kerberos says: Request is a replay")
    assert server.later(CONN) == "WRONGPASS Kerberos says: Request is a replay"


def test_a_question_that_broke_is_not_asked_again(server: Server) -> None:
    """The second time it would be a replay."""
    show(server)
    server.auth.take()
    server.auth.hang_up()
    assert server.later(CONN) == BUSY


def test_a_client_that_went_is_nobody(server: Server) -> None:
    show(server)
    asked = accept(server)
    server.disconnect(CONN)
    server.writer.answer("DONE", asked, "1")
    server.loop.poll()
    assert CONN not in server.lane.states


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("GSSAPI", "no base64"), "BADVALUE the token is not base64"),
        (("PLAIN", "eA=="), "BADVALUE b'PLAIN' is no way to sign in here: GSSAPI is"),
    ],
)
def test_what_is_no_token_asks_nobody(server: Server, words: tuple[str, ...], said: str) -> None:
    assert server.ask("CFG.AUTH", *words, conn=CONN) == said
