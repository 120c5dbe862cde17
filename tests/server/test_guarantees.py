"""Holds the numbered promises of GUARANTEES.md, one test or more for each number."""

from __future__ import annotations

import itertools
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import orjson
import psutil
import pytest
import redis

from tests.effort import parametrize_few
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import ROOT, Master, Proxy, Server
from tests.neighbours.waiting import wait_until

PAIRS = 20
CHANGES = 150
CHANGES_MAX = 50 * CHANGES  # until a reader who gets little time has seen some
READER_PASSWORD = "reads no more than he may"


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("guarantees"), workers=2) as master:
        yield master


@pytest.fixture(scope="module")
def proxy(master: Master) -> Iterator[Proxy]:
    with Proxy(master.folder, master, workers=2) as proxy:
        yield proxy


def make_skill(server: Server, name: str) -> int:
    with server.client() as client:
        body = orjson.dumps({"tenantDBID": 1, "name": name})
        return int(client.execute_command("CFG.CREATE", "CfgSkill", body)[1])


def set_value(client: redis.Redis, dbid: int, value: int) -> int:
    delta = orjson.dumps({"userProperties": {"changed": {"test": {"value": value}}}})
    return int(client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta))


def value_of(reply: str) -> int:
    return int(orjson.loads(reply).get("userProperties", {}).get("test", {}).get("value", 0))


def revision_of(server: Server) -> int:
    with server.client(protocol=3) as client:
        return int(client.execute_command("CFG.STATUS")["revision"])


def takes_writes(server: Server) -> bool:
    with server.client(protocol=3) as client:
        return bool(client.execute_command("CFG.STATUS")["writable"])


def test_every_promise_has_a_test_of_its_number() -> None:
    promised = re.findall(r"^## (G\d+) ", (ROOT / "GUARANTEES.md").read_text(), re.M)
    names = [name for name in globals() if name.startswith("test_guarantee_")]
    for number in promised:
        assert any(f"_{int(number[1:]):02}_" in name for name in names), f"{number} has no test"


def test_guarantee_01_a_read_never_shows_half_a_transaction(master: Master, proxy: Proxy) -> None:
    """MGET, CFG.READ and EXEC at a proxy, while pairs are changed together at the master."""
    pair = [make_skill(master, f"g1-{side}") for side in ("left", "right")]
    wait_until(lambda: revision_of(proxy) >= revision_of(master), 10, "the proxy has both")
    stop, torn, reads = threading.Event(), [], [0]

    def change() -> None:
        with master.client() as client:
            for value in range(1, CHANGES_MAX):
                if value >= CHANGES and reads[0] > 10:
                    break
                transaction = client.pipeline(transaction=True)
                delta = orjson.dumps({"userProperties": {"changed": {"test": {"value": value}}}})
                for dbid in pair:
                    transaction.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta)
                transaction.execute()
        stop.set()

    def read(client: redis.Redis) -> list[list[str]]:
        keys = [f"CfgSkill:{dbid}" for dbid in pair]
        transaction = client.pipeline(transaction=True)
        for key in keys:
            transaction.get(key)
        page = client.execute_command("CFG.READ", "CfgSkill")[2]
        of_pair = [item for item in page if orjson.loads(item)["DBID"] in pair]
        return [client.mget(keys), transaction.execute(), of_pair]

    changing = threading.Thread(target=change)
    changing.start()
    with proxy.client() as client:
        while not stop.is_set():
            for replies in read(client):
                values = {value_of(reply) for reply in replies}
                reads[0] += 1
                if len(values) != 1:
                    torn.append(values)
    changing.join()
    assert not torn
    assert reads[0] > 10


