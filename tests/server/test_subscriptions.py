"""Subscriptions to changes: confirmations, delivery, `more`, order, slow subscribers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.server.hot_stage import PEOPLE, HotServer, Raw, Serve, command, person, wait_for


def test_subscribe_as_redis_does(shared: HotServer) -> None:
    raw = shared.connect()
    raw.send(command("SUBSCRIBE", "cfg", "other", "cfg"))
    assert raw.read_all(3) == [
        ["subscribe", "cfg", 1],
        ["subscribe", "other", 2],
        ["subscribe", "cfg", 2],
    ]
    assert raw.call("PSUBSCRIBE", "cfg:*") == ["psubscribe", "cfg:*", 3]
    assert raw.call("PING") == ["pong", ""]
    assert raw.call("PING", "x") == ["pong", "x"]
    assert raw.call("GET", "x") == (
        "-ERR Can't execute 'get': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET "
        "are allowed in this context"
    )
    raw.send(command("UNSUBSCRIBE"))
    assert sorted(one[1] for one in raw.read_all(2)) == ["cfg", "other"]
    assert raw.call("UNSUBSCRIBE") == ["unsubscribe", None, 1]
    assert raw.call("PUNSUBSCRIBE", "nope") == ["punsubscribe", "nope", 1]
    assert raw.call("PUNSUBSCRIBE") == ["punsubscribe", "cfg:*", 0]
    assert raw.call("PUNSUBSCRIBE") == ["punsubscribe", None, 0]
    assert raw.call("GET", "x") is None
    assert raw.call("SUBSCRIBE", "") == ["subscribe", "", 1]
    assert raw.call("UNSUBSCRIBE") == ["unsubscribe", "", 0]
    assert raw.call("PSUBSCRIBE", "x" * 256) == ["psubscribe", "x" * 256, 1]
    assert raw.call("PSUBSCRIBE", "x" * 257).startswith("-TOOBIG a channel or pattern of 257 bytes")


def test_loose_patterns_are_few(server: HotServer) -> None:
    """Of a connection and of a worker: at the limit and one beyond."""
    what = "patterns that are more than a class, a tenant, a DBID and stars for whole parts"
    raws = [server.connect() for _ in range(33)]
    for number, raw in enumerate(raws[:32]):
        patterns = [f"cfg:CfgPerson:{number}*{n}" for n in range(32)]
        raw.send(command("PSUBSCRIBE", *patterns))
        assert raw.read_all(32)[-1] == ["psubscribe", patterns[-1], 32]
    text = f"-TOOBIG a connection may have at most 32 {what}; none of these was added"
    assert raws[0].call("PSUBSCRIBE", "cfg:*", "cfg:?fgPerson") == text
    assert raws[0].call("PSUBSCRIBE", "cfg:CfgPerson:*")[2] == 33  # not a loose one
    assert raws[0].call("PSUBSCRIBE", "news.*")[2] == 34  # no change can match it
    text = (
        f"-TOOBIG all connections of a worker may have at most 1024 {what}; none of these was added"
    )
    assert raws[32].call("PSUBSCRIBE", "cfg:CfgPerson:*", "cfg:CfgPerson:99*9") == text
    assert raws[32].call("PSUBSCRIBE", "cfg:CfgPerson:0*0")[2] == 1  # somebody has it already
    assert raws[0].call("PUNSUBSCRIBE", "cfg:CfgPerson:0*1")[2] == 33
    assert raws[32].call("PSUBSCRIBE", "cfg:CfgPerson:99*9")[2] == 2
    assert raws[0].call("PSUBSCRIBE", "cfg:CfgPerson:0*1").startswith("-TOOBIG all connections")
    raws[32].close()
    assert wait_for(lambda: raws[0].call("PSUBSCRIBE", "cfg:CfgPerson:0*1")[-1] == 34)


def test_many_patterns_of_one_client_hold_nobody_up(serve: Serve) -> None:
    """Ten thousand patterns, and ten transactions of 300 changes."""
    server = serve(PEOPLE)
    raw, other = server.connect(), server.connect(proto=3)
    patterns = [f"cfg*:{n}" for n in range(2000, 7000)] + [f"cfg:*:{n}" for n in range(2000, 7000)]
    raw.send(command("PSUBSCRIBE", *patterns))
    raw.read_all(10_000)
    assert other.call("PSUBSCRIBE", "cfg*:400")[2] == 1
    before = cpu_ticks(server.pid)
    for number in range(10):
        changed = [person(dbid, firstName=f"N{number}") for dbid in range(101, 401)]
        server.change(*[("update", "CfgPerson", one) for one in changed])
        assert other.read()[2] == "cfg:CfgPerson:400"
    assert cpu_ticks(server.pid) - before <= 10  # 3,000 changes: no more than 0.1 s


def cpu_ticks(pid: int) -> int:
    """What a process has used, in hundredths of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return int(fields[11]) + int(fields[12])


