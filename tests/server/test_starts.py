"""Cursors that CFG.FROM places: where they begin, rest and wait, and what is told of a lost one."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest

from csp.resp import Value
from tests.server.hot_stage import HotServer, Raw, Serve, command, person, wait_for

PROTOCOLS = pytest.mark.parametrize("proto", [2, 3])
NAMES = itertools.count()
KEY = "CfgPerson:101"


def change(server: HotServer, dbid: int = 101, size: int = 0) -> int:
    name = f"N{next(NAMES)}".ljust(size, "x")
    return server.change(("update", "CfgPerson", person(dbid, lastName=name)))


def change_often(server: HotServer, count: int, size: int = 0) -> int:
    """The last one's revision."""
    return [change(server, size=size) for _ in range(count)][-1]


def told(message: list[Any]) -> Any:
    """A message's payload."""
    assert message[0] in ("message", "pmessage"), message
    return orjson.loads(message[-1])


def revisions(raw: Raw, count: int) -> list[int]:
    return [told(raw.read())["revision"] for _ in range(count)]


def begin(raw: Raw, *words: str | int, channel: str = "cfg") -> None:
    """CFG.FROM and one subscription."""
    raw.send(command("CFG.FROM", *words) + command("SUBSCRIBE", channel))
    assert raw.read()[0] == "cfg.from"
    assert raw.read() == ["subscribe", channel, 1]


def starts(server: HotServer) -> dict[str, int]:
    with_all: dict[str, int] = eval(server.connect().call("COUNTERS"))
    return {name: with_all[name] for name in ("starts", "awaiting", "lagging")}


@PROTOCOLS
def test_everything_behind_a_revision_comes_then_what_changes(
    server: HotServer, proto: int
) -> None:
    last = change_often(server, 20)
    raw = server.connect(proto=proto)
    begin(raw, last - 12)
    change(server)
    assert revisions(raw, 13) == list(range(last - 11, last + 2))
    change(server)
    assert revisions(raw, 1) == [last + 2]
    assert raw.is_silent()


@PROTOCOLS
def test_now_is_what_was_there_at_the_answer(server: HotServer, proto: int) -> None:
    raw = server.connect(proto=proto)
    change(server)
    assert raw.call("CFG.FROM", "NOW") == ["cfg.from", server.writer.published, None]
    first = change(server)
    change(server)
    assert raw.call("SUBSCRIBE", "cfg")[0] == "subscribe"
    assert revisions(raw, 2) == [first, first + 1]
    assert raw.is_silent()


@PROTOCOLS
def test_it_rests_until_there_are_so_many_subscriptions(server: HotServer, proto: int) -> None:
    raw = server.connect(proto=proto)
    last = change_often(server, 3)
    assert raw.call("CFG.FROM", last - 3, "SUBS", 3)[0] == "cfg.from"
    assert raw.call("SUBSCRIBE", "cfg")[2] == 1
    assert raw.call("SUBSCRIBE", "cfg")[2] == 1  # again is no second one
    assert raw.call("SUBSCRIBE", "cfg.notice")[2] == 2
    change(server)
    assert raw.is_silent()
    assert raw.call("PSUBSCRIBE", "cfg:CfgPerson:*")[2] == 3
    got = [raw.read() for _ in range(8)]
    assert [told(one)["revision"] for one in got] == sorted([*range(last - 2, last + 2)] * 2)
    assert [one[0] for one in got] == ["message", "pmessage"] * 4
    assert raw.is_silent()


def test_one_that_rests_holds_nothing_up(server: HotServer) -> None:
    """Reads run, at what is there now; in RESP2 every command does, as before a subscription."""
    for proto in (2, 3):
        raw = server.connect(proto=proto)
        last = change_often(server, 3)
        assert raw.call("CFG.FROM", last - 3, "SUBS", 2)[0] == "cfg.from"
        if proto == 3:
            assert raw.call("SUBSCRIBE", "cfg")[2] == 1
        assert orjson.loads(raw.call("GET", KEY))["revision"] == last
        assert raw.call("CFG.READ", "CfgPerson", "LIMIT", 1)[0] == last
        assert raw.call("PING") == "PONG"
        assert raw.call("PING", "x") == "x"


