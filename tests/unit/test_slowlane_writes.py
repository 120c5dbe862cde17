"""Writes and transactions: what goes to the writer, what its author hears, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from csp.model.principal import Principal, principal_of
from csp.process.channel.asking import Asker
from csp.process.channel.framing import WRITER_LIMITS
from csp.resp import Value
from tests.unit.fake_loop import Server, decode_one


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.close()


def test_create_is_forwarded_and_answered_when_published(server: Server) -> None:
    assert server.raw("CFG.CREATE", "CfgSkill", '{"name":"x"}', "ID", "w-1") is None
    verb, req, asks, write_id, kind, *command = server.writer.take()
    assert (verb, write_id, kind) == (b"WRITE", b"w-1", b"one")
    assert principal_of(asks) == Principal(100, address="127.0.0.1:50000")
    assert command[:2] == [b"CFG.CREATE", b"CfgSkill"]
    server.writer.answer("DONE", req, "11", "101")
    server.loop.poll()
    assert server.loop.sent[1] == []
    server.publish(11)
    assert server.later() == [11, 101]


def test_update_and_delete_answer_the_revision(server: Server) -> None:
    for words in (
        ["CFG.UPDATE", "CfgSkill", "101", "{}", "IF", "9"],
        ["CFG.DELETE", "CfgSkill", "101"],
    ):
        assert server.raw(*words) is None
        req = server.writer.take()[1]
        server.writer.answer("DONE", req, "10", "")
        assert server.later() == 10


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["CFG.CREATE", "CfgNone", "{}"], "BADCLASS"),
        (["CFG.CREATE", "CfgSkill", "{}", "IF", "3"], "BADVALUE"),
        (["CFG.CREATE", "CfgSkill", "{}", "ID"], "BADVALUE"),
        (["CFG.CREATE", "CfgSkill", "{}", "ID", "x" * 37], "TOOBIG"),
        (["CFG.DELETE", "CfgSkill", "1", "IF", "x"], "BADVALUE"),
        (["CFG.UPDATE", "CfgSkill", "1"], "ERR"),
    ],
)
def test_refused_without_asking(server: Server, words: list[str], word: str) -> None:
    assert str(server.ask(*words)).split()[0] == word
    assert server.lane.writer.in_flight == 0


def test_object_size_limit(server: Server) -> None:
    assert server.raw("CFG.CREATE", "CfgSkill", b"x" * (16 * 1024 * 1024)) is None
    assert str(server.ask("CFG.CREATE", "CfgSkill", b"x" * (16 * 1024 * 1024 + 1))).startswith(
        "TOOBIG"
    )


def test_error_of_the_writer(server: Server) -> None:
    server.raw("CFG.CREATE", "CfgSkill", "{}")
    req = server.writer.take()[1]
    server.writer.answer("FAIL", req, "MANDATORY name: is missing")
    assert server.later() == "MANDATORY name: is missing"


def test_broken_channel_is_an_unknown_outcome(server: Server) -> None:
    server.raw("CFG.CREATE", "CfgSkill", "{}", "ID", "abc")
    server.writer.take()
    server.writer.hang_up()
    answer = str(server.later())
    assert answer.startswith("UNKNOWNOUTCOME")
    assert "CFG.OUTCOME abc" in answer
    # It connects again by itself.
    server.loop.pass_time(100)
    server.raw("CFG.DELETE", "CfgSkill", "1")
    assert server.writer.take()[0] == b"WRITE"


def test_absent_writer_means_nothing_was_done(server: Server) -> None:
    server.lane.writer.close()
    server.lane.writer = Asker(server.loop, "/nowhere", WRITER_LIMITS)
    assert str(server.ask("CFG.DELETE", "CfgSkill", "1")).startswith("MASTERDOWN nothing was done")


def test_in_flight_is_bounded(server: Server) -> None:
    server.lane.writer._limits = replace(WRITER_LIMITS, in_flight=1)
    assert server.raw("CFG.DELETE", "CfgSkill", "1") is None
    server.connect(2)
    assert str(server.ask("CFG.DELETE", "CfgSkill", "1", conn=2)).startswith(
        "BUSY nothing was done"
    )


def test_proxy_is_read_only(tmp_path: Path) -> None:
    server = Server(tmp_path, mode="proxy", upstream="above:2020")
    text = "READONLY You can't write against a read only replica: write to its master, above:2020"
    assert server.ask("CFG.DELETE", "CfgSkill", "1") == text
    server.ask("MULTI")
    server.ask("CFG.DELETE", "CfgSkill", "1")
    assert str(server.ask("EXEC")).startswith("EXECABORT READONLY command 1:")
    server.close()


def test_outcome(server: Server) -> None:
    assert server.raw("CFG.OUTCOME", "abc") is None
    verb, req, asks, write_id = server.writer.take()
    assert (verb, write_id) == (b"OUTCOME", b"abc")
    assert b"address" in asks  # ids are an account's own
    server.writer.answer("DONE", req, "0", "committed 12")
    assert server.later() == b"committed 12"


def test_multi_of_reads(server: Server) -> None:
    assert server.ask("MULTI") == "OK"
    assert server.ask("GET", "CfgPerson:1") == "QUEUED"
    assert server.ask("ECHO", "x") == "QUEUED"
    assert server.ask("EXEC") == [None, b"x"]
    assert server.loop.executed == [([b"GET", b"CfgPerson:1"], 10)]
    assert not server.loop.session(1).in_multi


def test_multi_mistakes(server: Server) -> None:
    assert server.ask("EXEC") == "ERR EXEC without MULTI"
    assert server.ask("DISCARD") == "ERR DISCARD without MULTI"
    server.ask("MULTI")
    assert server.ask("MULTI") == "ERR MULTI calls can not be nested"
    assert server.ask("WATCH", "x") == "ERR WATCH inside MULTI is not allowed"
    assert server.ask("DISCARD") == "OK"
    server.ask("MULTI")
    assert str(server.ask("nope")).startswith("ERR unknown command 'nope'")
    assert server.ask("ECHO", "x") == "QUEUED"
    assert server.ask("EXEC") == "EXECABORT Transaction discarded because of previous errors."
    server.ask("MULTI")
    assert server.ask("CFG.SYNC") == "ERR Command not allowed inside a transaction"
    assert str(server.ask("EXEC")).startswith("EXECABORT")
    server.ask("MULTI")
    assert server.ask("EXEC") == []
    server.ask("MULTI")
    assert server.ask("EXEC", "x") == (
        "EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command"
    )
    assert server.ask("EXEC") == "ERR EXEC without MULTI"


def test_multi_lets_nobody_call_what_is_for_administrators(server: Server) -> None:
    server.connect(2, administrator=False, user="bob")
    refused = "NOPERM 'client|kill' is for administrators"
    assert server.ask("CLIENT", "KILL", "ID", "1", conn=2) == refused
    server.ask("MULTI", conn=2)
    assert server.ask("client", "Kill", "ID", "1", conn=2) == refused
    assert str(server.ask("EXEC", conn=2)).startswith("EXECABORT")
    assert not server.loop.closing


def test_exec_asks_again_who_may(server: Server) -> None:
    server.ask("MULTI")
    server.ask("SELECT", "0")
    server.ask("RESET")  # at once: not signed in any more, and MULTI is over
    server.loop.sessions[1].authenticated = True
    server.ask("MULTI")
    server.ask("ECHO", "x")
    server.loop.sessions[1].authenticated = False
    server.loop.sessions[1].in_multi = True
    assert server.lane.states[1].queued
    assert server.loop.judge(1, [b"ECHO", b"x"])[1].startswith(b"-NOAUTH")


def test_error_inside_exec_is_one_reply(server: Server) -> None:
    server.ask("MULTI")
    server.ask("SELECT", "9")
    server.ask("ECHO", "y")
    assert server.ask("EXEC") == ["ERR DB index is out of range", b"y"]


def test_exec_with_writes(server: Server) -> None:
    server.ask("MULTI")
    server.ask("CFG.CREATE", "CfgSkill", '{"name":"a"}', "ID", "w")
    server.ask("GET", "CfgSkill:1")
    server.ask("CFG.UPDATE", "CfgSkill", "@1", "{}")
    assert server.raw("EXEC") is None
    _, req, _, write_id, kind, *commands = server.writer.take()
    assert (write_id, kind) == (b"w", b"exec")
    names = [decode_one(command)[0] for command in commands]  # type: ignore[index]
    assert names == [b"CFG.CREATE", b"CFG.SKIP", b"CFG.UPDATE"]
    server.writer.answer("DONE", req, "11", "101", "", "")
    server.loop.poll()
    server.publish(11)
    assert server.later() == [[11, 101], None, 11]
    assert server.loop.executed == [([b"GET", b"CfgSkill:1"], 11)]


def test_exec_refused_by_the_writer(server: Server) -> None:
    for text in ("EXECABORT UNIQUE command 1: name", "BADVALUE command 2: no JSON"):
        server.ask("MULTI")
        server.ask("CFG.DELETE", "CfgSkill", "1")
        assert server.raw("EXEC") is None
        req = server.writer.take()[1]
        server.writer.answer("FAIL", req, text)
        assert str(server.later()).startswith("EXECABORT ")


def test_exec_shape_error_names_the_command(server: Server) -> None:
    server.ask("MULTI")
    server.ask("ECHO", "x")
    server.ask("CFG.CREATE", "CfgNone", "{}")
    assert str(server.ask("EXEC")).startswith("EXECABORT BADCLASS command 2: ")


def test_command_count_limit(server: Server) -> None:
    server.ask("MULTI")
    for _ in range(10_000):
        assert server.raw("ECHO", "x") == b"+QUEUED\r\n"
    assert server.ask("ECHO", "x") == "TOOBIG a transaction may have 10000 commands"
    assert str(server.ask("EXEC")).startswith("EXECABORT")


@pytest.mark.parametrize("proto", ["2", "3"])
def test_watch(server: Server, proto: str) -> None:
    server.ask("HELLO", proto)
    server.reader.put("CfgPerson", 101)

    def attempt() -> Value:
        server.ask("MULTI")
        server.ask("ECHO", "x")
        return server.ask("EXEC")

    server.ask("WATCH", "CfgPerson:101", "CfgPerson:0102", "nonsense")
    assert attempt() == [b"x"]
    server.ask("WATCH", "CfgPerson:101", "CfgPerson:0102")
    server.reader.put("CfgPerson", 102)
    assert attempt() is None
    server.ask("WATCH", "CfgPerson:102")
    del server.reader.objects[next(key for key in server.reader.objects if key[1] == 102)]
    assert attempt() is None
    server.ask("WATCH", "CfgPerson:101")
    server.ask("UNWATCH")
    server.reader.objects.clear()
    assert attempt() == [b"x"]


def test_watched_objects_are_looked_at_again_by_the_writer(server: Server) -> None:
    server.reader.put("CfgPerson", 101)
    server.ask("WATCH", "CfgPerson:101", "CfgPerson:102")
    server.ask("MULTI")
    server.ask("CFG.DELETE", "CfgSkill", "1")
    assert server.raw("EXEC") is None
    _, req, _, _, _, *commands = server.writer.take()
    assert [decode_one(command) for command in commands[1:]] == [
        [b"CFG.EXPECT", b"CfgPerson", b"101", b"10"],
        [b"CFG.EXPECT", b"CfgPerson", b"102", b"0"],
    ]
    server.writer.answer("FAIL", req, "CONFLICT watched CfgPerson:101 has changed")
    assert server.later() is None


def words_of(number: int) -> list[bytes]:
    return [b"CFG.UPDATE", b"CfgSkill", b"%d" % number, b"{}"]


def test_writes_behind_one_under_way_are_passed_on_and_answered_in_order(server: Server) -> None:
    assert server.raw(*words_of(101)) is None
    server.lane.behind(1, words_of(102))
    server.lane.behind(1, [b"CFG.UPDATE", b"CfgNothing", b"1", b"{}"])
    server.lane.behind(1, words_of(103))
    requests = [server.writer.take()[1] for _ in range(3)]
    server.writer.answer("DONE", requests[2], "12", "")
    server.writer.answer("FAIL", requests[1], "CONFLICT it is newer")
    server.publish(12)
    server.loop.poll()
    assert server.loop.sent[1] == []  # the first one's reply is missing
    server.writer.answer("DONE", requests[0], "11", "")
    server.loop.poll()
    first, second, third, fourth = server.frames()
    assert (first, fourth) == (11, 12)
    assert str(second).startswith("CONFLICT")
    assert str(third).startswith("BADCLASS")
    assert server.raw(*words_of(104)) is None  # and then as ever
    server.writer.answer("DONE", server.writer.take()[1], "12", "")
    assert server.later() == 12


def test_none_is_passed_on_while_many_wait(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection then has one under way, and none is refused for the others' haste."""
    monkeypatch.setattr("csp.worker.slowlane.BEHIND_IN_FLIGHT_MAX", 3)
    assert server.raw(*words_of(101)) is None
    assert [server.lane.behind(1, words_of(number)) for number in range(4)] == [
        True, True, False, False
    ]  # fmt: skip


