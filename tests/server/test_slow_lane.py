"""Registration, writes across a writer's death, waiting for revisions: on running servers."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import redis

from tests.neighbours.server import Master, Proxy
from tests.neighbours.waiting import wait_until


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("slow"), workers=2) as server:
        yield server


def skill(name: str) -> str:
    return json.dumps({"tenantDBID": 1, "name": name})


def make_application(client: redis.Redis, name: str, prototype: int = 1) -> None:
    host = json.dumps({"name": f"h-{name}", "type": "networkserver"})
    _, host_dbid = client.execute_command("CFG.CREATE", "CfgHost", host)
    text = {"name": name, "appPrototypeDBID": prototype, "isServer": True, "workDirectory": "."}
    text |= {"serverInfo": {"hostDBID": host_dbid, "port": "1"}, "commandLine": "x"}
    text |= {"portInfos": [{"id": "default", "port": "1"}], "tenantDBIDs": [1]}
    client.execute_command("CFG.CREATE", "CfgApplication", json.dumps(text))


def register(client: redis.Redis, name: str, instance: str) -> dict[str, object]:
    words = ("CFG.REGISTER", name, "INSTANCE", instance, "HOST", "h1", "PID", 4711)
    found: dict[str, object] = client.execute_command(*words)
    return found


def single(master: Master) -> redis.Redis:
    """A client with one connection of its own, which a registration lives and dies with."""
    return master.client(single_connection_client=True)


def test_one_program_per_server_application(master: Master) -> None:
    with single(master) as first, single(master) as second:
        make_application(first, "one")
        assert register(first, "one", "a")["application_dbid"] > 100  # type: ignore[operator]
        with pytest.raises(redis.ResponseError, match="host h1, pid 4711, since 20"):
            register(second, "one", "b")
        # The same instance takes its own place at once, from any worker.
        assert register(second, "one", "a")["session"]
    with single(master) as third:
        wait_until(lambda: _takes(third, "one"), 5, "the place is free when its connection ends")


def test_a_feed_is_for_registered_configuration_servers_alone(master: Master) -> None:
    feed = ("CFG.FEED", "FROM", "-", "0", "-", "FORMAT", "3")
    with single(master) as client:
        with pytest.raises(redis.exceptions.NoPermissionError, match="for configuration servers"):
            client.execute_command(*feed)
        other = json.dumps({"name": "other", "type": "thirdpartyserver"})
        _, prototype = client.execute_command("CFG.CREATE", "CfgAppPrototype", other)
        make_application(client, "no-confserv", prototype)
        register(client, "no-confserv", "a")
        with pytest.raises(redis.exceptions.NoPermissionError, match="for configuration servers"):
            client.execute_command(*feed)
        make_application(client, "a-confserv")
        register(client, "a-confserv", "a")
        assert client.execute_command(*feed)[0] == "greeting"


def _takes(client: redis.Redis, name: str) -> bool:
    try:
        return bool(register(client, name, "c"))
    except redis.ResponseError:
        return False


def test_places_survive_the_writer(master: Master) -> None:
    with single(master) as first, single(master) as second:
        make_application(first, "two")
        register(first, "two", "a")
        kill_writer(master)
        wait_until(lambda: _answers(second), 10, "there is a writer again")
        with pytest.raises(redis.ResponseError, match="is connected already"):
            register(second, "two", "b")
        assert first.ping()


def _answers(client: redis.Redis) -> bool:
    try:
        return int(client.execute_command("CFG.SYNC")) > 0
    except redis.ResponseError:
        return False


def kill_writer(master: Master) -> None:
    writer = master.child("writer")
    writer.kill()
    psutil.wait_procs([writer], timeout=5)


def test_unknown_outcomes_can_be_asked_for(master: Master) -> None:
    """Each write during a writer's death is done, not done, or unknown and answered later."""
    outcomes: dict[str, str] = {}

    def write_on(number: int) -> None:
        with master.client() as client:
            for step in range(60):
                write_id = f"w-{number}-{step}"
                try:
                    client.execute_command(
                        "CFG.CREATE", "CfgSkill", skill(write_id), "ID", write_id
                    )
                    outcomes[write_id] = "done"
                except redis.exceptions.MasterDownError:
                    outcomes[write_id] = "MASTERDOWN"  # redis-py takes the word off the text
                except redis.ResponseError as error:
                    outcomes[write_id] = str(error).split()[0]

    threads = [threading.Thread(target=write_on, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(outcomes) > 40, 20, "writes are under way")
    kill_writer(master)
    for thread in threads:
        thread.join(60)
    assert set(outcomes.values()) <= {"done", "UNKNOWNOUTCOME", "MASTERDOWN", "BUSY"}
    with master.client() as client:
        # What the database took before the death is published by the successor.
        wait_until(lambda: _answers(client), 10, "there is a writer again")
        rows = client.execute_command("CFG.READ", "CfgSkill", "LIMIT", 10_000)[2]
        names = {json.loads(row)["name"] for row in rows}
        for write_id, outcome in outcomes.items():
            said = client.execute_command("CFG.OUTCOME", write_id)
            assert said.split()[0] == ("committed" if write_id in names else "rejected")
            if outcome == "done":
                assert write_id in names
            if outcome in ("MASTERDOWN", "BUSY"):
                assert write_id not in names


def test_large_transaction(master: Master) -> None:
    with master.client(socket_timeout=60) as client:
        pipeline = client.pipeline(transaction=True)
        for number in range(2_000):
            pipeline.execute_command("CFG.CREATE", "CfgSkill", skill(f"large {number}"))
        replies = pipeline.execute()
        assert len({revision for revision, _ in replies}) == 1
        assert len({dbid for _, dbid in replies}) == 2_000


def test_proxy_follows_waits_and_refuses(master: Master, tmp_path: Path) -> None:
    with Proxy(tmp_path, master, workers=2, app="three") as proxy:
        with master.client() as author, proxy.client() as reader:
            for number in range(20):
                created = author.execute_command("CFG.CREATE", "CfgSkill", skill(f"p {number}"))
                revision, dbid = created
                assert reader.execute_command("CFG.SYNC", revision) >= revision
                assert reader.get(f"CfgSkill:{dbid}") == author.get(f"CfgSkill:{dbid}")
            assert reader.execute_command("CFG.SYNC") >= revision
            with pytest.raises(redis.ReadOnlyError):
                reader.execute_command("CFG.DELETE", "CfgSkill", dbid)
            with pytest.raises(redis.ResponseError, match="STALE"):
                reader.execute_command("CFG.SYNC", revision + 1000, "TIMEOUT", 50)
            status = reader.execute_command("CFG.STATUS")
            assert (status["mode"], status["link"], status["lag"]) == ("proxy", "up", 0)
            assert reader.info("replication")["role"] == reader.role()[0] == "master"
        assert proxy.cli("verify").returncode == 0
