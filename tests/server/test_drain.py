"""A drain of a real server: clients are led away, and lose nothing and are told nothing twice."""

from __future__ import annotations

import dataclasses
import json
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig
from redis.retry import Retry

from csp._fastpath import Control
from csp.client import Change, Client, Credentials, Gap
from csp.client.subscription import Event
from csp.process.standing import show, shown
from csp.store import segment
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import PASSWORD, Master, Proxy
from tests.server.directory_helpers import set_options
from tests.server.hot_stage import Raw

SUBSCRIBERS = 12
DRAIN_SECONDS = 2
STOP_DRAIN_SECONDS = 6


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("drain")).start() as server:
        yield server


@pytest.fixture(scope="module")
def members(
    tmp_path_factory: pytest.TempPathFactory, master: Master
) -> Iterator[tuple[Proxy, Proxy]]:
    """Two proxies of it."""
    folder = tmp_path_factory.mktemp("members")
    with (
        Proxy(folder, master, app="member-1").start() as first,
        Proxy(folder, master, app="member-2").start() as second,
    ):
        yield first, second


def client_of(*servers: Proxy) -> Client:
    addresses = [server.listen for server in servers]
    return Client(addresses, Credentials("default", PASSWORD), reconnect_seconds=20)


class Hearer(threading.Thread):
    """Notes what one subscription is told, until the last change."""

    def __init__(self, servers: tuple[Proxy, Proxy], last: str) -> None:
        super().__init__()
        self.client = client_of(*servers)
        self.subscription = self.client.subscribe("cfg:CfgSkill")
        self.heard: list[Event] = []
        self._last = last
        self.subscription.__enter__()
        self.start()

    def run(self) -> None:
        while not self._is_last(self.heard[-1:]):
            event = self.subscription.next(30)
            assert event is not None, "nothing was told any more"
            self.heard.append(event)

    def _is_last(self, events: list[Event]) -> bool:
        return any(
            isinstance(one, Change) and (one.object or {}).get("name") == self._last
            for one in events
        )


def test_no_change_is_missed_or_told_twice_over_a_drain(
    master: Master, members: tuple[Proxy, Proxy]
) -> None:
    first, second = members
    hearers = [Hearer(members, "the last") for _ in range(SUBSCRIBERS)]
    made: list[int] = []

    def change(name: str) -> None:
        with master.client() as client:
            skill = json.dumps({"name": name, "tenantDBID": 1})
            made.append(int(client.execute_command("CFG.CREATE", "CfgSkill", skill)[0]))

    done = first.cli("drain", "--over", str(DRAIN_SECONDS))
    assert done.returncode == 0, done.stderr
    number = 0
    while any(hearer.client.session.moves == 0 for hearer in hearers):
        number += 1
        assert number < 5_000, "they do not move"
        change(f"drained-{number}")
    change("the last")
    for hearer in hearers:
        hearer.join(30)
        changes = [one.revision for one in hearer.heard if isinstance(one, Change)]
        assert changes == [one for one in made if one >= changes[0]]
        assert len(changes) == len(made)
        assert not any(isinstance(one, Gap) for one in hearer.heard)
        assert hearer.client.session.rereads == 0
        assert hearer.subscription._client.address.port == second.port
        hearer.subscription.close()
    assert status_of(first)["draining"] == 1
    assert "LOADING draining" in str(Raw(first.port).call("PING"))
    assert first.cli("drain", "--end").returncode == 0
    assert Raw(first.port).call("PING") == "PONG"


def status_of(server: Proxy) -> dict[str, object]:
    with server.client(protocol=3) as client:
        found: dict[str, object] = client.execute_command("CFG.STATUS")
    return found


def test_a_client_of_redis_moves_and_no_request_fails(members: tuple[Proxy, Proxy]) -> None:
    """redis-py goes to the address that it is told, and keeps the port that it knows."""
    first, second = members
    other = "127.0.0.2"
    link = CuttingLink(second.port, at=(other, first.port))
    control = Control(segment.open_control(str(status_of(first)["instance"])))
    before = shown(control)
    show(control, dataclasses.replace(before, peer_address=f"{other}:{first.port}"))
    with first.client(
        protocol=3,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=True),
    ) as client:
        assert client.execute_command("CFG.STATUS")["application"] == "member-1"
        assert first.cli("drain", "--over", str(DRAIN_SECONDS)).returncode == 0
        began = time.monotonic()
        while client.execute_command("CFG.STATUS")["application"] != "member-2":
            assert time.monotonic() - began < DRAIN_SECONDS
    assert first.cli("drain", "--end").returncode == 0
    show(control, before)
    link.close()


@pytest.mark.long
def test_a_stop_waits_for_its_clients_and_no_longer(
    master: Master, tmp_path: Path, members: tuple[Proxy, Proxy]
) -> None:
    proxy = Proxy(tmp_path, master, app="stopping")
    proxy.start().stop()
    set_options(master, proxy, {"csp": {"drain-timeout": str(STOP_DRAIN_SECONDS)}})
    with proxy.start(), client_of(proxy, members[1]) as client:
        with client.subscribe("cfg") as changes:
            assert proxy.process is not None
            began = time.monotonic()
            proxy.process.send_signal(signal.SIGTERM)
            while client.session.moves == 0:
                changes.next(1)
                assert time.monotonic() - began < STOP_DRAIN_SECONDS
            assert changes._client.address.port == members[1].port
        client.close()
        assert proxy.process.wait(30) == 0
        assert time.monotonic() - began < STOP_DRAIN_SECONDS


def test_an_administrator_alone_may_drain(members: tuple[Proxy, Proxy], master: Master) -> None:
    with members[0].client() as client, pytest.raises(redis.ResponseError, match="OVER takes"):
        client.execute_command("CFG.DRAIN", "OVER", 3_601)
