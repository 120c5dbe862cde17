"""MGET, EXISTS and EXEC that are more than a turn's work: what they hold up, and their limits."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.hot_stage import HotServer, Raw, Serve, command, person, wait_for

COUNT = 30_000
FIRST = 101
LATE = "-BUSY not computed within 1 ms"
LONG = b"CFG.COUNT CfgPerson FILTER tenant_dbid 1 FILTER state enabled"
PEOPLE = [("CfgPerson", person(dbid)) for dbid in range(FIRST, FIRST + COUNT)]
TURN_US = 40_000  # a turn's 10 ms; on a shared machine the same work counts several times as much
BIG = {"userProperties": {"a": {"k": "x" * (4 << 20)}}}
SPARE = 16 << 20


@pytest.fixture(scope="module")
def server() -> Iterator[HotServer]:
    server = HotServer(PEOPLE, announce_ms=60_000)  # however busy the machine is
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hasty() -> Iterator[HotServer]:
    """One that gives a read a millisecond."""
    server = HotServer(PEOPLE, announce_ms=1)
    yield server
    server.stop()


def longest_us(server: HotServer) -> int:
    return server.control.slot_counters(0)["longest_turn_us"]


def turn_of(raw: Raw, server: HotServer, *words: str | bytes) -> tuple[int, Any]:
    """CPU of the longest turn while a command is answered, and its reply.

    The best of some: where the machine is shared, what others use is counted here now and then.
    """
    best, reply = 1 << 60, None
    for _ in range(5):
        raw.call("RESETSTAT")
        reply = raw.call(*words)
        best = min(best, longest_us(server))
        if best <= TURN_US:
            break
    return best, reply


def own_bytes(server: HotServer) -> int:
    """The worker's memory without the store."""
    text = Path(f"/proc/{server.pid}/status").read_text()
    return int(text.partition("RssAnon:")[2].split()[0]) * 1024


def keys(count: int) -> list[str]:
    return [f"CfgPerson:{FIRST + number % COUNT}" for number in range(count)]


def idle(server: HotServer) -> bool:
    asking = server.connect()
    left = asking.call("COUNTERS")
    asking.close()
    return "'jobs': 0" in left and server.control.slot(0)["seen"] == 0


