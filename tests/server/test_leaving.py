"""How clients leave a worker whose ports are shut, or that drains; the test is the supervisor."""

from __future__ import annotations

import itertools
import json
import os
import socket
import time
from collections.abc import Iterator

import pytest

from csp.process.ports import Port, Purpose
from csp.process.standing import ROLE_BACKUP, Standing, show, shown
from csp.supervisor.listeners import open_again, shut
from tests.neighbours.ports import free_port
from tests.neighbours.waiting import wait_until
from tests.server.hot_stage import HotServer, Raw, command, person

PEER = "peer.example:2020"
LATER_MS = 600
LEAVE_MS_MAX = 2_000  # csp/_fastpath/loop/doors.pxi


class Leaving(HotServer):
    """A worker with a port for clients and one for administrators."""

    def __init__(self) -> None:
        ports = (Port(0), Port(1, "admin", purpose=Purpose.MANAGEMENT))
        super().__init__([("CfgPerson", person(1))], ports=ports)

    def listener(self) -> socket.socket:
        """On a port that is asked for: one that the kernel chose would be lost by a shutting."""
        return socket.create_server(("127.0.0.1", free_port()), backlog=512)

    def ring(self) -> None:
        self.control.doors_changed()
        os.eventfd_write(self.wake_fd, 1)

    def shut(self) -> None:
        show(self.control, Standing(ROLE_BACKUP, serving=False, peer_address=PEER))
        shut(self.listeners[:1])
        self.ring()

    def open(self) -> None:
        show(self.control, Standing(peer_address=PEER))
        open_again(self.listeners[:1])
        self.ring()

    def open_with(self, address: str) -> None:
        """Says where clients go."""
        show(self.control, Standing(peer_address=address))

    def drain(self, seconds: float) -> None:
        now = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        begin, end = (now, now + int(seconds * 1000)) if seconds else (0, 0)
        self.control.set_drain(begin, end)
        self.ring()

    def administrator(self) -> Raw:
        return Raw(self.listeners[1].getsockname()[1])

    def turns(self) -> int:
        return self.control.slot_counters(0)["turns"]


class Shut(Leaving):
    """One whose ports are shut when it starts."""

    def listener(self) -> socket.socket:
        made = super().listener()
        shut([made])
        return made


@pytest.fixture(scope="module")
def worker() -> Iterator[Leaving]:
    server = Leaving()
    yield server
    server.stop()


@pytest.fixture(autouse=True)
def opened(worker: Leaving) -> Iterator[None]:
    """Each test begins and ends with open ports."""
    yield
    if worker.control.drain() != (0, 0):
        worker.drain(0)
    if not worker.control.serving:
        worker.open()


def hearing(worker: Leaving, proto: int = 2) -> Raw:
    raw = worker.connect(proto=proto)
    raw.send(command("SUBSCRIBE", "cfg.notice"))
    raw.read()
    return raw


def moving(message: list[bytes | str]) -> dict[str, object]:
    found: dict[str, object] = json.loads(message[2])
    assert found["op"] == "moving"
    return found


def test_idle_clients_leave_a_shut_port_at_once(worker: Leaving) -> None:
    idle = [worker.connect() for _ in range(20)]
    worker.shut()
    began = time.monotonic()
    assert all(raw.is_closed() for raw in idle)
    assert time.monotonic() - began < LEAVE_MS_MAX / 1000
    with pytest.raises(ConnectionRefusedError):
        worker.connect()
    assert worker.administrator().call("PING") == "PONG"


def test_a_reply_under_way_comes_before_its_client_leaves(worker: Leaving) -> None:
    busy = worker.connect()
    busy.send(command("later", str(LATER_MS), "done"))
    worker.shut()
    assert busy.read() == "done"
    assert busy.is_closed()


def test_who_never_finishes_is_cut_off(worker: Leaving) -> None:
    endless = worker.connect()
    endless.send(command("later", "60000", "done"))
    worker.shut()
    assert endless.is_closed(within=LEAVE_MS_MAX / 1000 + 5)


@pytest.mark.parametrize("proto", [2, 3])
def test_who_listens_hears_where_to_go_before_it_is_cut_off(worker: Leaving, proto: int) -> None:
    raw = hearing(worker, proto)
    worker.shut()
    assert moving(raw.read()) == {"op": "moving", "ms": 0, "to": PEER}
    assert raw.is_closed()


