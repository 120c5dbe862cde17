"""CLIENT TRACKING in the loop: what is remembered and told, in which order, and what it holds."""

from __future__ import annotations

from typing import Any

import orjson

from tests.server.hot_stage import HotServer, Raw, Serve, command, person, wait_for

KEY = "CfgPerson:101"


def tracking(server: HotServer, *words: str | int, proto: int = 3) -> Raw:
    raw = server.connect(proto=proto)
    assert raw.call("CLIENT", "TRACKING", "ON", *words) == "OK"
    return raw


def target_of(server: HotServer, *, proto: int = 2) -> tuple[Raw, int]:
    """A connection that others may redirect to, and its id."""
    raw = server.connect(proto=proto)
    number = raw.call("CLIENT", "ID")
    if proto == 2:
        raw.call("SUBSCRIBE", "__redis__:invalidate")
    return raw, number


def touch(server: HotServer, *dbids: int) -> int:
    """Changes these people in one transaction."""
    last = server.writer.published
    return server.change(
        *(("update", "CfgPerson", person(dbid, firstName=f"then {last}")) for dbid in dbids)
    )


def invalid(*keys: str) -> list[Any]:
    return ["invalidate", list(keys)]


def until(raw: Raw, pong: Any) -> list[Any]:
    """What comes before the answer to a PING."""
    raw.send(command("PING"))
    told = []
    while (one := raw.read()) != pong:
        told.append(one)
    return told


def counters(server: HotServer) -> dict[str, int]:
    with_quotes: dict[str, int] = eval(server.connect().call("COUNTERS"))
    return with_quotes


def test_keys_are_invalidated_as_they_were_spelled(shared: HotServer) -> None:
    raw = tracking(shared)
    assert raw.call("GET", "CfgPerson:0101")
    assert raw.call("MGET", KEY, "CfgPerson:102", "nothing")
    assert raw.call("EXISTS", "CfgPerson:000103") == 1
    assert raw.call("TYPE", "CfgPerson:104") == "string"
    touch(shared, 101, 102, 103, 104, 105)
    told = [raw.read() for _ in range(5)]
    names = ("CfgPerson:0101", KEY, "CfgPerson:102", "CfgPerson:000103", "CfgPerson:104")
    assert sorted(told, key=str) == sorted((invalid(name) for name in names), key=str)
    touch(shared, 101)  # told once: it is forgotten
    assert raw.call("PING") == "PONG"


def test_a_key_that_does_not_exist_yet_is_invalidated(shared: HotServer) -> None:
    raw = tracking(shared)
    assert raw.call("GET", "CfgPerson:77001") is None
    assert raw.call("EXISTS", "CfgPerson:077002") == 0
    shared.change(("create", "CfgPerson", person(77001)))
    assert raw.read() == invalid("CfgPerson:77001")
    assert raw.call("GET", "CfgPerson:77001")
    shared.change(("delete", "CfgPerson", person(77001)), ("create", "CfgPerson", person(77002)))
    assert raw.read() == invalid("CfgPerson:77001")
    assert raw.read() == invalid("CfgPerson:077002")
    assert raw.call("GET", "CfgPerson:77001") is None


def test_a_pipeline_is_remembered_as_single_reads_are(shared: HotServer) -> None:
    raw = tracking(shared)
    keys = [f"CfgPerson:0{dbid}" for dbid in range(101, 401)]
    for _ in range(3):
        raw.send(b"".join(command("GET", key) for key in keys))
        assert all(raw.read_all(len(keys)))
    assert counters(shared)["tracked"] == len(keys)
    touch(shared, *range(101, 401))
    assert [raw.read() for _ in keys] == [invalid(key) for key in keys]


def test_no_invalidation_overtakes_and_no_reply_shows_what_it_takes_back(
    shared: HotServer,
) -> None:
    """Another key shows a change only behind the invalidation of the first one."""
    raw = tracking(shared)
    for turn in range(200):
        raw.send(command("GET", KEY) + command("GET", "CfgPerson:102"))
        first = orjson.loads(raw.read())["revision"]
        raw.read()
        revision = touch(shared, 101, 102)
        raw.send(command("MGET", "CfgPerson:102", "CfgPerson:103"))
        seen = [raw.read() for _ in range(3)]
        shown = orjson.loads(seen[-1][0])["revision"]
        assert first < revision == shown, turn
        assert seen[:2] == [invalid(KEY), invalid("CfgPerson:102")]