def test_guarantee_02_a_client_that_shows_its_token_never_reads_an_older_state(
    master: Master, tmp_path: Path
) -> None:
    """At a proxy that is behind what the token's session saw, and comes to it."""
    dbid = make_skill(master, "g2")
    with master.client() as client:
        desk = orjson.dumps({"name": "G2", "appPrototypeDBID": 10, "tenantDBIDs": [1]})
        client.execute_command("CFG.CREATE", "CfgApplication", desk)
    link = CuttingLink(master.port)
    with Proxy(tmp_path, link.port, app="behind") as behind:
        wait_until(lambda: revision_of(behind) >= revision_of(master), 10, "the proxy is level")
        link.refuses = True
        link.cut()
        with master.client(protocol=3) as client:
            set_value(client, dbid, 7)
            token = client.execute_command("CFG.REGISTER", "G2")["token"]
        with behind.client() as client:
            assert value_of(client.get(f"CfgSkill:{dbid}")) == 0, "the proxy is behind"
        threading.Timer(0.5, lambda: setattr(link, "refuses", False)).start()
        with redis.Redis(
            "127.0.0.1", behind.port, username="default", password=token, decode_responses=True
        ) as client:
            assert value_of(client.get(f"CfgSkill:{dbid}")) == 7
        assert behind.stop() == 0
        link.refuses = True
        behind.start()
        with behind.client() as client:
            assert value_of(client.get(f"CfgSkill:{dbid}")) == 7
    link.close()


def test_guarantee_02_any_worker_shows_what_another_has_shown(master: Master, proxy: Proxy) -> None:
    dbid = make_skill(master, "g2 workers")
    wait_until(lambda: revision_of(proxy) >= revision_of(master), 10, "the proxy has it")
    readers = [proxy.client() for _ in range(8)]  # on whichever worker
    ends = threading.Event()

    def write() -> None:
        with master.client() as client:
            for value in itertools.count(1):
                if ends.is_set():
                    return
                set_value(client, dbid, value)

    author = threading.Thread(target=write, daemon=True)
    author.start()
    seen = 0

    def has_seen_many() -> bool:
        nonlocal seen
        for reader in readers:
            value = value_of(reader.get(f"CfgSkill:{dbid}"))
            assert value >= seen
            seen = value
        return seen >= CHANGES

    try:
        wait_until(has_seen_many, 30, "many changes are read")
    finally:
        ends.set()
        author.join(10)
    for client in readers:
        client.close()


@pytest.mark.parametrize("through", ["master", "proxy"])
def test_guarantee_03_the_author_reads_the_write_on_every_worker(
    master: Master, proxy: Proxy, through: str
) -> None:
    key = f"CfgApplication/name={proxy.app}"
    assert master.cli("option", key, "csproxy", "proxy-writable", "true").returncode == 0
    wait_until(lambda: takes_writes(proxy), 10, "the proxy takes writes")
    server: Server = master if through == "master" else proxy
    dbid = make_skill(server, f"g3 {through}")
    clients = [server.client() for _ in range(6)]
    with server.client() as author:
        for value in range(1, 50):
            revision = set_value(author, dbid, value)
            for client in clients:
                seen = orjson.loads(client.get(f"CfgSkill:{dbid}"))
                assert seen["revision"] >= revision
                assert seen["userProperties"]["test"]["value"] == value
    for client in clients:
        client.close()


def test_guarantee_04_a_slow_subscriber_gets_each_change_once_and_in_order(
    master: Master, proxy: Proxy
) -> None:
    """One reads nothing until all is written, several times what its socket keeps."""
    dbids = [make_skill(master, f"g4-{number}") for number in range(3)]
    wait_until(lambda: revision_of(proxy) >= revision_of(master), 10, "the proxy has them")
    with master.client() as author, proxy.client() as slow, proxy.client() as other:
        changes = slow.pubsub()
        changes.psubscribe("cfg:CfgSkill:*")
        assert changes.get_message(timeout=10)["type"] == "psubscribe"
        expected = []
        for value in range(150):
            transaction = author.pipeline(transaction=True)
            delta = {"userProperties": {"changed": {"test": {"value": f"{value} {'x' * 30_000}"}}}}
            for dbid in dbids:
                transaction.execute_command("CFG.UPDATE", "CfgSkill", dbid, orjson.dumps(delta))
            revision = int(transaction.execute()[0])
            expected += [(revision, dbid, dbid != dbids[-1]) for dbid in dbids]
        other.execute_command("CFG.SYNC", expected[-1][0])
        told = []
        while len(told) < len(expected):
            message = changes.get_message(timeout=10)
            assert message is not None, f"{len(told)} of {len(expected)} came"
            part = orjson.loads(message["data"])
            if part["DBID"] in dbids:
                told.append((part["revision"], part["DBID"], part["more"]))
        assert told == expected