def test_a_shut_port_serves_again_once_it_is_open(worker: Leaving) -> None:
    for _ in range(3):
        worker.shut()
        worker.open()
        assert worker.connect().call("PING") == "PONG"


def test_a_shut_port_costs_no_turns(worker: Leaving) -> None:
    worker.connect()
    worker.shut()
    wait_until(lambda: worker.control.slot_counters(0)["connections"] == 0, 10, "all have left")

    seen = [(time.monotonic(), worker.turns())]

    def is_at_rest() -> bool:
        if worker.turns() != seen[0][1]:
            seen[0] = (time.monotonic(), worker.turns())
        return time.monotonic() - seen[0][0] > 0.3

    wait_until(is_at_rest, 10, "the worker sleeps")


def test_a_worker_that_starts_with_shut_ports_serves_once_they_are_open() -> None:
    server = Shut()
    with pytest.raises(ConnectionRefusedError):
        server.connect()
    open_again(server.listeners)
    server.ring()
    assert server.connect().call("PING") == "PONG"
    server.stop()


DRAIN_SECONDS = 1.2


def test_a_drain_spreads_the_leaving_of_idle_clients(worker: Leaving) -> None:
    idle = [worker.connect() for _ in range(8)]
    began = time.monotonic()
    worker.drain(DRAIN_SECONDS)
    left = []
    for raw in idle:
        assert raw.is_closed()
        left.append(time.monotonic() - began)
    gaps = [later - before for before, later in itertools.pairwise(left)]
    assert max(gaps) < DRAIN_SECONDS / 2  # one after the other,
    assert left[-1] > DRAIN_SECONDS / 2  # not all at once,
    assert left[-1] < DRAIN_SECONDS + LEAVE_MS_MAX / 1000  # and all of them


def test_who_hears_of_a_drain_has_until_its_end(worker: Leaving) -> None:
    """Each is told a moment of its own, and by which server to go on."""
    told = [hearing(worker) for _ in range(4)]
    began = time.monotonic()
    worker.drain(DRAIN_SECONDS)
    notices = [moving(raw.read()) for raw in told]
    waits = [int(str(notice["ms"])) for notice in notices]
    waits.sort()
    assert len(set(waits)) == len(waits)
    assert waits[0] < DRAIN_SECONDS * 1000 / 4
    assert DRAIN_SECONDS * 1000 / 2 < waits[-1] <= DRAIN_SECONDS * 1000
    assert {notice["to"] for notice in notices} == {shown(worker.control).peer_address}
    assert all(raw.is_closed() for raw in told)
    assert time.monotonic() - began > DRAIN_SECONDS - 0.1


def test_ping_before_sign_in_takes_a_draining_server_out(worker: Leaving) -> None:
    before, signed_in = worker.connect(sign_in=False), worker.connect()
    worker.drain(30)
    assert "LOADING draining" in str(before.call("PING"))
    assert signed_in.call("PING") == "PONG"
    worker.drain(0)
    assert before.call("PING") == "PONG"


def test_a_drain_that_is_ended_lets_everybody_stay(worker: Leaving) -> None:
    staying = worker.connect()
    began = time.monotonic()
    worker.drain(0.5)
    last = hearing(worker)  # who comes while it lasts has until its end
    worker.drain(0)
    wait_until(lambda: time.monotonic() - began > 1, 10, "it would have been over")
    assert staying.call("PING") == "PONG"
    last.send(command("PING"))
    assert last.read()[0] == "pong"


def test_a_client_of_redis_is_told_by_moving(worker: Leaving) -> None:
    named, bare, without = (worker.connect(proto=3) for _ in range(3))
    named.call("moves", "yes")
    bare.call("moves", "bare")
    worker.open_with(PEER)
    worker.drain(DRAIN_SECONDS)
    push = named.read()
    assert (push[0], push[3]) == ("MOVING", PEER)
    assert 1 <= push[2] <= 2
    second = bare.read()
    assert (second[0], second[1], second[3]) == ("MOVING", push[1], None)
    assert without.is_closed()