def test_optin_and_optout_track_what_caching_says(shared: HotServer) -> None:
    optin, optout = tracking(shared, "OPTIN"), tracking(shared, "OPTOUT")
    for raw, tracked, other in ((optin, 102, 101), (optout, 101, 102)):
        assert raw.call("GET", "CfgPerson:101")
        assert raw.call("CLIENT", "CACHING", "YES") == "OK"
        assert raw.call("CLIENT", "ID") > 0  # does not use it up
        raw.send(command("GET", "CfgPerson:102") + command("GET", f"CfgPerson:{other}"))
        raw.read_all(2)
        if raw is optout:  # the last one was an ordinary read again
            touch(shared, other)
            assert raw.read() == invalid(f"CfgPerson:{other}")
        touch(shared, 101, 102)
        assert raw.read() == invalid(f"CfgPerson:{tracked}")
        assert raw.call("PING") == "PONG"


def test_a_prefix_is_told_all_keys_that_begin_with_it(shared: HotServer) -> None:
    everything = tracking(shared, "BCAST")
    some = tracking(shared, "BCAST", "PREFIX", "CfgPerson:10", "PREFIX", "foo")
    none = tracking(shared, "BCAST", "PREFIX", "CfgPlace:")
    persons = tracking(shared, "BCAST", "PREFIX", "CfgPerson")
    touch(shared, 101, 111, 1010)
    assert everything.read() == invalid("CfgPerson:101", "CfgPerson:111", "CfgPerson:1010")
    assert persons.read() == invalid("CfgPerson:101", "CfgPerson:111", "CfgPerson:1010")
    assert some.read() == invalid("CfgPerson:101", "CfgPerson:1010")
    assert none.call("PING") == "PONG"
    assert some.call("CLIENT", "TRACKING", "OFF") == "OK"
    touch(shared, 101)
    assert some.call("PING") == "PONG"


def test_own_writes_are_not_told_with_noloop(shared: HotServer) -> None:
    """The stage says which revision was written; another one of the same key is told."""
    raw = tracking(shared, "NOLOOP")
    loops = tracking(shared)
    for one in (raw, loops):
        assert one.call("GET", KEY)
    own = shared.writer.published + 1
    assert raw.call("CLIENT", "TRACKING", "WROTE", own) == "OK"
    touch(shared, 101)
    assert loops.read() == invalid(KEY)
    assert raw.call("PING") == "PONG"
    touch(shared, 101)  # it is still remembered
    assert raw.read() == invalid(KEY)


def test_a_redirect_is_told_in_its_own_protocol(shared: HotServer) -> None:
    resp2, number2 = target_of(shared)
    resp3, number3 = target_of(shared, proto=3)
    for number, target in ((number2, resp2), (number3, resp3)):
        raw = tracking(shared, "REDIRECT", number, proto=2)
        assert raw.call("GET", KEY)
        touch(shared, 101)
        told = target.read()
        assert told == (
            invalid(KEY) if target is resp3 else ["message", "__redis__:invalidate", [KEY]]
        )
        assert raw.call("PING") == "PONG"
        raw.close()
        assert target.read() == (
            ["invalidate", None] if target is resp3 else ["message", "__redis__:invalidate", None]
        )


def test_the_end_of_a_target_is_told(shared: HotServer) -> None:
    target, number = target_of(shared)
    resp3, resp2 = (
        tracking(shared, "REDIRECT", number),
        tracking(shared, "REDIRECT", number, proto=2),
    )
    for raw in (resp3, resp2):
        assert raw.call("GET", KEY)
    target.close(reset=True)
    assert resp3.read() == ["tracking-redir-broken", number]
    touch(shared, 101)
    assert resp3.read() == ["tracking-redir-broken", number]
    for raw in (resp3, resp2):
        assert raw.call("CLIENT", "TRACKING", "ON") == "OK"
        assert raw.call("PING") == "PONG"


def test_the_oldest_are_invalidated_beyond_the_limit(serve: Serve) -> None:
    server = serve(tracked_keys=10, tracked_keys_all=25)
    raw = tracking(server)
    for dbid in range(101, 111):
        assert raw.call("GET", f"CfgPerson:{dbid}")
    assert raw.call("PING") == "PONG"
    assert raw.call("GET", "CfgPerson:111")
    assert raw.read() == invalid("CfgPerson:101")
    others = [tracking(server) for _ in range(2)]
    for other in others:  # the worker's oldest are the first one's
        for dbid in range(101, 111):
            assert other.call("GET", f"CfgPerson:{dbid}")
    assert [raw.read() for _ in range(5)] == [invalid(f"CfgPerson:{d}") for d in range(102, 107)]
    raw.send(command("MGET", *(f"CfgPerson:{dbid}" for dbid in range(101, 112))))
    reply, told = raw.read(), raw.read()
    assert len(reply) == 11
    assert told == ["invalidate", None]  # more than it may have: it keeps none
    assert wait_for(lambda: counters(server)["tracked"] == 20)


