"""Any one process dies or hangs: the others and their connections do not notice (G10)."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import redis

from csp._fastpath import Control
from csp.process.channel.framing import WRITER_LIMITS
from csp.store import segment
from csp.supervisor.hang import SILENCE_SECONDS_MAX
from tests.effort import parametrize_few
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until

SHM = Path("/dev/shm")
WORKERS = 2
KEY = "CfgTenant:1"


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    with Master(tmp_path, workers=WORKERS).start() as server:
        yield server


def connections_by_worker(server: Master) -> dict[int, redis.Redis]:
    """One open connection to each worker, by the worker's pid."""
    pids = {server.child(f"worker {slot}").pid for slot in range(WORKERS)}
    found: dict[int, redis.Redis] = {}

    def has_all() -> bool:
        client = server.client(single_connection_client=True)
        assert client.execute_command("GET", KEY)
        found[_owner(client, pids)] = client
        return set(found) == pids

    wait_until(has_all, within=20, what="a connection to every worker")
    return found


def _owner(client: redis.Redis, pids: set[int]) -> int:
    connection = client.connection
    assert connection is not None
    local = connection._sock.getsockname()[1]
    for pid in pids:
        for opened in psutil.Process(pid).net_connections("tcp"):
            if opened.raddr and opened.raddr.port == local:
                return pid
    raise AssertionError("nobody has the connection")


def successor(server: Master, role: str, pid: int) -> psutil.Process:
    """The process that took the place of one that died."""
    return wait_until(
        lambda: (found := server.children().get(role)) and found.pid != pid and found,
        within=20,
        what=f"another {role}",
    )


@parametrize_few("role", ["writer", "auth", "worker 1"], quick=1)
def test_a_killed_child_is_replaced_and_the_others_go_on(master: Master, role: str) -> None:
    clients = connections_by_worker(master)
    before = {name: child.pid for name, child in master.children().items()}
    os.kill(before[role], signal.SIGKILL)
    successor(master, role, before[role])
    after = {name: child.pid for name, child in master.children().items()}
    assert {name: pid for name, pid in after.items() if name != role} == {
        name: pid for name, pid in before.items() if name != role
    }
    for pid, client in clients.items():
        if pid != before[role]:
            assert client.execute_command("GET", KEY)
    wait_until(lambda: _can_sign_in_and_write(master), within=10)


def _can_sign_in_and_write(server: Master) -> bool:
    try:
        with server.client() as client:
            name = f"skill {time.monotonic_ns()}"
            client.execute_command("CFG.CREATE", "CfgSkill", f'{{"name":"{name}","tenantDBID":1}}')
    except redis.RedisError:
        return False
    return True


@pytest.mark.long
def test_a_worker_that_dies_often_is_back_at_once_each_time(master: Master) -> None:
    for _ in range(5):
        pid = master.child("worker 0").pid
        os.kill(pid, signal.SIGKILL)
        successor(master, "worker 0", pid)
        wait_until(master.answers, within=5)


def test_connections_in_a_dead_workers_queue_are_served(master: Master) -> None:
    pids = [master.child(f"worker {slot}").pid for slot in range(WORKERS)]
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    sockets = [socket.create_connection(("127.0.0.1", master.port), 10) for _ in range(20)]
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    for opened in sockets:
        opened.sendall(b"PING\r\n")
        assert opened.recv(100) == b"+PONG\r\n"
        opened.close()


def test_writes_are_refused_while_the_writer_dies_at_every_start(master: Master) -> None:
    spec = next(master.runtime.glob("*/writer.sock")).parent / "failpoint"
    spec.write_text("writer.start=kill\n" * 100)
    master.child("writer").kill()
    skill = '{"name":"english","tenantDBID":1}'
    with master.client(socket_timeout=15) as client:
        # The first may have been under way when the writer died; the others are told at once.
        with pytest.raises(redis.RedisError):
            client.execute_command("CFG.CREATE", "CfgSkill", skill)
        began = time.monotonic()
        for _ in range(3):
            with pytest.raises(redis.exceptions.MasterDownError, match=r"^nothing was done"):
                client.execute_command("CFG.CREATE", "CfgSkill", skill)
        assert time.monotonic() - began < WRITER_LIMITS.greeting_ms / 1000 + 1
        assert client.execute_command("GET", KEY)
        spec.unlink()
        wait_until(lambda: _can_sign_in_and_write(master), within=20)


@parametrize_few("role", ["writer", "auth"], quick=1)
def test_a_stopped_process_that_holds_up_everybody_is_killed(master: Master, role: str) -> None:
    pid = master.child(role).pid
    os.kill(pid, signal.SIGSTOP)
    successor(master, role, pid)
    assert "51103" in master.log_text()
    wait_until(lambda: _can_sign_in_and_write(master), within=10)