def test_a_fault_behind_another_write_loses_no_reply(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert server.raw(*words_of(101)) is None
    with monkeypatch.context() as patched:
        patched.setattr("csp.worker.writes.parse_write", lambda *_: 1 / 0)
        server.lane.behind(1, words_of(102))
    server.writer.answer("DONE", server.writer.take()[1], "11", "")
    server.publish(11)
    server.loop.poll()
    first, second = server.frames()
    assert first == 11
    assert str(second).startswith("ERR internal error (ZeroDivisionError)")


def test_writes_of_a_connection_that_goes_are_forgotten(server: Server) -> None:
    assert server.raw(*words_of(101)) is None
    server.lane.behind(1, words_of(102))
    requests = [server.writer.take()[1] for _ in range(2)]
    server.lane.closed(1, "")
    for request in requests:
        server.writer.answer("DONE", request, "11", "")
    server.publish(11)
    server.loop.poll()
    assert server.loop.sent[1] == []


def test_grants_are_writes_as_all_others(server: Server) -> None:
    for words in (
        ["CFG.GRANT", "CfgFolder:101", "CfgPerson:100", "R,U,propagate", "REPLACE", "ID", "w-1"],
        ["CFG.REVOKE", "CfgFolder:101", "SYSTEM", "ID", "w-1"],
    ):
        assert server.raw(*words) is None
        _, req, _, write_id, _, *command = server.writer.take()
        assert write_id == b"w-1"
        assert command == [word.encode() for word in words]
        server.writer.answer("DONE", req, "10", "")
        assert server.later() == 10


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["CFG.GRANT", "CfgFolder:101", "CfgPerson:100", "R,W"], "BADVALUE"),
        (["CFG.GRANT", "CfgFolder:101", "CfgPerson:100"], "ERR"),
        (["CFG.GRANT", "CfgFolder:101", "CfgSkill:100", "R"], "BADVALUE"),
        (["CFG.GRANT", "CfgFolder:101", "CfgPerson:100", "R", "IF", "3"], "BADVALUE"),
        (["CFG.GRANT", "CfgFolder", "CfgPerson:100", "R"], "BADKEY"),
        (["CFG.REVOKE", "CfgFolder:101", "CfgPerson:100", "R"], "BADVALUE"),
        (["CFG.REVOKE", "CfgNone:101", "CfgPerson:100"], "BADCLASS"),
    ],
)
def test_grants_of_a_wrong_shape_are_refused_without_asking(
    server: Server, words: list[str], word: str
) -> None:
    assert str(server.ask(*words)).split()[0] == word
    assert server.lane.writer.in_flight == 0


def test_grants_go_into_a_transaction(server: Server) -> None:
    server.ask("MULTI")
    for words in (
        ["CFG.CREATE", "CfgSkill", "{}"],
        ["CFG.GRANT", "CfgSkill:@1", "SYSTEM", "R"],
        ["CFG.REVOKE", "CfgSkill:@1", "CfgPerson:100"],
    ):
        assert server.ask(*words) == "QUEUED"
    assert server.raw("EXEC") is None
    req = server.writer.take()[1]
    server.writer.answer("DONE", req, "11", "101", "0", "0")
    server.publish(11)
    assert server.later() == [[11, 101], 11, 11]
