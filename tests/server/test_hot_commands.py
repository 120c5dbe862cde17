"""What the loop answers itself, over a store that is loaded and changed under it."""

from __future__ import annotations

import contextlib
import re
import threading
import time

import orjson
import pytest

from tests.server.hot_stage import PEOPLE, HotServer, Raw, Serve, command, dbids, person, wait_for


def test_keys_as_redis_reads_them(shared: HotServer) -> None:
    raw = shared.connect()
    text = raw.call("GET", "CfgPerson:101")
    assert orjson.loads(text)["userName"] == "user101"
    assert raw.call("GET", "CfgPerson:000101") == text
    for missing in (
        "CfgPerson:1",
        "cfgperson:101",
        "CfgPerson",
        "CfgNone:101",
        "CfgPerson:",
        "CfgPerson:x1",
        "CfgPerson:-101",
        "CfgPerson:4294967397",
        "",
        "CfgPerson:0",
        "CfgPerson:99999999999999999999999",
        "CfgPlace:101",
    ):
        assert raw.call("GET", missing) is None
    assert raw.call("MGET", "CfgPerson:101", "nope", "CfgPerson:101") == [text, None, text]
    assert raw.call("EXISTS", "CfgPerson:101", "CfgPerson:101", "x") == 2
    assert raw.call("TYPE", "CfgPerson:101") == "string"
    assert raw.call("TYPE", "CfgPerson:1") == "none"
    assert raw.call("STRLEN", "CfgPerson:101") == len(text.encode())
    assert raw.call("STRLEN", "x") == 0


def test_nulls_follow_the_protocol(shared: HotServer) -> None:
    raw = shared.connect()
    raw.send(command("GET", "x"))
    assert raw.socket.recv(100) == b"$-1\r\n"
    assert raw.call("HELLO", "3") == "OK"
    raw.send(command("GET", "x"))
    assert raw.socket.recv(100) == b"_\r\n"


def test_ping_echo_and_arity(shared: HotServer) -> None:
    raw = shared.connect(sign_in=False)
    assert raw.call("PING") == "PONG"
    assert raw.call("ping", "hi") == "hi"
    assert raw.call("GET", "x") == "-NOAUTH Authentication required."
    raw.call("AUTH", "x")
    assert raw.call("GET") == "-ERR wrong number of arguments for 'get' command"
    assert raw.call("MGET") == "-ERR wrong number of arguments for 'mget' command"
    assert raw.call("PING", "a", "b") == "-ERR wrong number of arguments for 'ping' command"
    assert raw.call("CFG.READ") == "-ERR wrong number of arguments for 'cfg.read' command"


def test_inline_commands(shared: HotServer) -> None:
    raw = shared.connect()
    raw.send(b'PING\r\n\r\nGET CfgPerson:101\nGET "CfgPerson:\\x31\\x30\\x31"\r\n')
    assert raw.read() == "PONG"
    assert raw.read() == raw.read()
    raw.send(b'GET "x\r\n')
    assert raw.read() == "-ERR Protocol error: unbalanced quotes in request"
    assert raw.is_closed()


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"*3\r\nx\r\n", "expected '$', got 'x'"),
        (b"*x\r\n", "invalid multibulk length"),
        (b"*1048577\r\n", "invalid multibulk length"),
        (b"*1\r\n$-5\r\n", "invalid bulk length"),
        (b"*1\r\n$67108865\r\n", "invalid bulk length"),
        (b"*" + b"1" * 70000, "too big mbulk count string"),
        (b"*1\r\n$" + b"1" * 70000, "too big bulk count string"),
        (b"x" * 70000, "too big inline request"),
    ],
)
def test_protocol_errors_answer_then_close(shared: HotServer, data: bytes, text: str) -> None:
    raw = shared.connect()
    raw.send(command("PING") + data)
    assert raw.read() == "PONG"
    assert raw.read() == f"-ERR Protocol error: {text}"
    assert raw.is_closed()


def test_limits_before_sign_in(shared: HotServer) -> None:
    raw = shared.connect(sign_in=False)
    assert raw.call(*["PING"] * 10).startswith("-ERR wrong number")
    raw.send(command(*["PING"] * 11))
    assert raw.read() == "-ERR Protocol error: unauthenticated multibulk length"
    raw = shared.connect(sign_in=False)
    assert raw.call("PING", "x" * 16384) == "x" * 16384
    raw.send(command("PING", "x" * 16385))
    assert raw.read() == "-ERR Protocol error: unauthenticated bulk length"