@pytest.mark.long
def test_a_writer_that_worked_and_then_hangs_is_found_as_soon(master: Master) -> None:
    writer = master.child("writer")

    def used() -> float:
        return float(sum(writer.cpu_times()[:2]))

    def import_much() -> None:
        with master.client(socket_timeout=60) as client, contextlib.suppress(redis.RedisError):
            options = {f"option {number}": "x" * 20 for number in range(100)}
            pipe = client.pipeline()
            for number in range(9_000):
                skill = {"tenantDBID": 1, "name": f"s{number}", "userProperties": {"a": options}}
                pipe.execute_command("CFG.CREATE", "CfgSkill", json.dumps(skill))
            pipe.execute()

    before = used()
    importing = threading.Thread(target=import_much, daemon=True)
    importing.start()
    # Long enough that the supervisor has asked for a sign of life meanwhile.
    wait_until(lambda: used() > before + 1.25, within=30, what="the writer to work")
    os.kill(writer.pid, signal.SIGSTOP)
    began = time.monotonic()
    successor(master, "writer", writer.pid)
    assert time.monotonic() - began < SILENCE_SECONDS_MAX + 4
    assert "asleep" in master.log_text() or "stopped, no progress" in master.log_text()
    importing.join(60)
    wait_until(lambda: _can_sign_in_and_write(master), within=10)


def test_a_stopped_worker_with_waiting_connections_is_killed(master: Master) -> None:
    pid = master.child("worker 0").pid
    os.kill(pid, signal.SIGSTOP)
    waiting = [socket.create_connection(("127.0.0.1", master.port)) for _ in range(20)]
    successor(master, "worker 0", pid)
    for opened in waiting:
        opened.sendall(b"PING\r\n")
        assert opened.recv(100) == b"+PONG\r\n"
        opened.close()


def test_children_end_with_the_supervisor(master: Master) -> None:
    children = list(master.children().values())
    assert len(children) == WORKERS + 3
    assert master.process is not None
    master.process.kill()
    _, alive = psutil.wait_procs(children, timeout=5)
    assert alive == []


def test_titles(master: Master) -> None:
    assert set(master.children()) == {"writer", "reading", "auth", "worker 0", "worker 1"}
    assert master.process is not None
    title = " ".join(psutil.Process(master.process.pid).cmdline()).strip()
    assert title == "csp confserv: supervisor"


@pytest.mark.long
def test_the_password_is_in_no_command_line(master: Master) -> None:
    for child in master.children().values():
        assert PASSWORD not in " ".join(child.cmdline())


@pytest.mark.long
def test_a_stopped_worker_that_holds_back_reclaim_is_killed(master: Master) -> None:
    clients = connections_by_worker(master)
    worker, other = (master.child(f"worker {slot}").pid for slot in range(WORKERS))
    instance = next(path.name for path in SHM.glob(f"csp-*-{master.port}-*-control"))
    control = Control(segment.open_control(instance.removeprefix("csp-").removesuffix("-control")))
    with hammering(clients[worker]):

        def is_stopped_in_a_turn() -> bool:
            os.kill(worker, signal.SIGSTOP)
            wait_until(lambda: psutil.Process(worker).status() == psutil.STATUS_STOPPED)
            if control.slot(0)["seen"]:
                return True
            os.kill(worker, signal.SIGCONT)
            return False

        wait_until(is_stopped_in_a_turn, within=20, what="a stop within a turn")
        name = f"skill {time.monotonic_ns()}"
        for number in range(3):  # each publication goes on beyond what the stopped worker has seen
            json = f'{{"name":"{name} {number}","tenantDBID":1}}'
            clients[other].execute_command("CFG.CREATE", "CfgSkill", json)
        successor(master, "worker 0", worker)
    assert "holds up the reclaiming of memory" in master.log_text()
    assert master.child("worker 1").pid == other


@contextmanager
def hammering(client: redis.Redis) -> Iterator[None]:
    """Sends requests without a pause, so that its worker is always in a turn."""
    ended = threading.Event()
    connection = client.connection
    assert connection is not None
    requests = connection.pack_commands([("GET", KEY)] * 2_000)

    def hammer() -> None:
        while not ended.is_set():
            try:
                connection.send_packed_command(requests)
                for _ in range(2_000):
                    connection.read_response()
            except redis.RedisError:
                return

    thread = threading.Thread(target=hammer)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@pytest.mark.long
def test_a_stopped_worker_that_holds_up_nobody_is_left_alone(master: Master) -> None:
    pid = master.child("worker 0").pid
    os.kill(pid, signal.SIGSTOP)
    with pytest.raises(AssertionError):
        wait_until(lambda: "51103" in master.log_text(), within=SILENCE_SECONDS_MAX + 3)
    os.kill(pid, signal.SIGCONT)
    assert master.child("worker 0").pid == pid


@pytest.mark.long
def test_a_paused_machine_gets_nobody_killed(master: Master) -> None:
    assert master.process is not None
    everybody = [psutil.Process(master.process.pid), *master.children().values()]
    for process in everybody:
        process.suspend()
    with pytest.raises(AssertionError):
        wait_until(lambda: False, within=SILENCE_SECONDS_MAX + 2)
    for process in everybody:
        process.resume()
    with pytest.raises(AssertionError):
        wait_until(lambda: "51103" in master.log_text(), within=3)
    assert {child.pid for child in master.children().values()} == {p.pid for p in everybody[1:]}
