"""Goes to the limits of connections on real servers: number, time, replies, subscriptions."""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.neighbours.server import Master
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import Raw, command
from tests.server.limits_stage import (
    MIB,
    create,
    lowered,
    options_of,
    pattern,
    signed_in,
    skill,
    with_options,
)

SUBSCRIPTIONS_MAX = 10_000
PATTERN_MAX = 256
FILES = 160
CLIENTS_MAX = FILES - 100
UNSENT_KIB = 64
TIMEOUT_S = 1
LARGE = 20_000  # bytes of the object that is asked for again and again


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    master = Master(tmp_path_factory.mktemp("connections"))
    with with_options(
        master,
        client_connect_timeout=TIMEOUT_S,
        client_response_timeout=TIMEOUT_S,
        max_client_output_queue_size=UNSENT_KIB,
    ):
        yield master


@pytest.fixture(scope="module")
def large(master: Master) -> str:
    """The key of an object of some 20 kB."""
    return f"CfgSkill:{create(signed_in(master), 'large', userProperties=options_of([LARGE]))}"


def clients(raw: Raw) -> dict[str, dict[str, str]]:
    """CLIENT LIST by name."""
    lines = raw.call("CLIENT", "LIST").splitlines()
    rows = [dict(field.split("=", 1) for field in line.split()) for line in lines]
    return {row["name"]: row for row in rows}


def test_who_does_not_sign_in_is_let_go(master: Master) -> None:
    began = time.monotonic()
    signed, silent, pinging = signed_in(master), Raw(master.port), Raw(master.port)
    is_closed = threading.Event()

    def ping() -> None:
        try:
            while pinging.call("PING") == "PONG":
                is_closed.wait(0.02)
        except ConnectionError:
            is_closed.set()

    pings = threading.Thread(target=ping)
    pings.start()
    assert silent.is_closed(TIMEOUT_S + 5)
    assert time.monotonic() - began >= TIMEOUT_S
    pings.join(TIMEOUT_S + 5)
    assert is_closed.is_set()
    assert signed.call("PING") == "PONG"


def test_replies_that_nobody_takes_hold_back_their_own_client_alone(
    master: Master, large: str
) -> None:
    slow, other = signed_in(master), signed_in(master)
    assert slow.call("CLIENT", "SETNAME", "slow") == "OK"
    count = 3_000
    sender = threading.Thread(target=slow.send, args=(command("GET", large) * count,))
    sender.start()
    unsent = wait_until(lambda: int(clients(other)["slow"]["omem"]), 5, "unsent replies")
    worst = 0.0
    for _ in range(200):
        began = time.monotonic()
        assert other.call("STRLEN", large) > LARGE
        worst = max(worst, time.monotonic() - began)
        unsent = max(unsent, int(clients(other)["slow"]["omem"]))
        if slow.replies or worst > TIMEOUT_S / 2:
            break
    assert worst < TIMEOUT_S / 2
    assert unsent < 10 * UNSENT_KIB * 1024
    replies = slow.read_all(count)
    sender.join()
    assert len(set(replies)) == 1
    assert slow.call("PING") == "PONG"


def test_who_takes_nothing_for_too_long_is_closed(master: Master, large: str) -> None:
    stuck, other = signed_in(master), signed_in(master)
    assert stuck.call("CLIENT", "SETNAME", "stuck") == "OK"
    stuck.send(command("GET", large) * 1_000)
    wait_until(lambda: int(clients(other)["stuck"]["omem"]), 5, "unsent replies")
    began = time.monotonic()
    wait_until(lambda: "stuck" not in clients(other), TIMEOUT_S + 5, "the end of the connection")
    assert time.monotonic() - began > TIMEOUT_S / 4
    assert other.call("PING") == "PONG"


def test_a_request_of_all_in_one_is_not_cut(master: Master, large: str) -> None:
    """One reply may be larger than what may be unsent: only the next request waits."""
    raw = signed_in(master)
    raw.send(command("MGET", *[large] * 1_000) + command("PING"))
    assert len(raw.read()) == 1_000
    assert raw.read() == "PONG"


def test_subscriptions_of_a_connection(master: Master) -> None:
    raw = signed_in(master)
    raw.send(command("SUBSCRIBE", *[f"cfg:CfgSkill:{n}" for n in range(SUBSCRIPTIONS_MAX)]))
    assert raw.read_all(SUBSCRIPTIONS_MAX)[-1][2] == SUBSCRIPTIONS_MAX
    text = "-TOOBIG a connection may have at most 10000 subscriptions; none of these was added"
    assert raw.call("SUBSCRIBE", "cfg") == text
    assert raw.call("PSUBSCRIBE", "cfg*") == text
    assert raw.call("SUBSCRIBE", "cfg:CfgSkill:1")[2] == SUBSCRIPTIONS_MAX  # it is one already
    assert raw.call("UNSUBSCRIBE", "cfg:CfgSkill:1")[2] == SUBSCRIPTIONS_MAX - 1
    assert raw.call("SUBSCRIBE", "cfg")[2] == SUBSCRIPTIONS_MAX
    dbid = create(signed_in(master), "told")
    told = {raw.read()[1] for _ in range(2 if dbid < SUBSCRIPTIONS_MAX else 1)}
    assert told == {"cfg", f"cfg:CfgSkill:{dbid}"}