@PROTOCOLS
def test_a_later_subscription_begins_where_the_cursor_is(server: HotServer, proto: int) -> None:
    raw = server.connect(proto=proto)
    last = change_often(server, 5)
    begin(raw, last - 2)
    assert revisions(raw, 2) == [last - 1, last]
    assert raw.call("SUBSCRIBE", "cfg:CfgPerson")[2] == 2
    change(server)
    got = raw.read_all(2)
    assert {one[1] for one in got} == {"cfg", "cfg:CfgPerson"}
    assert {told(one)["revision"] for one in got} == {last + 1}
    assert raw.is_silent()


def test_reads_wait_until_the_cursor_has_come_to_them(server: HotServer) -> None:
    raw = server.connect(proto=3)
    last = change_often(server, 200, size=2_000)
    raw.send(
        command("CFG.FROM", last - 200)
        + command("SUBSCRIBE", "cfg")
        + command("PING")
        + command("GET", KEY)
        + command("ECHO", "behind")
    )
    came = raw.read_all(205)
    assert came.index("PONG") < 10, "what shows nothing does not wait"
    messages = [one for one in came if isinstance(one, list) and one[0] == "message"]
    assert [told(one)["revision"] for one in messages] == list(range(last - 199, last + 1))
    assert orjson.loads(came[-2])["revision"] == last
    assert came[-1] == "behind"


@PROTOCOLS
def test_the_last_subscription_ends_it(server: HotServer, proto: int) -> None:
    raw = server.connect(proto=proto)
    last = change_often(server, 5)
    assert raw.call("CFG.FROM", last - 5, "SUBS", 2)[0] == "cfg.from"
    assert raw.call("SUBSCRIBE", "cfg")[2] == 1
    assert raw.call("UNSUBSCRIBE", "cfg") == ["unsubscribe", "cfg", 0]
    assert raw.call("SUBSCRIBE", "cfg")[2] == 1
    assert raw.is_silent()
    change(server)
    assert revisions(raw, 1) == [last + 1]
    assert starts(server) == {"starts": 0, "awaiting": 0, "lagging": 0}


@PROTOCOLS
def test_reset_ends_it(server: HotServer, proto: int) -> None:
    raw = server.connect(proto=proto)
    last = change_often(server, 5)
    for subscribed in (False, True):
        assert raw.call("CFG.FROM", last - 5, "SUBS", 2)[0] == "cfg.from"
        if subscribed:
            assert raw.call("SUBSCRIBE", "cfg")[2] == 1
        assert raw.call("RESET") == "OK"
    assert starts(server) == {"starts": 0, "awaiting": 0, "lagging": 0}
    assert raw.call("SUBSCRIBE", "cfg")[2] == 1
    assert raw.is_silent()


@PROTOCOLS
def test_a_second_place_replaces_the_first(server: HotServer, proto: int) -> None:
    raw = server.connect(proto=proto)
    last = change_often(server, 5)
    assert raw.call("CFG.FROM", last + 100)[0] == "cfg.from"
    assert raw.call("CFG.FROM", last - 5, "SUBS", 9)[0] == "cfg.from"
    assert starts(server)["starts"] == 1
    begin(raw, last - 1)
    assert revisions(raw, 1) == [last]
    assert raw.is_silent()


@PROTOCOLS
def test_a_place_left_and_taken_again_tells_nothing_twice(server: HotServer, proto: int) -> None:
    """In one pipeline, while the cursor of the first is due."""
    raw = server.connect(proto=proto)
    last = change_often(server, 300)
    raw.send(
        b"".join(
            command("CFG.FROM", last - 300)
            + command("SUBSCRIBE", "cfg")
            + command("UNSUBSCRIBE", "cfg")
            for _ in range(5)
        )
    )
    begin_words = command("CFG.FROM", last - 100) + command("SUBSCRIBE", "cfg") + command("PING")
    raw.send(begin_words)
    came = raw.read_all(5 * 3 + 3)
    messages = [one for one in came if isinstance(one, list) and one[0] == "message"]
    while len(messages) < 100:
        messages.append(raw.read())
    got = [told(one)["revision"] for one in messages]
    assert got[-100:] == list(range(last - 99, last + 1))
    assert raw.is_silent()