def test_guarantee_04_a_subscriber_that_hops_between_servers_misses_and_repeats_nothing(
    master: Master, proxy: Proxy
) -> None:
    """While changes flow it goes from one to the other, which may be behind or ahead."""
    dbid = make_skill(master, "g4-hops")

    def change() -> None:
        with master.client() as client:
            for value in range(CHANGES):
                set_value(client, dbid, value)

    start = revision_of(master)
    told: list[int] = []
    changing = threading.Thread(target=change)
    changing.start()
    servers = itertools.cycle((master, proxy))
    while len(told) < CHANGES:
        reader = next(servers).raw(protocol=3)
        reader.send_command("CFG.FROM", told[-1] if told else start)
        reader.send_command("SUBSCRIBE", f"cfg:CfgSkill:{dbid}")
        assert reader.read_response()[0] == b"cfg.from"
        assert reader.read_response(push_request=True)[0] == b"subscribe"
        for _ in range(min(7, CHANGES - len(told))):
            message = orjson.loads(reader.read_response(push_request=True)[2])
            assert message["op"] == "update", message
            told.append(message["revision"])
        reader.disconnect()
    changing.join()
    assert told == list(range(start + 1, start + 1 + CHANGES))


def test_guarantee_05_a_change_comes_before_the_read_that_shows_it(
    master: Master, proxy: Proxy
) -> None:
    """GET, a page and an EXEC on a subscribed connection while an object changes all the time."""
    dbid = make_skill(master, "g5")
    stop = threading.Event()

    def change() -> None:
        with master.client() as client:
            for value in range(1, CHANGES_MAX):
                if value >= CHANGES and len(set(shown)) > 5:
                    break
                set_value(client, dbid, value)
        stop.set()

    reader = proxy.raw(protocol=3)
    reader.send_command("SUBSCRIBE", f"cfg:CfgSkill:{dbid}")
    told, shown = 0, []
    reader.read_response(push_request=True)
    changing = threading.Thread(target=change)
    changing.start()
    while not stop.is_set():
        for command in (
            [("GET", f"CfgSkill:{dbid}")],
            [("CFG.READ", "CfgSkill", "FILTER", "dbid", dbid)],
            [("MULTI",), ("GET", f"CfgSkill:{dbid}"), ("EXEC",)],
        ):
            for words in command:
                reader.send_command(*words)
                while isinstance(reply := reader.read_response(push_request=True), list) and (
                    reply[0] == b"message"
                ):
                    told = orjson.loads(reply[2])["revision"]
            found = reply[2][0] if command[0][0] == "CFG.READ" else reply
            seen = orjson.loads(found[0] if isinstance(found, list) else found)["revision"]
            assert seen == told or told == 0
            shown.append(seen)
    changing.join()
    reader.disconnect()
    assert len(set(shown)) > 5