def test_pipelines_keep_order_through_fast_and_slow(shared: HotServer) -> None:
    raw = shared.connect()
    requests, expected = b"", []
    for i in range(2000):
        dbid = 101 + i % 1000
        if i % 7 == 0:
            requests += command("ECHO", i)
            expected.append(str(i))
        elif i % 11 == 0:
            requests += command("LATER", 1, f"late{i}")
            expected.append(f"late{i}")
        elif i % 5 == 0:
            requests += command("STRLEN", f"CfgPerson:{dbid}")
            expected.append(None)
        else:
            requests += command("GET", f"CfgPerson:{dbid}")
            expected.append(dbid)
    raw.send(requests)
    for want in expected:
        got = raw.read()
        if isinstance(want, int):
            assert orjson.loads(got)["DBID"] == want
        elif want is not None:
            assert got == want


def test_unpipelined_on_many_connections(shared: HotServer) -> None:
    raws = [shared.connect() for _ in range(150)]
    for turn in range(3):
        for i, raw in enumerate(raws):
            raw.send(command("GET", f"CfgPerson:{101 + i + turn}"))
        for i, raw in enumerate(raws):
            assert orjson.loads(raw.read())["DBID"] == 101 + i + turn


def test_read_pages_through_a_class(shared: HotServer) -> None:
    raw = shared.connect()
    seen, cursor, pages = [], "0", 0
    while True:
        page = raw.call("CFG.READ", "CfgPerson", "LIMIT", 300, "CURSOR", cursor)
        assert page[0] == 1
        seen += dbids(page)
        pages += 1
        cursor = page[1]
        if cursor == "0":
            break
    assert seen == list(range(101, 1101))
    assert pages == 4
    assert len(raw.call("CFG.READ", "CfgPerson")[2]) == 1000
    assert raw.call("CFG.READ", "CfgPerson", "LIMIT", 1000)[1] == "0"
    assert raw.call("CFG.READ", "CfgPlace") == [1, "0", []]


def test_filters_are_intersected(shared: HotServer) -> None:
    raw = shared.connect()
    want = [d for d in range(101, 1101) if d % 10 == 4 and d % 3 == 0]
    page = raw.call(
        "CFG.READ", "CfgPerson", "FILTER", "last_name", "Last4", "filter", "is_agent", "true"
    )
    assert dbids(page) == want
    assert raw.call(
        "CFG.COUNT", "CfgPerson", "FILTER", "last_name", "Last4", "FILTER", "is_agent", "true"
    ) == len(want)
    assert raw.call("CFG.COUNT", "CfgPerson", "FILTER", "last_name", "Last4") == 100
    assert raw.call("CFG.COUNT", "CfgPerson", "FILTER", "last_name", "nobody") == 0
    assert raw.call("CFG.COUNT", "CfgPerson") == 1000
    assert dbids(
        raw.call("CFG.READ", "CfgPerson", "FILTER", "dbid", 105, "FILTER", "last_name", "x")
    ) == [105]
    assert dbids(raw.call("CFG.READ", "CfgPerson", "FILTER", "user_name", "user107")) == [107]
    assert dbids(raw.call("CFG.READ", "CfgPerson", "FILTER", "folder_dbid", 101, "LIMIT", 2)) == [
        101,
        103,
    ]
    page = raw.call("CFG.READ", "CfgPerson", "FILTER", "folder_dbid", 101, "LIMIT", 2)
    page = raw.call(
        "CFG.READ", "CfgPerson", "FILTER", "folder_dbid", 101, "LIMIT", 2, "CURSOR", page[1]
    )
    assert dbids(page) == [105, 107]