def test_connections_that_end_leave_nothing(server: HotServer) -> None:
    last = change_often(server, 5)
    for words, subscribes in (
        ((last - 3,), False),
        ((last - 3, "SUBS", 5), True),
        ((last + 9,), True),
        ((last + 9,), False),
    ):
        raw = server.connect()
        assert raw.call("CFG.FROM", *words)[0] == "cfg.from"
        if subscribes:
            assert raw.call("SUBSCRIBE", "cfg")[2] == 1
        raw.close()
    nothing = {"starts": 0, "awaiting": 0, "lagging": 0}
    change(server)
    assert wait_for(lambda: starts(server) == nothing), starts(server)


# ---- a revision that is yet to come ----


@PROTOCOLS
def test_what_lies_ahead_is_awaited(server: HotServer, proto: int) -> None:
    """Nothing at or below the revision is told, and no read runs before it."""
    raw = server.connect(proto=proto)
    now = server.writer.published
    begin(raw, now + 3)
    if proto == 3:
        raw.send(command("GET", KEY) + command("ECHO", "behind"))
    for _ in range(2):
        change(server)
    assert raw.is_silent()
    change(server)
    if proto == 3:
        assert orjson.loads(raw.read())["revision"] == now + 3
        assert raw.read() == "behind"
    assert raw.is_silent()
    change_often(server, 2)
    assert revisions(raw, 2) == [now + 4, now + 5]
    assert raw.is_silent()


def test_what_shows_nothing_does_not_wait_for_what_lies_ahead(server: HotServer) -> None:
    raw = server.connect(proto=3)
    begin(raw, server.writer.published + 3)
    assert raw.call("PING") == "PONG"
    assert raw.call("ECHO", "x") == "x"


@PROTOCOLS
def test_a_jump_over_the_awaited_revision_tells_what_follows_it(serve: Serve, proto: int) -> None:
    server = serve()
    raws = [server.connect(proto=proto) for _ in range(5)]
    now = server.writer.published
    for at, raw in enumerate(raws):
        begin(raw, now + at)
    server.change(*[("update", "CfgPerson", person(dbid, lastName="x")) for dbid in (101, 102)])
    change_often(server, 9)
    for at, raw in enumerate(raws):
        count = 10 - at + (at == 0)
        first = [now + 1] * (at == 0)
        assert revisions(raw, count) == [*first, *range(now + 1 + at, now + 11)]
        assert raw.is_silent(0.01)


@PROTOCOLS
def test_it_is_awaited_so_long_and_no_longer(serve: Serve, proto: int) -> None:
    server = serve(from_wait_ms=300)
    raw = server.connect(proto=proto)
    now = change(server)
    begin(raw, now + 100)
    if proto == 3:
        raw.send(command("GET", KEY))
    assert told(raw.read()) == {"op": "resync", "oldest": now + 1, "retry_ms": 0}
    if proto == 3:
        assert orjson.loads(raw.read())["revision"] == now
    change(server)
    assert revisions(raw, 1) == [now + 1]
    assert starts(server) == {"starts": 1, "awaiting": 0, "lagging": 0}


@PROTOCOLS
def test_another_mark_at_the_awaited_revision_is_another_history(
    server: HotServer, proto: int
) -> None:
    now = server.writer.published
    raws = [server.connect(proto=proto) for _ in range(3)]
    for raw, ahead in zip(raws, (1, 2, 3), strict=True):
        begin(raw, now + ahead, "MARK", f"{99:016x}")
    change_often(server, 2)
    for raw in raws[:2]:
        gap = told(raw.read())
        assert gap["op"] == "resync"
        assert now + 1 < gap["oldest"] <= now + 3
        if gap["oldest"] == now + 2:
            assert revisions(raw, 1) == [now + 2]
    assert raws[2].is_silent()
    change(server)
    assert told(raws[2].read())["op"] == "resync"


