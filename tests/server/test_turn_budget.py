"""What a turn of the loop costs is counted, and bounded."""

from __future__ import annotations

from tests.server.hot_stage import HotServer, Serve, command, wait_for


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