def payload(message: list[Any]) -> Any:
    return orjson.loads(message[-1])


def test_changes_reach_their_subscribers(server: HotServer) -> None:
    raw = server.connect(proto=3)
    names = [
        "cfg",
        "cfg:CfgPerson",
        "cfg:CfgPerson:101",
        "cfg:CfgPerson:102",
        "cfg@1",
        "cfg@1:CfgPerson",
        "cfg@2",
        "x",
    ]
    raw.send(command("SUBSCRIBE", *names) + command("PSUBSCRIBE", "cfg*", "cfg:CfgPlace*"))
    raw.read_all(len(names) + 2)
    server.change(("update", "CfgPerson", person(101, lastName="New")))
    got = raw.read_all(6)
    assert {m[1] for m in got} == {
        "cfg",
        "cfg:CfgPerson",
        "cfg:CfgPerson:101",
        "cfg@1",
        "cfg@1:CfgPerson",
        "cfg*",
    }
    assert got[-1][:3] == ["pmessage", "cfg*", "cfg:CfgPerson:101"]
    assert all(payload(m)["op"] == "update" and payload(m)["more"] is False for m in got)
    assert raw.call("GET", "CfgPerson:1") is None
    assert raw.is_silent()


def test_more_is_told_for_each_subscription(server: HotServer) -> None:
    raw = server.connect(proto=3)
    raw.send(command("SUBSCRIBE", "cfg:CfgPerson:101", "cfg:CfgPerson"))
    raw.read_all(2)
    server.change(*[("update", "CfgPerson", person(d, lastName="New")) for d in (101, 102, 103)])
    got = [(m[1], payload(m)["DBID"], payload(m)["more"]) for m in raw.read_all(4)]
    assert got == [
        ("cfg:CfgPerson:101", 101, False),
        ("cfg:CfgPerson", 101, True),
        ("cfg:CfgPerson", 102, True),
        ("cfg:CfgPerson", 103, False),
    ]


def test_a_change_comes_before_the_read_that_shows_it(server: HotServer) -> None:
    raw = server.connect(proto=3)
    raw.call("SUBSCRIBE", "cfg")
    for i in range(100):
        revision = server.change(("update", "CfgPerson", person(101, lastName=f"N{i}")))
        raw.send(command("GET", "CfgPerson:101"))
        first = raw.read()
        assert first[0] == "message"
        assert payload(first)["revision"] == revision
        assert orjson.loads(raw.read())["revision"] == revision


def test_a_subscriber_that_does_not_read_is_held_and_goes_on(server: HotServer) -> None:
    slow, quick = server.connect(), server.connect(proto=3)
    slow.call("SUBSCRIBE", "cfg")
    quick.call("SUBSCRIBE", "cfg")
    count = 1500
    filler = "x" * 3000
    for i in range(count):
        server.change(("update", "CfgPerson", person(101, lastName=f"{filler}{i}")))
        assert quick.read()[0] == "message"
    counters = eval(quick.call("COUNTERS"))
    assert counters["lagging"] == 1
    clients = eval(quick.call("CLIENTS"))
    assert max(one["pending"] for one in clients) < 200_000
    revisions = [payload(slow.read())["revision"] for _ in range(count)]
    assert revisions == list(range(2, count + 2))
    assert wait_for(lambda: eval(quick.call("COUNTERS"))["lagging"] == 0)