def test_what_is_wrong_with_a_read_is_said(shared: HotServer) -> None:
    raw = shared.connect()
    assert raw.call("CFG.READ", "CfgNone").startswith("-BADCLASS no class 'CfgNone'")
    text = raw.call("CFG.READ", "CfgPerson", "FILTER", "nope", "1")
    assert text.startswith("-BADVALUE CfgPerson has no filter key 'nope'; it has dbid")
    assert "user_name" in text
    text = raw.call("CFG.READ", "CfgAccessGroup", "FILTER", "group_dbid", 5)
    assert text.startswith("-BADVALUE CfgAccessGroup has no filter key 'group_dbid'")
    assert text.endswith("name, person_dbid"), "keys of the server's own are not named"
    assert raw.call("CFG.READ", "CfgPerson", "FILTER", "folder_dbid", "x").startswith("-BADVALUE")
    assert raw.call("CFG.READ", "CfgPerson", "FILTER", "is_agent", "maybe").startswith("-BADVALUE")
    assert raw.call("CFG.READ", "CfgApplication", "FILTER", "account_dbid", 1) == (
        "-BADVALUE filter key account_dbid needs account_type beside it"
    )
    assert raw.call("CFG.READ", "CfgApplication", "FILTER", "account_type", "person").startswith(
        "-BADVALUE"
    )
    for option in (
        ("LIMIT", 0),
        ("LIMIT", 10001),
        ("LIMIT", "x"),
        ("CURSOR", "x"),
        ("CURSOR", "1-"),
        ("FIELDS", 3, "a"),
        ("MINREV", "x"),
        ("MAXAGE", -1),
    ):
        assert raw.call("CFG.READ", "CfgPerson", *option).startswith("-BADVALUE"), option
    assert raw.call("CFG.READ", "CfgPerson", "NOPE").startswith("-ERR syntax error near 'NOPE'")
    assert raw.call("CFG.COUNT", "CfgPerson", "LIMIT", 1).startswith("-ERR syntax error")
    assert raw.call("PING") == "PONG"


def test_fields_and_brief(shared: HotServer) -> None:
    raw = shared.connect()
    page = raw.call("CFG.READ", "CfgPerson", "LIMIT", 1, "FIELDS", 3, "userName", "nope", "DBID")
    assert page[2] == ['{"class":"CfgPerson","DBID":101,"revision":1,"userName":"user101"}']
    brief_text = raw.call("CFG.READ", "CfgPerson", "LIMIT", 1, "BRIEF")[2][0]
    brief = orjson.loads(brief_text)
    assert brief["DBID"] == 101
    assert "userName" in brief


def test_find_one(shared: HotServer) -> None:
    raw = shared.connect()
    assert orjson.loads(raw.call("CFG.FIND", "CfgPerson", "user_name", "user200"))["DBID"] == 200
    assert raw.call("CFG.FIND", "CfgPerson", "user_name", "nobody") is None
    assert raw.call("CFG.FIND", "CfgPerson", "is_agent", "true").startswith(
        "-BADVALUE more than one"
    )
    assert raw.call("CFG.FIND", "CfgPerson", "user_name").startswith("-ERR wrong number")


def test_large_pages_in_slices_do_not_mix_with_others(shared: HotServer) -> None:
    raws = [shared.connect() for _ in range(20)]
    for raw in raws:
        raw.send(
            command("CFG.READ", "CfgPerson", "LIMIT", 900) * 3 + command("GET", "CfgPerson:101")
        )
    for raw in raws:
        for _ in range(3):
            assert dbids(raw.read()) == list(range(101, 1001))
        assert orjson.loads(raw.read())["DBID"] == 101


def test_a_read_sees_one_revision_and_then_the_next(server: HotServer) -> None:
    raw = server.connect()
    assert server.change(("update", "CfgPerson", person(101, lastName="New"))) == 2
    assert orjson.loads(raw.call("GET", "CfgPerson:101"))["lastName"] == "New"
    server.change(("delete", "CfgPerson", person(102)))
    assert raw.call("GET", "CfgPerson:102") is None
    assert raw.call("CFG.COUNT", "CfgPerson") == 49
    assert raw.call("CFG.READ", "CfgPerson", "LIMIT", 1)[0] == 3


def test_cursor_reports_the_first_pages_revision(server: HotServer) -> None:
    raw = server.connect()
    page = raw.call("CFG.READ", "CfgPerson", "LIMIT", 10)
    server.change(("update", "CfgPerson", person(120, lastName="New")))
    other = raw.call("CFG.READ", "CfgPerson", "LIMIT", 10, "CURSOR", page[1])
    assert other[0] == 1
    assert dbids(other) == list(range(111, 121))
    assert '"New"' in other[2][-1]


