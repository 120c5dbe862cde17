"""CLIENT LIST, CLIENT KILL and PUBSUB reach all workers' connections; none waits for another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis

from tests.neighbours.server import Master
from tests.neighbours.waiting import wait_until

CONNECTIONS = 24
WORKERS = 3


@pytest.fixture
def master(tmp_path: Path) -> Iterator[Master]:
    with Master(tmp_path, workers=WORKERS).start() as master:
        yield master


def connected(master: Master, stack: ExitStack, name: str) -> list[redis.Redis]:
    found = []
    for _ in range(CONNECTIONS):
        client = master.client(single_connection_client=True, client_name=name, retry=None)
        found.append(stack.enter_context(client))
    return found


def named(client: redis.Redis, name: str) -> list[dict[str, str]]:
    rows: list[dict[str, str]] = client.client_list()
    return [row for row in rows if row["name"] == name]


def test_kill_closes_on_every_worker_and_counts_all(master: Master) -> None:
    with ExitStack() as stack:
        victims = connected(master, stack, "victim")
        admin = stack.enter_context(master.client(single_connection_client=True))
        rows = named(admin, "victim")
        assert len(rows) == CONNECTIONS
        assert len({row["worker"] for row in rows}) > 1
        by_id = rows[0]
        assert admin.client_kill_filter(_id=by_id["id"]) == 1
        assert admin.execute_command("CLIENT KILL", rows[1]["addr"]) in ("OK", True)
        wait_until(lambda: len(named(admin, "victim")) == CONNECTIONS - 2, 5, "two are gone")
        assert admin.client_kill_filter(user="default", skipme=True) == CONNECTIONS - 2
        wait_until(lambda: named(admin, "victim") == [], 5, "all are gone")
        for victim in victims:
            with pytest.raises(redis.ConnectionError):
                victim.ping()
        assert admin.ping()


def test_a_stopped_worker_costs_a_second_and_nobody_else_anything(master: Master) -> None:
    with ExitStack() as stack:
        connected(master, stack, "victim")
        admin = stack.enter_context(master.client(single_connection_client=True))
        rows = named(admin, "victim")
        (mine,) = [row["worker"] for row in rows if row["id"] == rows[0]["id"]]
        own = next(
            row["worker"] for row in admin.client_list() if row["id"] == str(admin.client_id())
        )
        stopped = next(str(slot) for slot in range(WORKERS) if str(slot) not in (own,))
        there = sum(row["worker"] == stopped for row in rows)
        assert mine
        child = master.child(f"worker {stopped}")
        child.suspend()
        try:
            began = time.monotonic()
            killed = admin.client_kill_filter(user="default", skipme=True)
            assert killed == CONNECTIONS - there
            assert 0.9 < time.monotonic() - began < 3
        finally:
            child.resume()
        # It was asked, and does it when it can.
        wait_until(lambda: named(admin, "victim") == [], 10, "all are gone")


def test_pubsub_tells_what_is_subscribed_to_on_every_worker(master: Master) -> None:
    with ExitStack() as stack:
        asks = stack.enter_context(master.client())
        for number, client in enumerate(connected(master, stack, "subscriber")):
            subscriptions = stack.enter_context(client.pubsub())
            subscriptions.subscribe("cfg", f"cfg:CfgSkill:{number}", "odd ÿ spelling")
            subscriptions.psubscribe("cfg@*", f"cfg:CfgPlace:{number}?")
            for _ in range(5):
                assert subscriptions.get_message(timeout=5) is not None
        rows = [row for row in named(asks, "subscriber") if row["cmd"] == "psubscribe"]
        assert len(rows) == CONNECTIONS  # known to the other workers at once
        assert len({row["worker"] for row in rows}) > 1
        own = sorted(f"cfg:CfgSkill:{number}" for number in range(CONNECTIONS))
        assert asks.pubsub_channels() == sorted(["cfg", *own, "odd ÿ spelling"])
        assert asks.pubsub_channels("cfg:CfgSkill:1?") == own[2:12]
        assert asks.pubsub_channels("cfg@*") == []  # a pattern is no channel
        counts = asks.pubsub_numsub("cfg", "cfg:CfgSkill:3", "cfg:CfgSkill:99", "odd ÿ spelling")
        assert counts == [
            ("cfg", CONNECTIONS),
            ("cfg:CfgSkill:3", 1),
            ("cfg:CfgSkill:99", 0),
            ("odd ÿ spelling", CONNECTIONS),
        ]
        assert asks.pubsub_numpat() == 1 + CONNECTIONS
    with master.client() as asks:
        wait_until(
            lambda: asks.pubsub_channels() == [] and not asks.pubsub_numpat(), 5, "all ended"
        )