@PROTOCOLS
def test_who_is_told_to_read_anew_is_told_when(serve: Serve, proto: int) -> None:
    """They come one after the other, not all at once."""
    server = serve(from_wait_ms=0)
    raws = [server.connect(proto=proto) for _ in range(10)]
    now = server.writer.published
    for raw in raws:
        raw.send(command("CFG.FROM", now + 9) + command("SUBSCRIBE", "cfg"))
    waits = [told(raw.read_all(3)[2])["retry_ms"] for raw in raws]
    assert len(set(waits)) > 5, waits
    assert max(waits) <= 100


# ---- the log passes a place ----


@PROTOCOLS
def test_a_place_that_the_log_passed_is_told_when_it_moves(serve: Serve, proto: int) -> None:
    server = serve(log_bytes=400_000, log_age_ms=0, reserve_bytes=32 << 20)
    raw = server.connect(proto=proto)
    begin_at = change(server)
    assert raw.call("CFG.FROM", begin_at, "SUBS", 2)[0] == "cfg.from"
    assert raw.call("SUBSCRIBE", "cfg")[2] == 1
    while server.writer.oldest <= begin_at + 5:
        last = change(server, size=60_000)
    assert raw.is_silent()
    raw.send(command("SUBSCRIBE", "cfg.notice"))
    assert raw.read() == ["subscribe", "cfg.notice", 2]
    gap = told(raw.read())
    assert (gap["op"], gap["oldest"]) == ("resync", server.writer.oldest)
    count = last - gap["oldest"] + 1
    assert revisions(raw, count) == list(range(gap["oldest"], last + 1))
    assert raw.is_silent()


# ---- another generation ----


def begin_in(server: HotServer, proto: int, place: int, mark: int) -> Raw:
    """A connection whose cursor rests: it has one subscription of two."""
    raw = server.connect(proto=proto)
    words = command("CFG.FROM", place, "MARK", f"{mark:016x}", "SUBS", 2)
    raw.send(words + command("SUBSCRIBE", "cfg"))
    raw.read_all(2)
    return raw


@PROTOCOLS
def test_a_place_outlives_a_generation_of_the_same_history(server: HotServer, proto: int) -> None:
    """One that rests, and one that awaits its revision."""
    now = change_often(server, 5)
    rests = begin_in(server, proto, now, server.marks[now])
    awaits = begin_in(server, proto, now + 2, 99)
    assert awaits.call("SUBSCRIBE", "cfg.notice")[2] == 2
    server.next_generation(now, server.marks[now])
    assert rests.call("SUBSCRIBE", "cfg.notice")[2] == 2
    assert change(server) == now + 1
    assert revisions(rests, 1) == [now + 1]
    assert awaits.is_silent()
    change(server)
    assert told(awaits.read())["op"] == "resync"  # its mark was of elsewhere


@PROTOCOLS
def test_another_history_ends_a_place_with_a_notice(server: HotServer, proto: int) -> None:
    """Which has the revision too, but with another mark."""
    now = change_often(server, 5)
    rests = begin_in(server, proto, now - 1, server.marks[now - 1])
    level = begin_in(server, proto, now, server.marks[now])
    server.next_generation(now, 99)
    change(server)
    for raw in (rests, level):
        assert raw.is_silent()
        raw.send(command("SUBSCRIBE", "cfg.notice"))
        assert raw.read()[0] == "subscribe"
        gap = told(raw.read())
        assert (gap["op"], gap["oldest"]) == ("resync", now + 2)


@PROTOCOLS
def test_a_difference_is_not_told_to_who_waits_behind_it(server: HotServer, proto: int) -> None:
    """It leads from the old generation's state, which is not theirs."""
    now = change_often(server, 5)
    waiting = begin_in(server, proto, now + 9, 99)
    assert waiting.call("SUBSCRIBE", "cfg.notice")[2] == 2
    assert waiting.is_silent()
    server.next_generation(now + 10, 77, difference=True)
    gap = told(waiting.read())
    assert (gap["op"], gap["oldest"]) == ("resync", now + 11)
    assert change(server) == now + 11
    assert revisions(waiting, 1) == [now + 11]