def test_minrev_waits_and_gives_up(serve: Serve) -> None:
    server = serve(PEOPLE[:5], read_wait_ms=300)
    raw = server.connect()
    raw.send(command("CFG.READ", "CfgPerson", "MINREV", 2) + command("PING"))
    assert raw.is_silent()
    server.change(("update", "CfgPerson", person(101, lastName="New")))
    assert raw.read()[0] == 2
    assert raw.read() == "PONG"
    begun = time.monotonic()
    assert raw.call("CFG.READ", "CfgPerson", "MINREV", 99).startswith("-STALE revision 99")
    assert 0.2 < time.monotonic() - begun < 3
    assert raw.call("CFG.READ", "CfgPerson", "MAXAGE", 5)[0] == 2
    server.control.set_link(1, 2, 1000)
    assert raw.call("CFG.READ", "CfgPerson", "MAXAGE", 5).startswith("-STALE")


def test_exec_answers_hot_commands_at_once(shared: HotServer) -> None:
    raw = shared.connect()
    reply = raw.call(
        *("EXECUTE", "GET CfgPerson:101", "PING"),
        *("CFG.READ CfgPerson LIMIT 800", "CFG.COUNT CfgPerson"),
    )
    assert orjson.loads(reply[0])["DBID"] == 101
    assert reply[1] == "PONG"
    assert len(reply[2][2]) == 800
    assert reply[3] == 1000


def test_slow_lane_failure_is_answered(shared: HotServer) -> None:
    raw = shared.connect()
    assert raw.call("BOOM").startswith("-ERR internal error")
    assert raw.call("PING") == "PONG"


def test_replies_wait_for_a_client_that_does_not_take_them(server: HotServer) -> None:
    raw, other = server.connect(), server.connect()
    requests = command("MGET", *["CfgPerson:101"] * 1000) * 200
    sender = threading.Thread(target=raw.send, args=(requests,))
    sender.start()
    assert wait_for(lambda: max(one["pending"] for one in eval(other.call("CLIENTS"))) > 65536)
    pending = max(one["pending"] for one in eval(other.call("CLIENTS")))
    assert pending < 2_000_000
    assert all(len(raw.read()) == 1000 for _ in range(200))
    sender.join()
    assert wait_for(lambda: eval(other.call("COUNTERS"))["buffers"] == 0)


def test_who_takes_no_replies_before_sign_in_is_given_no_room_of_a_request(
    server: HotServer,
) -> None:
    """His unsent replies hold his input back, which is then kept up to the largest he may send."""
    raw, other = server.connect(sign_in=False, receive_bytes=4096), server.connect()
    raw.socket.settimeout(1)
    chunk = command("PING", "x" * 16000) * 64
    with contextlib.suppress(TimeoutError):
        for _ in range(40):
            raw.socket.sendall(chunk)
    kept = max(one["input_bytes"] for one in eval(other.call("CLIENTS")))
    assert 0 < kept <= 2 * 10 * 16384
    assert other.call("PING") == "PONG"


def test_timeouts_close(serve: Serve) -> None:
    server = serve(PEOPLE[:50], sign_in_ms=200, output_ms=300, output_bytes=65536)
    idle = server.connect(sign_in=False)
    assert idle.is_closed()
    stuck, other = server.connect(), server.connect()
    stuck.send(command("MGET", *["CfgPerson:101"] * 20000) * 3)
    assert wait_for(lambda: eval(other.call("COUNTERS"))["connections"] == 1)


def test_most_connections(serve: Serve) -> None:
    server = serve(PEOPLE[:5], connections=3)
    held = [server.connect() for _ in range(3)]
    refused = Raw(server.port)
    assert refused.read() == "-ERR max number of clients reached"
    assert refused.is_closed()
    held[0].close()
    assert wait_for(lambda: eval(held[1].call("COUNTERS"))["connections"] == 2)
    assert server.connect().call("PING") == "PONG"


def test_subscription_limit(serve: Serve) -> None:
    server = serve(PEOPLE[:5], subscriptions=100)
    raw = server.connect(proto=3)
    raw.send(command("SUBSCRIBE", *[f"c{i}" for i in range(100)]))
    raw.read_all(100)
    assert raw.call("SUBSCRIBE", "c5") == ["subscribe", "c5", 100]
    assert raw.call("PSUBSCRIBE", "c5").startswith("-TOOBIG a connection may have at most 100")