def test_mget_of_very_many_keys(server: HotServer) -> None:
    raw, other = server.connect(), server.connect()
    count = 200_000
    expected = raw.call("MGET", *keys(COUNT))
    assert [type(one) for one in expected] == [str] * COUNT
    raw.send(command("MGET", *keys(count), "nothing") + command("PING"))
    assert '"userName":"user101"' in other.call("GET", "CfgPerson:101")
    found = raw.read()
    assert raw.read() == "PONG"
    assert found == [*(expected * (count // COUNT + 1))[:count], None]
    longest, found = turn_of(raw, server, "MGET", *keys(count))
    assert longest <= TURN_US
    longest, found = turn_of(raw, server, "EXISTS", *keys(count), "nothing")
    assert found == count
    assert longest <= TURN_US
    assert wait_for(lambda: idle(server))


def test_what_is_not_listed_is_refused(server: HotServer) -> None:
    raw = server.connect()
    assert raw.call("TYPE", *keys(70_000)) == "-TOOBIG 70001 arguments"
    assert raw.call("PING") == "PONG"


def test_mget_inside_of_a_pipeline_keeps_its_place(server: HotServer) -> None:
    raw = server.connect()
    asked = command("PING", "a") + command("MGET", *keys(1_000)) + command("PING", "b")
    raw.send(asked * 3)
    for _ in range(3):
        assert raw.read() == "a"
        assert len(raw.read()) == 1_000
        assert raw.read() == "b"


def test_an_incomplete_command_is_not_cut_again(server: HotServer) -> None:
    raw, other = server.connect(), server.connect()
    request = command("MGET", *keys(600_000))
    for at in range(0, len(request) - 40, 1 << 20):
        raw.send(request[at : min(at + (1 << 20), len(request) - 40)])
    assert wait_for(lambda: f"'input_bytes': {len(request) - 40}" in other.call("CLIENTS"), 30)
    longest = []
    for at in range(len(request) - 40, len(request) - 1):
        other.call("RESETSTAT")
        raw.send(request[at : at + 1])
        other.call("PING")
        longest.append(longest_us(server))
    assert sorted(longest)[len(longest) // 2] < 500
    raw.send(request[-1:])
    assert len(raw.read()) == 600_000


def test_large_replies_leave_no_memory_behind(serve: Serve) -> None:
    server = serve([("CfgPerson", person(FIRST, **BIG))], announce_ms=60_000)
    raw = server.connect()
    before = own_bytes(server)
    longest, found = turn_of(raw, server, "MGET", *["CfgPerson:101"] * 80)
    assert sum(map(len, found)) > 320 << 20
    assert longest <= TURN_US
    raw.send(command("MGET", *["CfgPerson:101"] * 80))
    raw.close(reset=True)
    raw = server.connect()
    for _ in range(4):
        assert len(raw.call("GET", "CfgPerson:101")) > 4 << 20
    assert wait_for(lambda: own_bytes(server) <= before + SPARE)


def test_a_reply_that_is_too_large_says_how_large(serve: Serve) -> None:
    server = serve(PEOPLE[:300], reply_bytes=50_000, announce_ms=60_000)
    raw = server.connect()
    assert len(raw.call("MGET", *keys(50))) == 50
    told = raw.call("MGET", *keys(300))
    size = sum(len(f"${len(one)}\r\n{one}\r\n") for one in _all(raw, 300))
    assert (
        told == f"-TOOBIG MGET would reply with {size} bytes, more than 50000; ask for fewer keys"
    )
    line = b"MGET " + " ".join(keys(100)).encode()
    replies = raw.call("EXECUTE", line, line, line, b"PING", "SAY done")
    assert [len(one) for one in replies[:2]] == [100, 100]
    refused = "-TOOBIG the replies of one EXEC may have 50000 bytes"
    assert replies[2:] == [refused, refused, "done"]


def _all(raw: Raw, count: int) -> list[str]:
    return [raw.call("GET", one) for one in keys(count)]


def test_a_worker_holds_so_much_output_and_no_more(serve: Serve) -> None:
    server = serve([("CfgPerson", person(FIRST, **BIG))], held_bytes=40 << 20, announce_ms=60_000)
    slow, raw = server.connect(), server.connect()
    slow.send(command("MGET", *["CfgPerson:101"] * 8))
    assert wait_for(lambda: "'buffers': 1" in raw.call("COUNTERS"))  # the rest of 32 MiB
    found = raw.call("MGET", *["CfgPerson:101"] * 8)
    crowded = f"-BUSY this worker holds {40 << 20} bytes of replies already"
    assert len(found) == 8
    assert found[-1] == crowded
    assert raw.call("MGET", *["CfgPerson:101"] * 8)[-1] == crowded
    assert len(slow.read()) == 8
    assert raw.call("MGET", *["CfgPerson:101"] * 2)[1].startswith("{")
    assert server.control.slot_counters(0)["busy"] == 2


def test_exec_of_long_reads(server: HotServer) -> None:
    raw, other = server.connect(), server.connect()
    raw.send(command("EXECUTE", *[LONG] * 100, b"NAME me", b"GET CfgPerson:101"))
    assert '"userName":"user101"' in other.call("GET", "CfgPerson:101")
    assert "'jobs': 1" in other.call("COUNTERS")
    replies = raw.read()
    assert replies[:101] == [COUNT] * 100 + ["me"]
    assert '"userName":"user101"' in replies[101]
    assert raw.call("PING") == "PONG"
    longest, replies = turn_of(raw, server, "EXECUTE", *[LONG] * 100)
    assert replies == [COUNT] * 100
    assert longest <= TURN_US
    assert wait_for(lambda: idle(server))


def test_exec_is_at_one_revision(server: HotServer) -> None:
    raw = server.connect()
    ask = b"CFG.READ CfgPerson LIMIT 1 FIELDS 1 firstName"
    for number in range(10):
        raw.send(command("EXECUTE", ask, *[LONG] * 20, b"GET CfgPerson:101", ask))
        for turn in range(5):
            server.change(("update", "CfgPerson", person(FIRST, firstName=f"N{number}.{turn}")))
        replies = raw.read()
        assert replies[0] == replies[-1]
        assert replies[0][2][0].partition('"firstName":')[2].rstrip("}") in replies[-2]


def test_what_is_late_answers_busy_in_its_place(hasty: HotServer) -> None:
    raw = hasty.connect()
    replies = raw.call("EXECUTE", *[LONG] * 200, b"SAY known")
    assert len(replies) == 201
    assert replies[-1] == "known"
    assert replies[-2] == LATE
    assert set(replies[:-1]) <= {COUNT, LATE}
    found = raw.call("MGET", *keys(200_000))
    assert len(found) == 200_000
    assert found[-1] == LATE
    assert raw.call("EXISTS", *keys(400_000)) == LATE
    assert hasty.control.slot_counters(0)["busy"] >= 3
    assert wait_for(lambda: idle(hasty))


def test_a_client_that_goes_leaves_nothing(server: HotServer) -> None:
    for request in (
        command("EXECUTE", *[LONG] * 500),
        command("MGET", *keys(150_000)),
        command("EXECUTE", *[b"MGET " + " ".join(keys(3_000)).encode()] * 50),
        command("EXECUTE", b"GET CfgPerson:101", b"QUIT", *[LONG] * 5),
    ):
        for _ in range(3):
            raw = server.connect()
            raw.send(request)
            raw.close(reset=True)
    assert wait_for(lambda: idle(server))
    assert os.path.exists(f"/proc/{server.pid}")


def test_keys_outlive_another_generation(serve: Serve) -> None:
    """What is under way begins anew there; of an EXEC the rest is refused."""
    server = serve(PEOPLE, announce_ms=60_000)
    raw, second = server.connect(), server.connect()
    raw.send(command("MGET", *keys(300_000)))
    second.send(command("EXECUTE", *[LONG] * 100))
    server.control.generation += 1
    assert len(raw.read()) == 300_000
    assert len(second.read()) == 100
    assert raw.call("PING") == "PONG"
