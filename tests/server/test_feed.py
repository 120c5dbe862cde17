"""Feeds a real proxy from a real master: load under changes, resume, other histories, one place."""

import json
import signal
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from csp.model.types import ACCOUNT_CLASS_ID
from csp.store import inspect
from tests.effort import parametrize_few
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import (
    SteadyWriter,
    create_skills,
    status,
    wait_level,
)

PUBLISH_AGAIN_SECONDS_MAX = 1.0
CHANGES = 20
OUTPUT_LIMIT = "max-client-output-queue-size"


def test_a_load_under_changes_is_whole(tmp_path: Path, master: Master) -> None:
    dbids = create_skills(master, [f"skill {number}" for number in range(500)])
    with SteadyWriter(master, dbids) as writer:
        wait_until(lambda: writer.count > 20)
        with Proxy(tmp_path, master).start() as proxy:
            seen = writer.count
            wait_until(lambda: writer.count > seen + 100)
            answer = proxy.cli("verify")
            assert answer.returncode == 0, answer.stdout + answer.stderr
            writer.__exit__()
            wait_level(master, proxy)
            answer = proxy.cli("verify")
            assert answer.returncode == 0, answer.stdout + answer.stderr
            assert status(proxy)["generation"] == 1


@pytest.mark.long
def test_a_change_reaches_the_proxy(master: Master, proxy: Proxy) -> None:
    (dbid,) = create_skills(master, ["english"])
    wait_level(master, proxy)
    with proxy.client() as client:
        assert json.loads(client.get(f"CfgSkill:{dbid}"))["name"] == "english"


def test_reads_go_on_without_the_master_and_then_only_the_changes_travel(
    master: Master, proxy: Proxy
) -> None:
    (dbid,) = create_skills(master, ["english"])
    wait_level(master, proxy)
    master.kill()
    wait_until(lambda: status(proxy)["link"] == "down", 10, "the link is down")
    with proxy.client() as client:
        assert json.loads(client.get(f"CfgSkill:{dbid}"))["name"] == "english"
    master.start()
    create_skills(master, ["french"])
    wait_level(master, proxy)
    assert status(proxy)["generation"] == 1
    log = proxy.log_text()
    assert "04504" in log
    assert "continues from revision" in log


def test_a_killed_writer_publishes_again_within_a_second(master: Master, proxy: Proxy) -> None:
    dbids = create_skills(master, ["english", "french"])
    wait_level(master, proxy)
    with SteadyWriter(master, dbids):
        proxy.child("writer").send_signal(signal.SIGKILL)
        began = time.monotonic()
        revision = status(proxy)["revision"]
        wait_until(lambda: status(proxy)["revision"] > revision + 1, 5, "changes go on")
        assert time.monotonic() - began < PUBLISH_AGAIN_SECONDS_MAX
    wait_level(master, proxy)
    assert status(proxy)["generation"] == 1


def test_a_restored_database_becomes_a_new_generation_and_subscribers_hear_the_difference(
    master: Master, proxy: Proxy
) -> None:
    (kept, renamed) = create_skills(master, ["kept", "renamed"])
    wait_level(master, proxy)
    master.stop()
    assert master.place is not None
    master.place.back_up()
    master.start()
    (lost,) = create_skills(master, ["lost"])
    with master.client() as client:
        delta = json.dumps({"changed": {"name": "other"}})
        client.execute_command("CFG.UPDATE", "CfgSkill", renamed, delta)
    before = wait_level(master, proxy)

    with proxy.client() as client, client.pubsub() as subscription:
        subscription.subscribe("cfg:CfgSkill")
        assert subscription.get_message(timeout=5)["type"] == "subscribe"
        master.stop()
        master.place.put_back()
        master.start()
        create_skills(master, ["written after"])
        for number in range(before):
            create_skills(master, [f"beyond {number}"])
        after = wait_level(master, proxy)
        assert after > before
        heard = {}

        def has_heard() -> bool:
            message = subscription.get_message(timeout=0.1)
            if message and message["type"] == "message":
                event = json.loads(message["data"])
                heard.setdefault((event["op"], event["DBID"]), event)
            return ("update", renamed) in heard and any(op == "create" for op, _ in heard)

        wait_until(has_heard, 10, "the difference")
    assert status(proxy)["generation"] == 2
    assert ("delete", kept) not in heard
    # DBIDs are never used again within a history, but this is another one: the lost object's
    # number belongs to a new object now, or to none.
    with proxy.client() as client:
        there = client.get(f"CfgSkill:{lost}")
        assert there is None or json.loads(there)["name"] != "lost"
        assert json.loads(client.get(f"CfgSkill:{renamed}"))["name"] == "renamed"
    answer = proxy.cli("verify")
    assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.long
