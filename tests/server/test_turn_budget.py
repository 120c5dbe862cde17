"""What a turn of the loop costs is counted, and bounded."""

from __future__ import annotations

import select

import orjson

from tests.server.hot_stage import HotServer, Serve, command, person, wait_for


def longest_us(server: HotServer) -> int:
    return server.control.slot_counters(0)["longest_turn_us"]


def test_the_longest_turn_is_its_cpu(serve: Serve) -> None:
    server = serve([])
    raw = server.connect()
    assert raw.call("spin", 20) == "OK"  # milliseconds of CPU, in one turn
    assert wait_for(lambda: longest_us(server) >= 20_000)
    assert longest_us(server) < 200_000
    assert raw.call("rest", 300) == "OK"  # asleep, no CPU is used
    assert raw.call("PING") == "PONG"
    assert longest_us(server) < 200_000


def test_the_longest_turn_begins_anew_when_told(serve: Serve) -> None:
    server = serve([])
    raw = server.connect()
    raw.call("spin", 60)
    assert wait_for(lambda: longest_us(server) >= 60_000)
    raw.send(command("resetstat") + command("PING"))
    raw.read_all(2)
    assert wait_for(lambda: longest_us(server) < 60_000)


def test_a_large_message_to_many_takes_no_long_turn(serve: Serve) -> None:
    """All read as fast as they can: a turn's sends are bounded in bytes, too."""
    server = serve()
    readers = [server.connect(proto=3) for _ in range(40)]
    for reader in readers:
        reader.call("SUBSCRIBE", "cfg")
    readers[0].call("resetstat")
    large = {"section": {"value": "x" * (4 << 20)}}
    revision = server.change(("update", "CfgPerson", person(101, userProperties=large)))
    poll = select.poll()
    waiting = {reader.socket.fileno(): reader for reader in readers}
    for fd in waiting:
        poll.register(fd, select.POLLIN)
    while waiting:
        for fd, _ in poll.poll(10_000):
            reader = waiting[fd]
            reader.take(reader.socket.recv(1 << 20))
            if reader.replies:
                assert orjson.loads(reader.read()[2])["revision"] == revision
                poll.unregister(fd)
                del waiting[fd]
    assert longest_us(server) < 13_000