def test_a_client_that_reads_nothing_costs_nothing_and_misses_nothing(serve: Serve) -> None:
    server = serve(output_bytes=65536)
    raw = server.connect(proto=3, receive_bytes=4096)
    assert raw.call("CLIENT", "TRACKING", "ON", "BCAST") == "OK"
    assert raw.call("SUBSCRIBE", "cfg")[0] == "subscribe"
    large = person(101, userProperties={"section": {"key": "x" * 60_000}})
    for _ in range(100):  # more than its socket takes
        server.change(("update", "CfgPerson", large))
    for dbid in range(102, 140):
        touch(server, dbid)
    assert counters(server)["tracked"] <= 50
    seen: set[str] = set()
    while len(seen) < 39:
        told = raw.read()
        if told[0] == "invalidate":
            seen.update(told[1])
    assert seen == {f"CfgPerson:{dbid}" for dbid in range(101, 140)}


def test_memory_comes_back(serve: Serve) -> None:
    server = serve()
    target, number = target_of(server)
    clients = [tracking(server), tracking(server, "REDIRECT", number), tracking(server, "BCAST")]
    for raw in clients:
        raw.send(b"".join(command("GET", f"CfgPerson:{dbid}") for dbid in range(1, 5001)))
        raw.read_all(5000)
    before = counters(server)
    assert (before["tracking"], before["tracked"], before["prefixes"]) == (3, 10_000, 1)
    assert clients[0].call("CLIENT", "TRACKING", "OFF") == "OK"
    clients[1].close()
    assert target.read() == ["message", "__redis__:invalidate", None]
    assert clients[2].call("RESET") == "OK"
    wait_for(lambda: counters(server)["tracked"] == 0)
    after = counters(server)
    assert (after["tracking"], after["tracked"], after["prefixes"]) == (0, 0, 0)
    assert clients[0].call("GET", KEY)
    touch(server, 101)
    assert clients[0].call("PING") == "PONG"


def test_where_the_log_has_lost_a_change_all_is_taken_back(serve: Serve) -> None:
    server = serve(log_bytes=4096, log_age_ms=0, turn_us=1000)
    raw = tracking(server)
    target, number = target_of(server)
    other = tracking(server, "REDIRECT", number)
    for one in (raw, other):
        assert one.call("GET", "CfgPerson:150")
    busy = server.connect()
    busy.send(command("REST", 200))  # meanwhile the log goes on, and perhaps once more behind that
    for _ in range(300):
        touch(server, *range(101, 150))
    assert busy.read() == "OK"
    told = until(raw, "PONG")
    assert told == [["invalidate", None]] * len(told) != []
    told = until(target, ["pong", ""])  # it has subscriptions: it missed something, too
    assert ["message", "__redis__:invalidate", None] in told
    assert {one[1] for one in told} == {"__redis__:invalidate", "cfg.notice"}
    assert raw.call("GET", "CfgPerson:150")
    touch(server, 150)
    assert raw.read() == invalid("CfgPerson:150")


def test_what_may_be_read_has_changed(shared: HotServer) -> None:
    raw = tracking(shared)
    assert raw.call("GET", KEY)
    raw.send(command("CLIENT", "TRACKING", "FORGET"))
    assert sorted([raw.read(), raw.read()], key=str) == sorted(
        ["OK", ["invalidate", None]], key=str
    )
    touch(shared, 101)
    assert raw.call("PING") == "PONG"


def test_a_subscriber_that_tracks_keeps_both(shared: HotServer) -> None:
    raw = tracking(shared)
    assert raw.call("SUBSCRIBE", "cfg:CfgPerson:101")[0] == "subscribe"
    assert raw.call("GET", KEY)
    touch(shared, 101)
    told = [raw.read(), raw.read()]
    assert {one[0] for one in told} == {"message", "invalidate"}
    assert raw.call("UNSUBSCRIBE")[0] == "unsubscribe"
    assert raw.call("GET", KEY)
    touch(shared, 101)
    assert raw.read() == invalid(KEY)
    assert raw.call("SUBSCRIBE", "cfg:CfgPerson:101")[0] == "subscribe"
    assert raw.call("CLIENT", "TRACKING", "OFF") == "OK"
    touch(shared, 101)
    assert raw.read()[0] == "message"
    assert raw.call("PING") == "PONG"