def test_a_second_proxy_of_the_same_name_is_refused_until_the_first_is_gone(
    tmp_path: Path, master: Master, proxy: Proxy
) -> None:
    folder = tmp_path / "second"
    folder.mkdir()
    second = Proxy(folder, master).start(ready=False)
    with second:
        wait_until(lambda: "is connected already" in second.log_text(), 15, "the refusal")
        assert f"pid {proxy.child('writer').pid}" in second.log_text()
        proxy.stop()
        second.wait_ready()


def test_a_proxy_feeds_a_proxy(tmp_path: Path, master: Master, proxy: Proxy) -> None:
    folder = tmp_path / "chained"
    folder.mkdir()
    with Proxy(folder, master, app="proxy2").start() as chained:
        chained.stop()  # the master has its Application now
        chained.master_port = proxy.port
        chained.start()
        (dbid,) = create_skills(master, ["english"])
        wait_level(master, chained)
        with chained.client() as client:
            assert json.loads(client.get(f"CfgSkill:{dbid}"))["name"] == "english"
        answer = chained.cli("verify")
        assert answer.returncode == 0, answer.stdout + answer.stderr


@pytest.mark.long
def test_status_says_how_old_the_news_is(master: Master, proxy: Proxy) -> None:
    wait_until(lambda: status(proxy)["link"] == "up", 10, "the link is up")
    assert 0 <= int(status(proxy)["age"]) < 3_000
    master.kill()
    wait_until(lambda: int(status(proxy)["age"]) > 2_500, 10, "the age grows")


@parametrize_few("kilobytes", ["0", "8192", "64"], ids=["no limit", "large", "small"], quick=1)
def test_the_limit_of_unsent_bytes_holds_no_feed_up(
    tmp_path: Path, master: Master, kilobytes: str
) -> None:
    key = f"CfgApplication/name={master.app}"
    assert master.cli("option", key, "confserv", OUTPUT_LIMIT, kilobytes).returncode == 0
    said = f"option confserv/{OUTPUT_LIMIT} is {kilobytes} from now on"
    wait_until(lambda: said in master.log_text(), 10, "the limit holds")
    with master.client() as client:
        pipe = client.pipeline(transaction=True)
        for number in range(100):
            properties = {"a": {f"k{part}": "x" * 60_000 for part in range(4)}}
            skill = {"name": f"s{number}", "tenantDBID": 1, "userProperties": properties}
            pipe.execute_command("CFG.CREATE", "CfgSkill", json.dumps(skill))
        pipe.execute()
    with Proxy(tmp_path, master).start() as proxy:
        wait_level(master, proxy)


def test_the_hash_of_a_deleted_person_leaves_the_proxy(master: Master, proxy: Proxy) -> None:
    with master.client() as client:
        body = {"tenantDBID": 1, "userName": "bob", "employeeID": "b1", "password": "long enough"}
        dbid = int(client.execute_command("CFG.CREATE", "CfgPerson", json.dumps(body))[1])
        wait_level(master, proxy)
        assert accounts_of(proxy) == accounts_of(master)
        assert dbid in accounts_of(proxy)
        client.execute_command("CFG.DELETE", "CfgPerson", dbid)
        wait_level(master, proxy)
    assert accounts_of(proxy) == accounts_of(master)
    assert dbid not in accounts_of(proxy)


def accounts_of(server: Server) -> list[int]:
    """DBIDs of the persons whose hash is in its memory."""
    found, after = [], 0
    with inspect.attached(str(status(server)["instance"])) as view:
        while after := view.reader.raw_next_dbid(ACCOUNT_CLASS_ID, after):
            found.append(after)
    return found


@pytest.mark.long
def test_subscribers_of_a_proxy_cost_its_master_no_byte(tmp_path: Path, master: Master) -> None:
    (dbid,) = create_skills(master, ["english"])
    way = CuttingLink(master.port)
    with Proxy(tmp_path, way.port) as proxy, ExitStack() as stack:
        wait_level(master, proxy)
        taken = []
        for count in (1, 200):
            ears = [proxy.raw() for _ in range(count)]
            for ear in ears:
                stack.callback(ear.disconnect)
                ear.send_command("SUBSCRIBE", "cfg:CfgSkill")
                ear.read_response()
            before, connections = way.received_bytes, way.connections
            with master.client() as client:
                for number in range(CHANGES):
                    delta = json.dumps({"changed": {"name": f"english {count:03} {number:03}"}})
                    client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta)
            for ear in ears:
                for _ in range(CHANGES):
                    assert ear.read_response()[0] == b"message"
            taken.append(way.received_bytes - before)
            assert way.connections == connections, "nobody asked the master for anything"
        alone, crowd = taken
        assert crowd < alone * 1.2, "what is left is a sign of life now and then"
    way.close()
