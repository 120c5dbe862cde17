"""csp.client where calls end early: forks, silence, cancelled waits, closing, mistakes."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from csp.client import (
    Address,
    AsyncClient,
    Change,
    Client,
    ConnectionLost,
    Credentials,
    NotApplied,
)
from csp.errors import BadClass, BadValue, CspError, UnknownOutcome
from tests.neighbours.either_client import KINDS, Blocking, Clients
from tests.neighbours.server import PASSWORD, Master
from tests.neighbours.waiting import wait_until

CREDENTIALS = Credentials("default", PASSWORD)
OBJECTS = 40


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("ends")) as server:
        with client_of(server) as client:
            for number in range(OBJECTS):
                client.create("CfgSkill", {"name": f"s{number}", "tenantDBID": 1})
        yield server


@pytest.fixture(params=KINDS)
def make(request: pytest.FixtureRequest) -> Iterator[Callable[..., Any]]:
    clients = Clients(request.param)
    yield clients
    clients.close()


def address_of(master: Master) -> Address:
    return Address("127.0.0.1", master.port)


def client_of(master: Master, **options: Any) -> Client:
    return Client(address_of(master), CREDENTIALS, **options)


class Silent:
    """A peer that takes connections, passes on so many bytes, and then says nothing any more."""

    def __init__(self, port: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._target = port
        self.is_silent = threading.Event()
        self._open: list[socket.socket] = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            self._open += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pass_on, args=pair, daemon=True).start()

    def _pass_on(self, source: socket.socket, target: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                if not self.is_silent.is_set():
                    target.sendall(data)
        except OSError:
            pass

    def close(self) -> None:
        for one in (self._listener, *self._open):
            one.close()


@pytest.fixture
def silent(master: Master) -> Iterator[Silent]:
    silent = Silent(master.port)
    yield silent
    silent.close()


# ---------------------------------------------------------------------- fork


def in_child(work: Callable[[], object], *users: Any) -> int:
    """Forks; the child does it and ends with 0 if it is true. The child's number.

    A loop of asyncio can't be used in two processes: the users get one of their own.
    """
    pid = os.fork()
    if pid:
        return pid
    if isinstance(users[0], Blocking):
        loop = asyncio.new_event_loop()
        for user in users:
            user._loop = loop
    code = 1
    try:
        code = 0 if work() else 2
    finally:
        os._exit(code)


def ended_well(pid: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0


def asks(client: Any, first: int) -> bool:
    """Whether each object that is asked for is the one that comes."""
    wanted = [first + number % 20 for number in range(200)]
    return [(client.get("CfgSkill", dbid) or {}).get("DBID") for dbid in wanted] == wanted


def test_a_forked_client_has_a_connection_of_its_own(
    master: Master, make: Callable[..., Any]
) -> None:
    client = make(address_of(master), CREDENTIALS)
    assert client.count("CfgSkill") >= OBJECTS

    def child() -> bool:
        created = client.create("CfgSkill", {"name": "of the child", "tenantDBID": 1})
        return asks(client, 121) and client.delete("CfgSkill", created.dbid) > 0

    pids = [in_child(child, client)]
    assert asks(client, 101)
    assert all(map(ended_well, pids))
    assert asks(client, 101)  # what the child did to its copies did nothing to ours


def test_a_forked_child_that_goes_leaves_the_parents_connection(
    master: Master, make: Callable[..., Any]
) -> None:
    client = make(address_of(master), CREDENTIALS, reconnect_seconds=0)
    number = client.call("CLIENT", "ID")
    assert ended_well(in_child(lambda: client.close() or client.count("CfgSkill"), client))
    assert client.call("CLIENT", "ID") == number


def test_a_forked_subscription_goes_on_where_it_was(
    master: Master, make: Callable[..., Any]
) -> None:
    client = make(address_of(master), CREDENTIALS)
    with client.subscribe("cfg:CfgSkill") as changes:
        assert changes.next(0.05) is None

        def child() -> bool:
            client.create("CfgSkill", {"name": "forked", "tenantDBID": 1})
            return isinstance(changes.next(10), Change)

        assert ended_well(in_child(child, client, changes))
        event = changes.next(10)
        assert isinstance(event, Change)
        assert event.object is not None
        assert event.object["name"] == "forked"
        client.delete("CfgSkill", event.dbid)


# ---------------------------------------------------------------------- silence


def test_a_read_ends_when_the_peer_is_silent(silent: Silent, make: Callable[..., Any]) -> None:
    client = make(("127.0.0.1", silent.port), CREDENTIALS, timeout=0.3, reconnect_seconds=0.1)
    assert client.count("CfgSkill") >= OBJECTS
    silent.is_silent.set()
    began = time.monotonic()
    with pytest.raises(ConnectionLost, match=r"gave no reply for 0\.3 s"):
        client.count("CfgSkill")
    assert time.monotonic() - began < 5
    with pytest.raises(ConnectionLost):
        client.pipeline([("PING",)])
    silent.is_silent.clear()
    assert client.count("CfgSkill") >= OBJECTS


def test_a_write_is_asked_after_when_the_peer_is_silent(
    master: Master, silent: Silent, make: Callable[..., Any]
) -> None:
    options = {"timeout": 0.3, "reconnect_seconds": 5.0}
    client = make(("127.0.0.1", silent.port), CREDENTIALS, outcome_seconds=0.5, **options)
    assert client.count("CfgSkill") >= OBJECTS
    silent.is_silent.set()
    with pytest.raises(UnknownOutcome, match=r"ask CFG\.OUTCOME"):
        client.create("CfgSkill", {"name": "silent", "tenantDBID": 1})
    threading.Timer(1.0, silent.is_silent.clear).start()
    patient = make(("127.0.0.1", silent.port), CREDENTIALS, outcome_seconds=20.0, **options)
    silent.is_silent.clear()
    assert patient.count("CfgSkill") >= OBJECTS
    silent.is_silent.set()
    threading.Timer(1.0, silent.is_silent.clear).start()
    with pytest.raises(NotApplied):
        patient.create(
            "CfgSkill", {"name": "silent", "tenantDBID": 1}, write_id=os.urandom(8).hex()
        )
    created = patient.create("CfgSkill", {"name": "silent", "tenantDBID": 1})
    patient.delete("CfgSkill", created.dbid)


def test_the_kernel_watches_the_connection(master: Master) -> None:
    with client_of(master) as client:
        connection = client.opened()
        assert connection._socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    for wrong in (0, -1, float("nan")):
        with pytest.raises(ValueError, match="timeout is a number of seconds or None"):
            client_of(master, timeout=wrong)
    assert client_of(master, timeout=None).count("CfgSkill") >= OBJECTS


# ---------------------------------------------------------------------- waits that are broken off


def test_a_cancelled_wait_loses_no_change(master: Master) -> None:
    async def run() -> None:
        async with (
            AsyncClient(address_of(master), CREDENTIALS) as client,
            client.subscribe("cfg:CfgSkill") as changes,
        ):
            for turn in range(30):
                waiting = asyncio.ensure_future(changes.next())
                for _ in range(turn % 5):
                    await asyncio.sleep(0)
                waiting.cancel()
                await asyncio.wait([waiting])
                with pytest.raises(TimeoutError):
                    await asyncio.wait_for(changes.next(), 0.002)
                created = await client.create("CfgSkill", {"name": f"w{turn}", "tenantDBID": 1})
                event = await changes.next(10)
                assert isinstance(event, Change), event
                assert event.dbid == created.dbid
                await client.delete("CfgSkill", created.dbid)
                assert isinstance(await changes.next(10), Change)

    asyncio.run(run())


def test_an_interrupted_wait_loses_no_change(master: Master) -> None:
    with client_of(master) as client, client.subscribe("cfg:CfgSkill") as changes:
        for turn in range(5):
            threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
            with pytest.raises(KeyboardInterrupt):
                changes.next(10)
            created = client.create("CfgSkill", {"name": f"i{turn}", "tenantDBID": 1})
            event = changes.next(10)
            assert isinstance(event, Change), event
            assert event.dbid == created.dbid
            client.delete("CfgSkill", created.dbid)
            assert isinstance(changes.next(10), Change)


def test_a_lost_link_loses_no_change_even_if_the_wait_for_it_was_cancelled(master: Master) -> None:
    async def run() -> None:
        async with (
            AsyncClient(address_of(master), CREDENTIALS) as client,
            client.subscribe("cfg:CfgSkill") as changes,
        ):
            for turn in range(10):
                changes._client._end()  # as a lost link does
                for turns in range(turn, 12):
                    waiting = asyncio.ensure_future(changes.next())
                    for _ in range(turns):
                        await asyncio.sleep(0)
                    waiting.cancel()
                    await asyncio.wait([waiting])
                    assert waiting.cancelled()
                created = await client.create("CfgSkill", {"name": "lost", "tenantDBID": 1})
                event = await changes.next(10)
                assert isinstance(event, Change), event
                assert event.dbid == created.dbid
                await client.delete("CfgSkill", created.dbid)
                assert isinstance(await changes.next(10), Change)

    asyncio.run(run())


# ---------------------------------------------------------------------- the end of a subscription


def test_another_thread_ends_a_subscription(master: Master) -> None:
    with client_of(master) as client, client.subscribe("cfg:CfgSkill") as changes:
        ended: list[object] = []

        def follow() -> None:
            ended.extend(changes)
            ended.append("through")

        thread = threading.Thread(target=follow)
        thread.start()
        wait_until(changes._client._is_waiting, 10, "it waits")
        changes.close()
        thread.join(10)
        assert ended == ["through"]
        with pytest.raises(ConnectionLost, match="the subscription is closed"):
            changes.next(1)
        assert list(changes) == []


def test_another_task_ends_a_subscription(master: Master) -> None:
    async def run() -> None:
        async with (
            AsyncClient(address_of(master), CREDENTIALS) as client,
            client.subscribe("cfg:CfgSkill") as changes,
        ):
            waiting = asyncio.ensure_future(changes.next())
            while not changes._client._is_waiting():
                await asyncio.sleep(0)
            changes.close()
            with pytest.raises(ConnectionLost, match="the subscription is closed"):
                await waiting
            assert [event async for event in changes] == []

    asyncio.run(run())


# ---------------------------------------------------------------------- mistakes, in words


def test_mistakes_are_told_in_words(master: Master, make: Callable[..., Any]) -> None:
    client = make(f"127.0.0.1:{master.port}", CREDENTIALS)
    for word in ("SUBSCRIBE", "psubscribe", b"UNSUBSCRIBE"):
        with pytest.raises(ValueError, match=r"has no reply; use subscribe\(\)"):
            client.call(word, "cfg")
        with pytest.raises(ValueError, match=r"use subscribe\(\)"):
            client.pipeline([("PING",), (word, "cfg")])
    assert client.call("PING") in (b"PONG", "PONG")
    with pytest.raises(TypeError, match=r"fields takes a list of names, such as \['userName'\]"):
        list(client.read("CfgPerson", fields="userName"))
    with pytest.raises(BadClass, match="CfgPersn"):
        client.get("CfgPersn", 105)
    assert client.get("CfgPerson", 105_000) is None
    with pytest.raises(TypeError, match=r"filter user_name takes text.*leave the filter out"):
        client.count("CfgPerson", user_name=None)
    with pytest.raises(TypeError, match=r"filter name takes text, a number or a flag; not 1\.5"):
        client.find("CfgSkill", name=1.5)
    with pytest.raises(ValueError, match="level: nan has no JSON form"):
        client.create("CfgSkill", {"name": "x", "level": float("nan")})
    with pytest.raises(ValueError, match=r"changed\.a\[0\]: inf has no JSON form"):
        client.update("CfgSkill", 101, {"changed": {"a": [float("inf")]}})
    client.call("MULTI")
    with pytest.raises(CspError, match="is a MULTI open here"):
        client.get("CfgSkill", 101)
    client.call("DISCARD")


def test_unknown_fields_are_refused(master: Master, make: Callable[..., Any]) -> None:
    client = make([f"127.0.0.1:{master.port}"], CREDENTIALS)
    with pytest.raises(BadValue, match="CfgPerson has no attribute usrName to show"):
        list(client.read("CfgPerson", fields=("userName", "usrName")))
    (found,) = client.read("CfgPerson", fields=("userName", "folderDBID", "DBID"), limit=1)
    assert set(found) == {"class", "DBID", "revision", "folderDBID", "userName"}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ("127.0.0.1", "'127.0.0.1' is not HOST:PORT"),
        ("h:x", "the port is a number"),
        (5, "an address is Address"),
        ([], "needs the address of a server"),
        ([("h", "1")], "an address is Address"),
    ],
)
def test_addresses(wrong: Any, words: str) -> None:
    with pytest.raises((TypeError, ValueError), match=words):
        Client(wrong, CREDENTIALS)