def test_whom_the_log_outran_is_told_to_read_anew(server: HotServer) -> None:
    slow, quick = server.connect(), server.connect(proto=3)
    slow.send(command("SUBSCRIBE", "cfg", "cfg.notice"))
    slow.read_all(2)
    quick.call("SUBSCRIBE", "cfg")
    for i in range(3000):
        server.change(("update", "CfgPerson", person(101, lastName="x" * 3000 + str(i))))
        quick.read()
    seen = []
    while not seen or seen[-1][1] != "cfg.notice":
        seen.append(slow.read())
    assert payload(seen[-1])["op"] == "resync"
    oldest = payload(seen[-1])["oldest"]
    assert [payload(one)["revision"] for one in seen[:-1]] == list(range(2, len(seen) + 1))
    assert oldest > len(seen) + 1
    assert payload(slow.read())["revision"] == oldest


def until_confirmed(raw: Raw, verb: str) -> tuple[list[Any], list[Any]]:
    """The messages before a confirmation, and the confirmation."""
    before = []
    while (message := raw.read())[0] != verb:
        before.append(message)
    return before, message


ENDINGS = (
    ("SUBSCRIBE", "cfg", ("UNSUBSCRIBE", "cfg")),
    ("SUBSCRIBE", "cfg:CfgPerson:101", ("UNSUBSCRIBE",)),
    ("PSUBSCRIBE", "cfg*", ("PUNSUBSCRIBE", "cfg*")),
    ("PSUBSCRIBE", "cfg:*Person:10?", ("PUNSUBSCRIBE",)),
)


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize(("begin", "channel", "end"), ENDINGS)
def test_no_change_comes_after_the_answer_to_unsubscribe(
    server: HotServer, proto: int, begin: str, channel: str, end: tuple[str, ...]
) -> None:
    """While changes flow; and who takes all of them loses none until then."""
    raw = server.connect(proto=proto)
    for number in range(100):
        server.change(("update", "CfgPerson", person(101, lastName=f"a{number}")))
        raw.send(command(begin, channel))
        before, _ = until_confirmed(raw, begin.lower())
        assert before == []
        first = server.change(("update", "CfgPerson", person(101, lastName=f"b{number}")))
        raw.send(command(*end) + command("PING", "behind"))
        server.change(("update", "CfgPerson", person(101, lastName=f"c{number}")))
        before, ended = until_confirmed(raw, end[0].lower())
        assert ended == [end[0].lower(), channel, 0]
        told = [payload(one)["revision"] for one in before]
        assert told in ([first], [first, first + 1])
        assert raw.read() == "behind"
    assert raw.call("PING", "last") == "last"


@pytest.mark.parametrize("proto", [2, 3])
@pytest.mark.parametrize(("begin", "channel", "end"), ENDINGS)
def test_no_change_comes_after_unsubscribe_over_a_full_socket(
    server: HotServer, proto: int, begin: str, channel: str, end: tuple[str, ...]
) -> None:
    """What was not sent yet when it was answered is not sent any more."""
    raw, other = server.connect(proto=proto, receive_bytes=16_384), server.connect(proto=3)
    other.call("SUBSCRIBE", "cfg")
    assert raw.call(begin, channel)[2] == 1
    first = server.writer.published + 1
    for _ in range(150):
        server.change(("update", "CfgPerson", person(101, lastName="x" * 60_000)))
        other.read()
    raw.send(command(*end) + command("PING", "behind"))
    server.change(("update", "CfgPerson", person(101, lastName="late")))
    other.read()
    before, ended = until_confirmed(raw, end[0].lower())
    assert ended == [end[0].lower(), channel, 0]
    revisions = [payload(one)["revision"] for one in before]
    assert revisions == list(range(first, first + len(revisions)))
    assert raw.read() == "behind"
    server.change(("update", "CfgPerson", person(101, lastName="later")))
    other.read()
    assert raw.call("PING", "last") == "last"
