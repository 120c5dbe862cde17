"""Signing in at a whole server: right, wrong, after a change of password, with auth away."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from csp.resp import request
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until

CLIENTS = 200


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("auth"), workers=2).start() as server:
        yield server


def connect(master: Master, user: str | None, password: str | None) -> redis.Redis:
    return redis.Redis(
        "127.0.0.1", master.port, username=user, password=password, socket_timeout=20
    )


def test_the_right_password_with_and_without_a_user(master: Master) -> None:
    assert connect(master, "default", PASSWORD).execute_command("DBSIZE") > 0
    assert connect(master, None, PASSWORD).execute_command("DBSIZE") > 0


@pytest.mark.parametrize(
    ("user", "password"), [("default", "wrong"), ("default", ""), ("nobody", PASSWORD)]
)
def test_wrong_sign_ins(master: Master, user: str, password: str) -> None:
    with plain(master) as connection:
        assert ask(connection, "AUTH", user, password).startswith(b"-WRONGPASS ")
        assert ask(connection, "GET", "CfgTenant:1").startswith(b"-NOAUTH ")
        assert ask(connection, "AUTH", "default", PASSWORD) == b"+OK\r\n"


def test_without_a_password_only_ping_is_answered(master: Master) -> None:
    with plain(master) as connection:
        assert ask(connection, "PING") == b"+PONG\r\n"
        assert ask(connection, "GET", "CfgTenant:1").startswith(b"-NOAUTH ")


def plain(master: Master) -> socket.socket:
    """A connection that no library has sent anything on."""
    return socket.create_connection(("127.0.0.1", master.port), timeout=20)


def ask(connection: socket.socket, *arguments: str) -> bytes:
    """The short reply to one command."""
    connection.sendall(request(*arguments))
    return connection.recv(4096)


def test_many_sign_in_at_once(master: Master) -> None:
    problems: list[Exception] = []

    def sign_in() -> None:
        try:
            connect(master, "default", PASSWORD).execute_command("DBSIZE")
        except redis.RedisError as error:
            problems.append(error)

    threads = [threading.Thread(target=sign_in) for _ in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []


def test_a_changed_password_ends_the_old_one_at_once(tmp_path: Path) -> None:
    with Master(tmp_path).start() as server:
        with server.client() as client:
            delta = '{"changed":{"password":"new one"}}'
            assert client.execute_command("CFG.UPDATE", "CfgPerson", 100, delta)
        with pytest.raises(redis.RedisError, match=r"WRONGPASS|invalid"):
            connect(server, "default", PASSWORD).execute_command("DBSIZE")
        assert connect(server, "default", "new one").execute_command("DBSIZE") > 0


def test_connected_clients_do_not_notice_that_auth_is_away(tmp_path: Path) -> None:
    with Master(tmp_path).start() as server, server.client() as client:
        client.execute_command("DBSIZE")
        server.child("auth").send_signal(signal.SIGKILL)
        assert client.execute_command("DBSIZE") > 0

        def can_sign_in() -> bool:
            try:
                return bool(connect(server, "default", PASSWORD).execute_command("DBSIZE"))
            except redis.RedisError:
                return False

        wait_until(can_sign_in, within=10)
