"""CFG.REGISTER and CFG.SUMS: places in the writer's register, pinned revisions, sums in slices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from csp.model.keys import KEYS
from csp.model.types import CLASSES
from csp.worker import sums
from tests.unit.fake_loop import Server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    server.reader.put("CfgApplication", 105, name="proxy1", isServer=True)
    server.reader.finds[KEYS["CfgApplication", "name"].key_id, b"proxy1"] = [105]
    yield server
    server.close()


def register(server: Server, conn: int = 1) -> None:
    words = ["CFG.REGISTER", "proxy1", "INSTANCE", "i1", "HOST", "h", "PID", "42"]
    assert server.raw(*words, conn=conn) is None


def test_register(server: Server) -> None:
    server.ask("HELLO", "3")
    register(server)
    verb, req, wish = server.writer.take()
    assert verb == b"REGISTER"
    assert orjson.loads(wish) == {
        **{"session": "0-1", "application": "proxy1", "dbid": 105, "daemon": True},
        **{"shared": False, "instance": "i1", "host": "h", "pid": 42, "address": "127.0.0.1:50000"},
    }
    server.writer.answer("DONE", req, "0", '{"since":1,"replaced":[]}')
    granted = server.later()
    assert isinstance(granted, dict)
    assert (granted[b"session"], granted[b"application_dbid"]) == (b"0-1", 105)
    assert (granted[b"revision"], granted[b"mark"]) == (10, b"000000000000abcd")
    server.disconnect()
    verb, _, ended = server.writer.take()
    assert (verb, orjson.loads(ended)) == (b"UNREGISTER", ["0-1"])


def test_a_configuration_server_may_call_what_is_for_servers_while_it_is_registered(
    server: Server,
) -> None:
    server.reader.put(
        "CfgApplication", 105, name="proxy1", isServer=True, type="configurationserver"
    )
    server.connect(2, server=False)
    feed = ("CFG.FEED", "FROM", "-", "0", "-", "FORMAT", "3")
    assert str(server.ask(*feed, conn=2)).startswith("NOPERM 'cfg.feed' is for configuration serv")
    register(server, conn=2)
    _, req, wish = server.writer.take()
    assert orjson.loads(wish)["shared"] is True
    server.writer.answer("DONE", req, "0", '{"since":1,"replaced":[]}')
    server.loop.poll()
    assert isinstance(server.ask(*feed, conn=2), list)
    server.ask("RESET", conn=2)
    server.loop.sessions[2].authenticated = server.loop.sessions[2].administrator = True
    assert str(server.ask(*feed, conn=2)).startswith("NOPERM")


def test_another_server_may_not(server: Server) -> None:
    server.connect(2, server=False)
    register(server, conn=2)
    server.writer.answer("DONE", server.writer.take()[1], "0", '{"since":1,"replaced":[]}')
    server.loop.poll()
    assert str(server.ask("CFG.FEED", "FROM", "-", "0", "-", conn=2)).startswith("NOPERM")


def test_register_refused(server: Server) -> None:
    register(server)
    req = server.writer.take()[1]
    server.writer.answer("FAIL", req, "BUSY application proxy1 is connected already: host a, pid 1")
    assert str(server.later()).startswith("BUSY application proxy1 is connected already")
    server.disconnect()
    assert server.lane.writer.in_flight == 0


def test_replaced_session_is_closed(server: Server) -> None:
    register(server)
    server.writer.answer("DONE", server.writer.take()[1], "0", '{"since":1,"replaced":[]}')
    server.loop.poll()
    server.connect(2)
    register(server, conn=2)
    server.writer.answer("DONE", server.writer.take()[1], "0", '{"since":1,"replaced":["0-1"]}')
    server.loop.poll()
    assert server.loop.closing == {1}


def test_registered_again_after_a_writer_restart(server: Server) -> None:
    register(server)
    server.writer.answer("DONE", server.writer.take()[1], "0", '{"since":1,"replaced":[]}')
    server.loop.poll()
    server.writer.hang_up()
    server.loop.poll()
    server.loop.pass_time(100)
    verb, req, wish = server.writer.take()
    assert (verb, orjson.loads(wish)["instance"]) == (b"REGISTER", "i1")
    server.writer.answer("FAIL", req, "BUSY somebody else was faster")
    server.loop.poll()
    assert server.loop.closing == {1}


def test_register_waits_for_minrev(server: Server) -> None:
    assert server.raw("CFG.REGISTER", "proxy1", "MINREV", "11") is None
    assert server.lane.writer.in_flight == 0
    server.publish(11)
    assert server.writer.take()[0] == b"REGISTER"


def test_register_gives_minrev_up(server: Server) -> None:
    assert server.raw("CFG.REGISTER", "proxy1", "MINREV", "11") is None
    server.loop.pass_time(5_000)
    assert str(server.later()).startswith("STALE revision 11 is not here yet")


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["nobody"], "NOREF"),
        (["proxy1", "FOO", "1"], "ERR"),
        (["proxy1", "PID", "x"], "ERR"),
        (["proxy1", "MINREV", "-1"], "BADVALUE"),
        (["proxy1", "HOST", "a\nb"], "BADVALUE"),
        (["proxy1", "KEEPALIVE", "1"], "ERR"),
    ],
)
def test_register_shapes(server: Server, words: list[str], word: str) -> None:
    assert str(server.ask("CFG.REGISTER", *words)).split()[0] == word


def test_sums(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "SLICE_SECONDS", 5)  # all in one turn, also on a busy machine
    for dbid in (1, 700, 5000):
        server.reader.put("CfgPerson", dbid)
    assert "needs a CFG.SUMS PIN" in str(server.ask("CFG.SUMS", "AT", "10"))
    assert server.ask("CFG.SUMS", "PIN") == 10
    assert server.guests_out == 1
    answer = server.ask("CFG.SUMS", "AT", "10", "CLASS", "CfgPerson")
    assert answer == [10, [b"CfgPerson", [3, b"%016x" % 5701]]]
    answer = server.ask("CFG.SUMS", "AT", "10", "CLASS", "CfgPerson", "RANGE", "2", "700")
    assert answer == [10, [b"CfgPerson", [1, b"%016x" % 700]]]
    everything = server.ask("CFG.SUMS", "AT", "10")
    assert isinstance(everything, list)
    assert len(everything[1]) == 2 * (len(CLASSES) + len(sums.INNER))  # type: ignore[arg-type]
    assert str(server.ask("CFG.SUMS", "AT", "9")).startswith("BADVALUE revision 9 is older")
    server.disconnect()
    assert server.guests_out == 0


def test_pin_ends_by_itself(server: Server) -> None:
    server.ask("CFG.SUMS", "PIN")
    server.ask("CFG.SUMS", "PIN")
    assert server.guests_out == 1
    server.loop.pass_time(60_000)
    assert server.guests_out == 0
    assert "needs a CFG.SUMS PIN" in str(server.ask("CFG.SUMS", "AT", "10"))


def test_pins_are_bounded(server: Server) -> None:
    for conn in (2, 3, 4):
        server.connect(conn)
    assert [server.ask("CFG.SUMS", "PIN", conn=conn) for conn in (2, 3)] == [10, 10]
    assert str(server.ask("CFG.SUMS", "PIN", conn=4)).startswith("BUSY")
    assert server.ask("CFG.SUMS", "UNPIN", conn=2) == "OK"
    assert server.ask("CFG.SUMS", "PIN", conn=4) == 10


def test_sums_wait_for_the_revision(server: Server) -> None:
    server.ask("CFG.SUMS", "PIN")
    assert server.raw("CFG.SUMS", "AT", "12", "CLASS", "CfgPerson") is None
    server.publish(12)
    assert server.later() == [12, [b"CfgPerson", [0, b"0" * 16]]]


def test_sums_of_the_database(server: Server) -> None:
    assert server.raw("CFG.SUMS", "DATABASE", "CLASS", "CfgPerson") is None
    verb, req, *words = server.reading.take()
    person = CLASSES["CfgPerson"].id
    assert (verb, words) == (b"SUMS", [b"DATABASE", b"%d" % person, b"0", b"4294967295"])
    server.reading.answer(
        "DONE", req, "10", orjson.dumps({str(person): [3, "ff"], "250": [1, "1"]})
    )
    assert server.later() == [10, [b"CfgPerson", [3, b"ff"], b"account", [1, b"1"]]]