def test_guarantee_06_the_age_is_known_and_a_read_may_demand_less(
    master: Master, proxy: Proxy
) -> None:
    """While the master stands still, as a host that hangs."""
    workers = [master.child(role) for role in ("worker 0", "worker 1")]
    with proxy.client(protocol=3) as client:
        assert client.execute_command("CFG.READ", "CfgSkill", "MAXAGE", 5_000)
        for worker in workers:
            worker.suspend()
        try:
            age = lambda: client.execute_command("CFG.STATUS")["age"]  # noqa: E731
            wait_until(lambda: age() > 1_500, 10, "the age grows")
            with pytest.raises(redis.ResponseError, match=r"^STALE "):
                client.execute_command("CFG.READ", "CfgSkill", "MAXAGE", 1_000)
        finally:
            for worker in workers:
                worker.resume()
        wait_until(lambda: age() < 1_500, 10, "it is heard again")
        revision = revision_of(master)
        assert client.execute_command("CFG.READ", "CfgSkill", "MINREV", revision)[0] >= revision
        assert client.execute_command("CFG.STATUS")["lag"] >= 0


def test_guarantee_07_a_strong_read_shows_what_the_master_had(master: Master, proxy: Proxy) -> None:
    with master.client() as author, proxy.client() as reader:
        dbid = make_skill(master, "g7")
        for value in range(1, 50):
            set_value(author, dbid, value)
            reader.execute_command("CFG.SYNC")
            assert value_of(reader.get(f"CfgSkill:{dbid}")) == value
        writer = master.child("writer")
        writer.suspend()
        try:
            with pytest.raises(redis.ResponseError, match=r"^STALE "):
                reader.execute_command("CFG.SYNC", "TIMEOUT", 200)
        finally:
            writer.resume()


def test_guarantee_08_reads_and_sign_ins_go_on_without_the_master(tmp_path: Path) -> None:
    with Master(tmp_path) as master, Proxy(tmp_path, master) as proxy:
        dbid = make_skill(master, "g8")
        wait_until(lambda: revision_of(proxy) >= revision_of(master), 10, "the proxy has it")
        master.kill()
        with proxy.client() as client:
            assert orjson.loads(client.get(f"CfgSkill:{dbid}"))["name"] == "g8"
            assert client.execute_command("CFG.COUNT", "CfgSkill") >= 1
        proxy.kill()
        proxy.start()
        with proxy.client() as client:
            assert orjson.loads(client.get(f"CfgSkill:{dbid}"))["name"] == "g8"
        assert proxy.stop() == 0
        proxy.start()
        with proxy.client() as client:
            assert orjson.loads(client.get(f"CfgSkill:{dbid}"))["name"] == "g8"
            assert client.execute_command("CFG.COUNT", "CfgSkill") >= 1


def test_guarantee_08_a_proxy_whose_host_was_restarted_serves_and_resumes(tmp_path: Path) -> None:
    """Memory and runtime folder are gone, the master is away, and no stop was in order."""
    with Master(tmp_path) as master, Proxy(tmp_path, master) as proxy:
        dbid = make_skill(master, "g8")
        wait_until(lambda: revision_of(proxy) >= revision_of(master), 10, "the proxy has it")
        proxy.stop()
        proxy.start()
        revision = revision_of(proxy)
        master.stop()
        proxy.kill()
        shutil.rmtree(proxy.runtime)
        proxy.runtime.mkdir()
        for segment in Path("/dev/shm").glob(f"csp-*{proxy.port}*"):
            segment.unlink()
        proxy.start()
        assert revision_of(proxy) == revision
        with proxy.client() as client:
            assert orjson.loads(client.get(f"CfgSkill:{dbid}"))["name"] == "g8"
        loads = proxy.log_text().count("51302")
        master.start()
        later = make_skill(master, "g8 later")
        wait_until(lambda: revision_of(proxy) > revision, 10, "it resumes")
        with proxy.client() as client:
            assert orjson.loads(client.get(f"CfgSkill:{later}"))["name"] == "g8 later"
        assert proxy.log_text().count("51302") == loads