# ---- notices ----


def op_of(message: Value) -> str:
    """What a notice of the link says; it says how this server stands, too."""
    assert isinstance(message, list)
    kind, channel, payload = message
    assert (kind, channel) == ("message", "cfg.notice")
    assert isinstance(payload, str)
    notice = orjson.loads(payload)
    assert set(notice) == {"op", "age", "lag"}
    return str(notice["op"])


@PROTOCOLS
def test_the_link_is_told_to_who_used_it(server: HotServer, proto: int) -> None:
    """Without a subscription of cfg.notice; in RESP2 when there is any subscription."""
    raw, other = server.connect(proto=proto), server.connect(proto=proto)
    server.control.set_link(1, 1, 0)
    other.call("SUBSCRIBE", "cfg")
    assert raw.call("CFG.FROM", "NOW", "SUBS", 2)[0] == "cfg.from"
    server.control.set_link(2, 1, 0)
    if proto == 3:
        assert op_of(raw.read()) == "stale"
    else:
        assert raw.is_silent(0.3)
        assert raw.call("PING") == "PONG"
    assert raw.call("SUBSCRIBE", "cfg")[0] == "subscribe"
    if proto == 2:
        assert op_of(raw.read()) == "stale"
    server.control.set_link(1, 1, 0)
    assert op_of(raw.read()) == "fresh"
    assert raw.call("SUBSCRIBE", "cfg.notice")[0] == "subscribe"
    server.control.set_link(2, 1, 0)
    assert op_of(raw.read()) == "stale"
    assert raw.is_silent()
    assert other.is_silent()


@PROTOCOLS
def test_bookmarks_say_what_was_told(server: HotServer, proto: int) -> None:
    raw = server.connect(proto=proto)
    last = change_often(server, 10)
    begin(raw, last - 5, "BOOKMARKS", 1000)
    newest = last - 5
    seen: list[int] = []
    while len(seen) < 3:
        change(server)
        content = told(raw.read())
        if content["op"] == "bookmark":
            assert content["revision"] == newest, "it says what came before it, no more, no less"
            assert int(content["mark"], 16) == server.marks[newest]
            assert set(content) == {"op", "revision", "mark"}
            seen.append(newest)
        else:
            assert content["revision"] == newest + 1
            newest += 1
        while newest < server.writer.published and len(seen) < 3:
            content = told(raw.read())
            if content["op"] == "bookmark":
                assert content["revision"] == newest
                seen.append(newest)
            else:
                newest += 1
                assert content["revision"] == newest
    assert seen == sorted(seen)


def test_no_bookmark_below_what_lies_ahead_nor_before_it_moves(serve: Serve) -> None:
    server = serve(from_wait_ms=60_000)
    ahead, rests = server.connect(proto=3), server.connect(proto=3)
    now = server.writer.published
    begin(ahead, now + 2, "BOOKMARKS", 1000)
    rests.call("CFG.FROM", now, "SUBS", 2, "BOOKMARKS", 1000)
    rests.call("SUBSCRIBE", "cfg")
    change(server)
    assert ahead.is_silent(1.4)
    assert rests.is_silent(0.01)
    change(server)
    assert told(ahead.read()) == {
        "op": "bookmark",
        "revision": now + 2,
        "mark": f"{server.marks[now + 2]:016x}",
    }


def test_a_bookmark_never_overtakes_what_is_unsent(server: HotServer) -> None:
    raw = server.connect(proto=3, receive_bytes=16_384)
    begin(raw, "NOW", "BOOKMARKS", 1000)
    first = server.writer.published + 1
    last = change_often(server, 100, size=60_000)
    watcher = server.connect()
    assert wait_for(lambda: "'lagging': 1" in watcher.call("COUNTERS"))
    newest = first - 1
    while True:
        content = told(raw.read())
        if content["op"] == "bookmark":
            assert content["revision"] == newest
            if newest == last:
                break
        else:
            assert content["revision"] == newest + 1
            newest += 1
