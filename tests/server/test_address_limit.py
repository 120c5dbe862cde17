"""Connections of one address are counted over all workers, those of a worker that died no more."""

from __future__ import annotations

import contextlib
import signal
import socket
from collections.abc import Iterator

import pytest
import redis

from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until

WORKERS = 2
MOST = 6
OPTION = "max-connections-per-address"
REFUSAL = b"-ERR max number of clients of this address reached\r\n"
HERE, THERE = "127.0.0.5", "127.0.0.6"  # addresses of this machine: two neighbours


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("limited"), workers=WORKERS) as master:
        option(master, OPTION, str(MOST))
        # The test's own clients, and the CLI's, come from this one.
        option(master, "balancer-addresses", "127.0.0.1/32")
        wait_until(lambda: shown(master, OPTION) == {str(MOST)}, 10, "all workers have it")
        listed = {"127.0.0.1/32"}
        wait_until(lambda: shown(master, "balancer-addresses") == listed, 10, "and its exception")
        yield master


def option(master: Master, name: str, *value: str) -> None:
    done = master.cli("option", f"CfgApplication/name={master.app}", "csp", name, *value)
    assert done.returncode == 0, done.stderr


def shown(master: Master, name: str) -> set[str]:
    """What the workers say an option is."""
    seen: dict[str, str] = {}
    while len(seen) < WORKERS:
        with master.client(single_connection_client=True) as one:
            seen[one.client_info()["worker"]] = one.config_get(name)[name]
    return set(seen.values())


def connect(master: Master, address: str) -> tuple[socket.socket, bytes]:
    """A connection from an address, and what it is told."""
    one = socket.create_connection(("127.0.0.1", master.port), 5, source_address=(address, 0))
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        one.sendall(b"PING\r\n")
    try:
        return one, one.recv(100)
    except ConnectionResetError:
        return one, b""


@contextlib.contextmanager
def filled(master: Master, address: str) -> Iterator[list[socket.socket]]:
    """As many connections of an address as fit."""
    held: list[socket.socket] = []
    try:
        while len(held) < 10 * MOST:
            one, told = connect(master, address)
            if told != b"+PONG\r\n":
                assert told in (REFUSAL, b"")
                one.close()
                break
            held.append(one)
        yield held
    finally:
        for one in held:
            one.close()


def fits_again(master: Master, address: str) -> bool:
    with filled(master, address) as held:
        return len(held) == MOST


def test_an_address_has_so_many_connections_over_all_workers(master: Master) -> None:
    wait_until(lambda: fits_again(master, HERE), 10, "none is left of a test before")
    with filled(master, HERE) as held, filled(master, THERE) as others:
        assert (len(held), len(others)) == (MOST, MOST)
        with master.client() as one:
            rows = one.client_list()
        workers = {row["worker"] for row in rows if row["addr"].startswith(HERE)}
        assert sum(row["addr"].startswith(HERE) for row in rows) == MOST
        assert workers <= {str(slot) for slot in range(WORKERS)}
        for _ in range(20):  # whichever worker it comes to
            one_more, told = connect(master, HERE)
            assert told in (REFUSAL, b"")
            one_more.close()
        assert all(still_answers(one) for one in (*held, *others))
        assert len({row["worker"] for row in rows}) == WORKERS


def still_answers(one: socket.socket) -> bool:
    one.sendall(b"PING\r\n")
    return one.recv(100) == b"+PONG\r\n"


def test_listed_balancers_have_any_number(master: Master) -> None:
    with filled(master, "127.0.0.1") as held:
        assert len(held) == 10 * MOST


def test_those_of_a_worker_that_was_killed_count_no_more(master: Master) -> None:
    wait_until(lambda: fits_again(master, HERE), 10, "none is left of a test before")
    for slot in range(WORKERS):
        with filled(master, HERE) as held:
            assert len(held) == MOST
            killed = master.child(f"worker {slot}")
            killed.send_signal(signal.SIGKILL)
            killed.wait(10)
            assert master.child(f"worker {slot}").is_running()
            wait_until(lambda: has_both_workers(master), 15, "it serves")
            left = sum(is_open(one) for one in held)
            with filled(master, HERE) as more:
                assert left + len(more) == MOST
        wait_until(lambda: fits_again(master, HERE), 10, "all are counted off")


def has_both_workers(master: Master) -> bool:
    """Whether the new one takes connections, with the options in force."""
    seen = set()
    for _ in range(20):
        try:
            with master.client(single_connection_client=True, retry=None) as one:
                seen.add((one.client_info()["worker"], one.config_get(OPTION)[OPTION]))
        except (redis.ConnectionError, redis.TimeoutError, redis.BusyLoadingError):
            return False
    return seen == {(str(slot), str(MOST)) for slot in range(WORKERS)}


def is_open(one: socket.socket) -> bool:
    try:
        return still_answers(one)
    except (BrokenPipeError, ConnectionResetError):
        return False


def test_an_option_that_is_no_list_of_networks_is_an_alarm(master: Master) -> None:
    option(master, "balancer-addresses", "127.0.0.1/8")
    try:
        wait_until(lambda: "has host bits set" in master.log_text(), 10, "it is told")
        with redis.Redis(port=master.port, username="default", password=PASSWORD) as one:
            assert one.ping()
    finally:
        option(master, "balancer-addresses", "127.0.0.1/32")
