"""How a connection is read and ended: half-closed peers, pipelines that nobody reads meanwhile."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

import orjson
import pytest

from tests.server.hot_stage import PEOPLE, HotServer, Serve, command, person, wait_for

KIB = 1024


def asked_and_ended(server: HotServer, *requests: bytes) -> list[object]:
    """All that comes after the client has ended its side."""
    raw = server.connect(proto=3)
    raw.send(b"".join(requests))
    raw.socket.shutdown(socket.SHUT_WR)
    replies = []
    try:
        while True:
            replies.append(raw.read())
    except ConnectionError:
        raw.close()
    return replies


@pytest.mark.parametrize(
    ("one", "count"),
    [
        (command("CFG.READ", "CfgPerson", "LIMIT", 1000), 1),
        (command("CFG.READ", "CfgPerson", "LIMIT", 1000), 20),
        (command("GET", "CfgPerson:105"), 20_000),
        (command("CFG.COUNT", "CfgPerson", "FILTER", "is_agent", "true"), 300),
        (command("LATER", 20, "late"), 3),
    ],
)
def test_who_ends_its_side_gets_all_it_asked_for(shared: HotServer, one: bytes, count: int) -> None:
    whole = shared.connect(proto=3)
    whole.send(one)
    expected = whole.read()
    replies = asked_and_ended(shared, *[one] * count)
    assert len(replies) == count
    assert all(reply == expected for reply in replies)


def test_half_a_command_before_the_end_is_no_reason_to_stay(shared: HotServer) -> None:
    half = command("GET", "CfgPerson:105")[:-3]
    assert asked_and_ended(shared, command("STRLEN", "CfgPerson:1"), half) == [0]


def test_a_subscriber_that_ends_its_side_is_let_go(shared: HotServer) -> None:
    assert asked_and_ended(shared, command("SUBSCRIBE", "cfg")) == [["subscribe", "cfg", 1]]


def test_a_pipeline_is_taken_before_its_replies_are_read() -> None:
    """The client reads nothing until the last request is written, as many libraries do."""
    count = 150_000
    server = HotServer(PEOPLE)
    try:
        raw = server.connect()
        raw.send(command("GET", "CfgPerson:105") * count)
        first = raw.read()
        assert all(raw.read() == first for _ in range(count - 1))
        assert raw.call("GET", "CfgPerson:105") == first
    finally:
        server.stop()


def test_what_is_taken_ahead_of_its_replies_has_a_limit() -> None:
    limit = 256 * KIB
    server = HotServer(
        [("CfgPerson", person(101, lastName="x" * 20_000))],
        request_bytes=limit,
        output_bytes=64 * KIB,
    )
    try:
        raw, watcher = server.connect(receive_bytes=16 * KIB), server.connect()
        count = 300_000

        def send() -> None:
            with contextlib.suppress(OSError):  # it ends when the server does
                raw.send(command("GET", "CfgPerson:101") * count)

        sender = threading.Thread(target=send)
        sender.start()

        def taken() -> int:
            return max(one["input_bytes"] for one in eval(watcher.call("CLIENTS")))

        assert wait_for(lambda: taken() >= limit)
        assert watcher.call("STRLEN", "CfgPerson:101") > 20_000
        assert taken() <= 2 * limit
        assert sender.is_alive()
    finally:
        server.stop()
    sender.join()


def test_replies_do_not_wait_for_a_later_one(server: HotServer) -> None:
    """What stands in front of a command that is answered later goes out at once."""
    raw = server.connect()
    raw.send(command("GET", "CfgPerson:101") + command("LATER", 8_000, "late"))
    raw.socket.settimeout(4)
    assert raw.read().startswith("{")


def test_a_push_of_a_neighbour_does_not_overtake_a_reply(server: HotServer) -> None:
    """Replies that go out alone leave in order with what Python pushes to the same connection."""
    one, other = server.connect(proto=3), server.connect(proto=3)
    for _ in range(50):
        one.send(command("PUSH"))
        other.send(command("GET", "CfgPerson:101"))
        assert other.read().startswith("{")
        assert sorted(str(reply) for reply in one.read_all(2)) == ["OK", "['push']"]


@pytest.mark.parametrize("proto", [2, 3])
def test_a_draining_server_ends_no_message_in_its_middle(serve: Serve, proto: int) -> None:
    """Nor between two changes: who is slow gets all that was published, then the end."""
    server = serve()
    slow = server.connect(proto=proto, receive_bytes=16 * KIB)
    quick, idle = server.connect(proto=3), server.connect()
    slow.call("SUBSCRIBE", "cfg")
    large = {"campaign": {"value": "x" * (6 * KIB * KIB)}}
    first = server.change(("update", "CfgPerson", person(101, userProperties=large)))
    second = server.change(("update", "CfgPerson", person(102, lastName="behind")))
    assert wait_for(lambda: eval(quick.call("COUNTERS"))["lagging"] == 1)
    assert quick.call("DRAIN") == "OK"
    assert idle.is_closed()  # a tick looks at all connections
    told = [orjson.loads(slow.read()[2]) for _ in range(2)]
    assert [one["revision"] for one in told] == [first, second]
    assert len(str(told[0])) > 6 * KIB * KIB
    assert slow.is_closed()
    assert os.waitid(os.P_PID, server.pid, os.WEXITED | os.WNOWAIT) is not None