@pytest.fixture
def reader(master: Master) -> Iterator[str]:
    """A person who may use applications and read nothing else; his key."""
    with master.client() as client:
        body = {"tenantDBID": 1, "userName": "g9", "employeeID": "g9", "isAgent": False}
        made = client.execute_command(
            "CFG.CREATE", "CfgPerson", orjson.dumps({**body, "password": READER_PASSWORD})
        )
        key = f"CfgPerson:{int(made[1])}"
        client.execute_command("CFG.GRANT", "CfgApplication:100", key, "R,X")
        yield key
        client.execute_command("CFG.DELETE", "CfgPerson", made[1])


def test_guarantee_09_what_may_not_be_read_reaches_nobody(
    master: Master, proxy: Proxy, reader: str
) -> None:
    skill = f"CfgSkill:{make_skill(master, 'g9')}"
    with master.client() as admin:
        for server in (master, proxy):
            wait_level_with(server, master)
            with as_reader(server) as client, as_reader(server).pubsub() as told:
                assert client.get(skill) is None
                assert client.execute_command("CFG.COUNT", "CfgSkill") == 0
                assert client.dbsize() == 1
                told.subscribe("cfg:CfgSkill")
                wait_until(lambda: told.get_message(timeout=0.1), 10, "the subscription")
                admin.execute_command("CFG.GRANT", skill, reader, "R")
                assert next_op(told) == "create"
                assert client.get(skill) is not None
                assert client.execute_command("CFG.COUNT", "CfgSkill") == 1
                admin.execute_command("CFG.REVOKE", skill, reader)
                assert next_op(told) == "delete"
                assert client.get(skill) is None
                set_value(admin, int(skill.partition(":")[2]), 1)
                revision = revision_of(master)
                admin.execute_command("CFG.GRANT", skill, reader, "R")
                message = wait_until(lambda: told.get_message(timeout=0.1), 10, "the next")
                event = orjson.loads(message["data"])
                assert (event["op"], event["revision"] > revision) == ("create", True)
                admin.execute_command("CFG.REVOKE", skill, reader)


def wait_level_with(server: Server, master: Master) -> None:
    """Waits until a server has what the master has."""
    revision = revision_of(master)
    with server.client() as client:
        client.execute_command("CFG.SYNC", revision)


def as_reader(server: Server) -> redis.Redis:
    return redis.Redis(
        "127.0.0.1", server.port, username="g9", password=READER_PASSWORD, decode_responses=True
    )


def next_op(told: redis.client.PubSub) -> str:
    message = wait_until(lambda: told.get_message(timeout=0.1), 10, "a message")
    return str(orjson.loads(message["data"])["op"])


@parametrize_few("role", ["writer", "auth", "worker 1"], quick=1)
def test_guarantee_10_a_crash_costs_no_connection_of_another_process(
    role: str, master: Master, proxy: Proxy
) -> None:
    dbid = make_skill(master, f"g10-{role}")
    wait_until(lambda: revision_of(proxy) >= revision_of(master), 10, "the proxy has it")
    connections = [proxy.raw() for _ in range(12)]
    of_worker = [_worker(connection) for connection in connections]
    assert set(of_worker) == {"0", "1"}
    victim = proxy.child(role)
    victim.kill()
    wait_until(lambda: _replaced(proxy, role, victim), 10, f"a new {role}")
    for connection, worker in zip(connections, of_worker, strict=True):
        if role == f"worker {worker}":
            continue
        connection.send_command("GET", f"CfgSkill:{dbid}")
        assert orjson.loads(connection.read_response())["DBID"] == dbid
    with master.client() as client:
        revision = set_value(client, dbid, 1)
    wait_until(lambda: revision_of(proxy) >= revision, 10, "the proxy has the change")
    for connection in connections:
        connection.disconnect()


def _worker(connection: redis.Connection) -> str:
    connection.send_command("CLIENT", "INFO")
    info = connection.read_response().decode()
    return dict(part.split("=", 1) for part in info.split() if "=" in part)["worker"]


def _replaced(server: Server, role: str, former: psutil.Process) -> bool:
    found = server.children().get(role)
    return found is not None and found.pid != former.pid