def test_the_length_of_a_pattern(master: Master) -> None:
    raw = signed_in(master)
    longest = pattern(PATTERN_MAX)
    assert raw.call("PSUBSCRIBE", longest) == ["psubscribe", longest, 1]
    too_long = raw.call("PSUBSCRIBE", "cfg", pattern(PATTERN_MAX + 1))
    assert too_long == "-TOOBIG a channel or pattern of 257 bytes is too long; at most 256"
    assert raw.call("PSUBSCRIBE", "cfg")[2] == 2  # none of those was added
    assert raw.call("SUBSCRIBE", "x" * (PATTERN_MAX + 1)).startswith("-TOOBIG")
    # A pattern that would take for ever by trying everything.
    nasty = "*a" * (PATTERN_MAX // 2)
    assert raw.call("PSUBSCRIBE", nasty)[1] == nasty
    began = time.monotonic()
    create(signed_in(master), "nasty")
    assert raw.read()[2] == "cfg"
    assert time.monotonic() - began < 1


def test_the_number_of_connections(tmp_path: Path) -> None:
    code = f"import resource\nresource.setrlimit(resource.RLIMIT_NOFILE, ({FILES}, {FILES}))"
    with lowered(tmp_path, code, workers=2) as master:
        held: list[Raw] = []
        wait_until(lambda: fill(master, held), 10, "as many connections as fit")
        assert len(held) == CLIENTS_MAX
        for _ in range(3):
            refused = Raw(master.port)
            assert refused.read() == "-ERR max number of clients reached"
            assert refused.is_closed()
        assert all(one.call("PING") == "PONG" for one in held)
        held.pop().close()
        wait_until(lambda: fill(master, held), 10, "a place again")
        assert len(held) == CLIENTS_MAX
        assert (
            held[-1].call("CFG.CREATE", "CfgSkill", skill("full"))
            == "-NOAUTH Authentication required."
        )


def fill(master: Master, held: list[Raw]) -> bool:
    """Connects until the limit; true if a place was free: a connection may end a moment late."""
    before = len(held)
    while len(held) <= CLIENTS_MAX:
        raw = Raw(master.port)
        raw.send(command("PING"))
        try:
            if raw.read() != "PONG":
                break
        except ConnectionError:
            break
        held.append(raw)
    return len(held) > before and len(held) >= CLIENTS_MAX


def test_memory_is_not_kept_for_those_who_were_refused(master: Master) -> None:
    """A request that is too large ends its connection; the server has let go of what it took."""
    raw, other = signed_in(master), signed_in(master)
    raw.send(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % (64 * MIB + 1))
    assert raw.read() == "-ERR Protocol error: invalid bulk length"
    assert raw.is_closed()
    assert other.call("PING") == "PONG"


def test_who_is_turned_away_is_told_and_it_is_an_alarm(tmp_path: Path) -> None:
    with Master(tmp_path, workers=2).start() as server:
        key = f"CfgApplication/name={server.app}"
        assert server.cli("option", key, "csp", "max-clients", "4").returncode == 0
        refusal = b"-ERR max number of clients reached\r\n"
        first, *others = [signed_in(server) for _ in range(4)]
        wait_until(lambda: refused(server) == refusal, 5, "a refusal")
        wait_until(lambda: "51202" in server.log_text(), 5, "the alarm")
        assert "4 may be connected at once" in server.log_text()
        for other in others:
            other.close()
        assert "clients refused" in server.alarms()
        assert first.call("PING") == "PONG"


def refused(server: Master) -> bytes:
    """What a new connection is told by itself."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.5) as one:
        try:
            return one.recv(100)
        except TimeoutError:
            return b""


def test_without_descriptors_a_client_is_refused_and_the_worker_does_not_spin(
    tmp_path: Path,
) -> None:
    with Master(tmp_path) as server:
        first = signed_in(server)
        worker = server.child("worker 0")
        _, hard = worker.rlimit(psutil.RLIMIT_NOFILE)
        taken = {int(name) for name in os.listdir(f"/proc/{worker.pid}/fd")}
        lowest = next(number for number in itertools.count() if number not in taken)
        worker.rlimit(psutil.RLIMIT_NOFILE, (lowest, hard))
        for _ in range(5):
            assert refused(server) == b"-ERR max number of clients reached\r\n"
        assert first.call("PING") == "PONG"
        assert "rejected_connections:5\r\n" in first.call("INFO", "stats")
        wait_until(lambda: "there are no descriptors for more" in server.log_text(), 5, "the alarm")
        used = sum(worker.cpu_times()[:2])
        with pytest.raises(AssertionError):
            wait_until(lambda: sum(worker.cpu_times()[:2]) > used + 0.2, 1, "a loop that spins")
        worker.rlimit(psutil.RLIMIT_NOFILE, (hard, hard))
        assert signed_in(server).call("PING") == "PONG"