def test_loading_then_ready(serve: Serve) -> None:
    server = serve(PEOPLE[:5], load=False)
    raw = server.connect()
    for words in (("PING",), ("GET", "x"), ("SUBSCRIBE", "cfg"), ("ECHO", "x")):
        assert raw.call(*words).startswith("-LOADING"), words
    assert raw.call("HELLO", "3") == "OK"
    server.load()
    assert wait_for(lambda: raw.call("PING") == "PONG")
    assert orjson.loads(raw.call("GET", "CfgPerson:101"))["DBID"] == 101


def test_nothing_leaks(server: HotServer) -> None:
    watcher = server.connect()
    for round_ in range(5):
        raws = [server.connect(proto=3) for _ in range(30)]
        for i, raw in enumerate(raws):
            raw.send(
                command("SUBSCRIBE", "cfg", f"c{i}")
                + command("PSUBSCRIBE", f"p{i}*")
                + b"*2\r\n$3\r\nGE"
            )
            raw.read_all(3)
        server.change(("update", "CfgPerson", person(101, lastName=f"R{round_}")))
        for raw in raws:
            raw.close(reset=True)
    assert wait_for(lambda: eval(watcher.call("COUNTERS"))["connections"] == 1)
    counters = eval(watcher.call("COUNTERS"))
    watchers = {"connections": 1, "addresses": 1}
    assert {k: v for k, v in counters.items() if v and k != "clients"} == watchers


def test_large_requests_and_values(shared: HotServer) -> None:
    raw = shared.connect()
    keys = [f"CfgPerson:{101 + i % 1000}" for i in range(50_000)]
    reply = raw.call("MGET", *keys)
    assert [int(re.search(r'"DBID":(\d+)', one)[1]) for one in reply[:1000]] == list(
        range(101, 1101)
    )
    assert len(reply) == 50_000
    assert raw.call("ECHO", "x" * 5_000_000) == "x" * 5_000_000
    raw.send(command("ECHO", "y" * 300_000)[:-1])
    assert raw.is_silent()
    raw.send(b"\n")
    assert raw.read() == "y" * 300_000


@pytest.mark.parametrize("proto", [2, 3])
def test_pipelined_finds_are_those_of_one_at_a_time(shared: HotServer, proto: int) -> None:
    """However they are spelled, whatever stands between them, and where the input is cut."""
    asked: list[tuple[str, ...]] = []
    for dbid in range(95, 180):
        asked.append(("CFG.FIND", "CfgPerson", "user_name", f"user{dbid}"))
        asked.append(("cfg.find", "CfgPerson", "dbid", f"{dbid}"))
        if dbid % 7 == 0:
            asked.append(("GET", f"CfgPerson:{dbid}"))
            asked.append(("CFG.FIND", "CfgPerson", "employee_id", f"e{dbid}", "tenant_dbid", "1"))
        if dbid % 11 == 0:
            asked.append(("CFG.FIND", "CfgPerson", "last_name", "Last1"))
            asked.append(("CFG.FIND", "CfgPerson", "dbid", "x"))
            asked.append(("CFG.FIND", "CfgPerson", "is_agent", "true"))
            asked.append(("CFG.FIND", "CfgPerson", "nothing", "x"))
            asked.append(("CFG.FIND", "CfgNothing", "dbid", "1"))
            asked.append(("CFG.FIND", "CfgPerson", "user_name", "u" * 200))
            asked.append(("CFG.FIND", "CfgPerson", "user_name", ""))
            asked.append(("CFG.FIND", "CfgPlace", "name", "user101"))
    raw = shared.connect(proto=proto)
    expected = []
    for words in asked:  # as lines of words, which are read by no short cut
        raw.send(" ".join(word or '""' for word in words).encode() + b"\r\n")
        expected.append(raw.read())
    assert sum(isinstance(one, str) and one.startswith("{") for one in expected) > 150
    pipeline = b"".join(command(*words) for words in asked)
    for cut in (0, 1, 7, 100, 1_001, 9_999):
        raw.send(pipeline[:cut])
        shared.connect().call("PING")
        raw.send(pipeline[cut:])
        assert raw.read_all(len(asked)) == expected


def test_what_was_cut_in_a_get_is_forgotten_once_it_is_answered(shared: HotServer) -> None:
    """The command that follows has other arguments than the one that was incomplete."""
    get = command("GET", "CfgPerson:101")
    for cut in range(1, len(get)):
        raw = shared.connect()
        raw.send(get + get[:cut])
        first = raw.read()
        raw.send(get[cut:])
        assert raw.read() == first
        assert raw.call("PING") == "PONG"
        raw.close()
