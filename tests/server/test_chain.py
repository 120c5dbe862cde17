"""A proxy behind a proxy, in real servers: the root's age and lag, strong reads, circles."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import redis
from redis.exceptions import MasterDownError

from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import create_skills, set_writable, status, wait_level


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("chain")) as master:
        yield master


@pytest.fixture(scope="module")
def link(master: Master) -> Iterator[CuttingLink]:
    """Between the middle and the master."""
    link = CuttingLink(master.port)
    yield link
    link.close()


@pytest.fixture(scope="module")
def middle(master: Master, link: CuttingLink) -> Iterator[Proxy]:
    with Proxy(master.folder, link.port) as middle:
        set_writable(master, middle)
        yield middle


@pytest.fixture(scope="module")
def below(master: Master, middle: Proxy) -> Iterator[Proxy]:
    with Proxy(master.folder, middle, app="proxy2") as below:
        yield below


@pytest.fixture(autouse=True)
def _whole(master: Master, link: CuttingLink, middle: Proxy, below: Proxy) -> Iterator[None]:
    yield
    link.refuses = False
    for server in (middle, below):
        wait_until(lambda at=server: status(at)["link"] == "up", 20, "the chain is whole")
    wait_level(master, below)


def cut(link: CuttingLink, middle: Proxy) -> None:
    """Separates the middle from the master until the test's end."""
    link.refuses = True
    link.cut()
    wait_until(lambda: status(middle)["link"] == "down", 10, "the middle has lost it")


def next_notice(changes: Any) -> dict[str, Any]:
    message = changes.get_message(ignore_subscribe_messages=True, timeout=10)
    while message is None:
        message = changes.get_message(ignore_subscribe_messages=True, timeout=10)
    notice: dict[str, Any] = orjson.loads(message["data"])
    return notice


def test_a_lost_root_is_told_through_the_chain(
    link: CuttingLink, middle: Proxy, below: Proxy
) -> None:
    with below.client() as client, client.pubsub() as changes:
        changes.subscribe("cfg.notice")
        assert changes.get_message(timeout=5)["type"] == "subscribe"
        cut(link, middle)
        stale = next_notice(changes)
        assert stale["op"] == "stale"
        assert 0 <= stale["age"] <= int(status(below)["age"])
        assert stale["lag"] == 0
        assert status(below)["link"] == "stale"
        assert client.info("csp")["link"] == "stale"
        assert client.info("replication")["role"] == "master"  # it serves what it has
        age = int(status(below)["age"])
        wait_until(lambda: int(status(below)["age"]) > age + 1_000, 10, "the age grows")
        with pytest.raises(redis.ResponseError, match=r"^STALE "):
            client.execute_command("CFG.READ", "CfgSkill", "MAXAGE", 500)
        link.refuses = False
        fresh = next_notice(changes)
        assert fresh["op"] == "fresh"
        assert 0 <= fresh["age"] < 60_000
        wait_until(lambda: int(status(below)["age"]) < 3_000, 10, "it is heard again")
        assert client.execute_command("CFG.READ", "CfgSkill", "MAXAGE", 5_000)


def test_a_strong_read_asks_the_root_through_the_chain(master: Master, below: Proxy) -> None:
    with below.client() as client:
        for number in range(20):
            (dbid,) = create_skills(master, [f"strong {number}"])
            revision = client.execute_command("CFG.SYNC")
            assert orjson.loads(client.get(f"CfgSkill:{dbid}"))["revision"] <= revision


def test_minrev_waits_through_the_chain(master: Master, below: Proxy) -> None:
    with master.client() as author, below.client() as client:
        for number in range(20):
            body = orjson.dumps({"tenantDBID": 1, "name": f"minrev {number}"})
            revision, dbid = author.execute_command("CFG.CREATE", "CfgSkill", body)
            words = ("FILTER", "dbid", dbid, "MINREV", revision)
            seen, _, found = client.execute_command("CFG.READ", "CfgSkill", *words)
            assert seen >= revision
            assert len(found) == 1


def test_a_strong_read_without_the_root_is_an_error(
    link: CuttingLink, middle: Proxy, below: Proxy
) -> None:
    cut(link, middle)
    with below.client() as client, pytest.raises(MasterDownError, match=f"127.0.0.1:{link.port}"):
        client.execute_command("CFG.SYNC")


def test_a_strong_read_of_a_root_that_hangs_ends_in_time(master: Master, below: Proxy) -> None:
    writer = master.child("writer")
    writer.suspend()
    try:
        with below.client() as client, pytest.raises(redis.ResponseError, match=r"^STALE .*master"):
            client.execute_command("CFG.SYNC", "TIMEOUT", 300)
    finally:
        writer.resume()


def test_the_lag_is_that_behind_the_root(master: Master, middle: Proxy, below: Proxy) -> None:
    """The one in the middle knows of it by what it is told, also while it is behind itself."""
    wait_level(master, below)
    revision = int(status(master)["revision"])
    wait_until(lambda: int(status(below)["master_revision"]) == revision, 10, "it is told")
    writer = middle.child("writer")
    writer.suspend()
    try:
        create_skills(master, ["lag"])
        assert int(status(below)["revision"]) == revision
    finally:
        writer.resume()
    wait_until(lambda: int(status(below)["master_revision"]) > revision, 10, "it is told of more")


def test_a_circle_that_arises_later_is_refused_and_heals(
    master: Master, link: CuttingLink, middle: Proxy, below: Proxy
) -> None:
    """The address of the master leads to a proxy that follows this one."""
    link.lead_to(below.port)
    try:
        refused = wait_until(lambda: refusal(middle) or refusal(below), 20, "a circle is refused")
        assert "a circle of proxies" in refused
        for server in (middle, below):
            with server.client() as client:
                assert client.execute_command("CFG.COUNT", "CfgSkill") >= 0
                with pytest.raises(redis.ResponseError):
                    client.execute_command("CFG.SYNC", "TIMEOUT", 1_000)
        assert int(status(middle)["age"]) > 0
    finally:
        link.lead_to(master.port)
    wait_until(lambda: not (refusal(middle) or refusal(below)), 30, "the alarms end")
    create_skills(master, ["behind the circle"])


def refusal(server: Server) -> str:
    alarm = server.alarms().get("master refuses")
    return str(alarm["text"]) if alarm else ""
