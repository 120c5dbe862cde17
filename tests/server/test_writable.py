"""Writes through a writable proxy, in real servers: as at the master, under their author's name."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
import redis
from redis.backoff import NoBackoff
from redis.exceptions import ExecAbortError, MasterDownError, NoPermissionError
from redis.retry import Retry

from csp.client import Client, Credentials
from csp.errors import MasterDown, Unique
from csp.resp import request
from csp.writer.writes import OWN_MAX
from tests.effort import parametrize_few
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import set_writable, status
from tests.server.forwarder import Forwarder

ONCE = Retry(NoBackoff(), 0)
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("writable"), workers=2) as master:
        yield master


@pytest.fixture(scope="module")
def link(master: Master) -> Iterator[CuttingLink]:
    """Between the proxy and its master."""
    link = CuttingLink(master.port)
    yield link
    link.close()


@pytest.fixture(scope="module")
def proxy(master: Master, link: CuttingLink) -> Iterator[Proxy]:
    with Proxy(master.folder, link.port, workers=2) as proxy:
        set_writable(master, proxy)
        yield proxy


@pytest.fixture(scope="module")
def below(master: Master, proxy: Proxy) -> Iterator[Proxy]:
    """A proxy behind the proxy, which makes its Application through it."""
    with Proxy(master.folder, proxy, app="proxy2") as below:
        set_writable(master, below)
        yield below


def skill(name: str) -> bytes:
    return orjson.dumps({"tenantDBID": 1, "name": name})


def new_name() -> str:
    return f"writable {next(numbers)}"


def last_record(server: Server, write_id: str) -> dict[str, Any]:
    with server.client() as client:
        found = client.execute_command("CFG.HISTORY", "FILTER", "id", write_id)[2]
    record: dict[str, Any] = orjson.loads(found[-1])
    return record


def wait_up(proxy: Proxy) -> None:
    wait_until(lambda: status(proxy)["link"] == "up", 10, "the link is up")


# ---- as at the master


def test_a_write_through_the_proxy_is_read_there_at_once(proxy: Proxy) -> None:
    clients = [proxy.client() for _ in range(4)]
    with proxy.client() as author:
        for _ in range(20):
            revision, dbid = author.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))
            for client in clients:
                assert orjson.loads(client.get(f"CfgSkill:{dbid}"))["revision"] == revision
    for client in clients:
        client.close()


def test_update_delete_and_refusals_are_the_masters(proxy: Proxy) -> None:
    with proxy.client() as client:
        name = new_name()
        revision, dbid = client.execute_command("CFG.CREATE", "CfgSkill", skill(name))
        delta = orjson.dumps({"changed": {"state": "disabled"}})
        changed = client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta, "IF", revision)
        assert changed == revision + 1
        with pytest.raises(redis.ResponseError, match=r"^CONFLICT "):
            client.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta, "IF", revision)
        with pytest.raises(redis.ResponseError, match=f"^UNIQUE .*{name}"):
            client.execute_command("CFG.CREATE", "CfgSkill", skill(name))
        with pytest.raises(redis.ResponseError, match=r"^BADCLASS "):
            client.execute_command("CFG.CREATE", "CfgSkil", skill(name))
        assert client.execute_command("CFG.DELETE", "CfgSkill", dbid) == changed + 1
        assert client.get(f"CfgSkill:{dbid}") is None


def test_writes_sent_without_waiting_are_done_in_their_order(proxy: Proxy) -> None:
    with proxy.client() as client:
        dbid = client.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))[1]
        pipe = client.pipeline(transaction=False)
        for number in range(200):
            pipe.execute_command("CFG.UPDATE", "CfgSkill", dbid, annex(number))
            pipe.get(f"CfgSkill:{dbid}") if number % 50 == 49 else None
        replies = pipe.execute()
    revisions = [one for one in replies if isinstance(one, int)]
    shown = [orjson.loads(one) for one in replies if isinstance(one, str)]
    assert revisions == sorted(revisions)
    assert len(revisions) == 200
    assert [one["userProperties"]["s"]["k"] for one in shown] == [49, 99, 149, 199]


def test_a_transaction_with_reads_is_done_at_the_master(proxy: Proxy) -> None:
    with proxy.client() as client:
        pipe = client.pipeline(transaction=True)
        name = new_name()
        pipe.execute_command("CFG.CREATE", "CfgSkill", skill(name))
        pipe.execute_command("CFG.COUNT", "CfgSkill", "FILTER", "name", name)
        pipe.execute_command("CFG.UPDATE", "CfgSkill", "@1", b'{"changed":{"state":"disabled"}}')
        (revision, dbid), count, again = pipe.execute()
        assert (count, again) == (1, revision)
        assert orjson.loads(client.get(f"CfgSkill:{dbid}"))["state"] == "disabled"
        pipe.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))
        pipe.execute_command("CFG.CREATE", "CfgSkill", skill(name))
        with pytest.raises(ExecAbortError, match="UNIQUE command 2: "):
            pipe.execute()


def test_a_watched_object_that_changed_at_the_master_stops_the_transaction(
    master: Master, proxy: Proxy
) -> None:
    with proxy.client() as client, master.client() as other:
        dbid = client.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))[1]
        delta = orjson.dumps({"changed": {"state": "disabled"}})
        with client.pipeline() as guarded:
            guarded.watch(f"CfgSkill:{dbid}")
            other.execute_command("CFG.UPDATE", "CfgSkill", dbid, delta)
            guarded.multi()
            guarded.execute_command("CFG.DELETE", "CfgSkill", dbid)
            with pytest.raises(redis.WatchError):
                guarded.execute()
        assert client.get(f"CfgSkill:{dbid}")


def test_a_large_transaction_goes_in_pieces(master: Master, proxy: Proxy) -> None:
    with proxy.client() as client:
        pipe = client.pipeline(transaction=True)
        for _ in range(60):
            body = {"tenantDBID": 1, "name": new_name()}
            body |= {"userProperties": {"s": {f"k{n}": "x" * 60_000 for n in range(2)}}}
            pipe.execute_command("CFG.CREATE", "CfgSkill", orjson.dumps(body))
        created = pipe.execute()
        assert len({revision for revision, _ in created}) == 1
        assert all(client.get(f"CfgSkill:{dbid}") for _, dbid in created)


def test_a_proxy_makes_its_application_through_a_writable_one(proxy: Proxy, below: Proxy) -> None:
    assert "made Application proxy2 at the master" in below.log.read_text()
    assert below.master_port == proxy.port


# ---- who writes


def test_the_history_names_the_author_and_not_the_link(proxy: Proxy, below: Proxy) -> None:
    for server in (proxy, below):
        client = server.client(single_connection_client=True)
        client.execute_command("CFG.REGISTER", "default")
        own = dict(part.split("=", 1) for part in client.execute_command("CLIENT", "INFO").split())
        name = new_name()
        client.execute_command("CFG.CREATE", "CfgSkill", skill(name), "ID", name)
        client.close()
        actor = {"account": "CfgPerson:100", "application": "default", "address": own["addr"]}
        for asked in (proxy, below):
            assert last_record(asked, name)["actor"] == actor


ADMINISTRATORS = 3  # Environment's; of the first account they may read alone


def test_a_forward_is_done_under_the_identity_it_names(master: Master, proxy: Proxy) -> None:
    """With that account's rights, whatever the link's are; and ids are an account's own."""
    with master.client() as client:
        name = new_name()
        body = {"tenantDBID": 1, "userName": name, "employeeID": name}
        bob = int(client.execute_command("CFG.CREATE", "CfgPerson", orjson.dumps(body))[1])
        server = Forwarder(master, proxy)
        who = orjson.dumps({"account": bob, "application": "desktop", "address": "192.0.2.7:4711"})
        create = ("one", "CFG.CREATE", "CfgSkill", skill(name))
        assert server.ask("WRITE", who, "", *create)[1].startswith(b"NOREF ")
        says_more = orjson.dumps(orjson.loads(who) | {"administrator": True, "groups": [3, 4]})
        assert server.ask("WRITE", says_more, "", *create)[1].startswith(b"NOREF ")
        joins = {"added": {"memberIDs": [{"type": "person", "DBID": bob}]}}
        client.execute_command("CFG.UPDATE", "CfgAccessGroup", ADMINISTRATORS, orjson.dumps(joins))
        done, revision, dbid = server.ask("WRITE", who, name, *create)
        assert done == b"DONE"
        assert server.ask("OUTCOME", who, name) == [b"DONE", b"0", b"committed " + revision]
        assert client.execute_command("CFG.OUTCOME", name) == "rejected"
        actor = {"account": f"CfgPerson:{bob}", "application": "desktop"}
        assert last_record(master, name)["actor"] == actor | {"address": "192.0.2.7:4711"}
        secret = ("one", "CFG.PASSWORD", "100", "0", "scrypt", "x")
        assert server.ask("WRITE", who, "", *secret)[1].startswith(b"NOPERM ")
        nobody = server.ask("WRITE", b"{}", "", "one", "CFG.DELETE", "CfgSkill", dbid)
        assert nobody[1].startswith(b"NOAUTH ")
        server.close()


def test_only_a_registered_server_forwards_and_only_what_is_marked(
    master: Master, proxy: Proxy
) -> None:
    with master.client() as client, pytest.raises(NoPermissionError):
        client.execute_command("CFG.FORWARD", 1, "END", request("HEAD"))
    server = Forwarder(master, proxy)
    who = orjson.dumps({"account": 100, "administrator": True})
    for words in (
        ("WRITE", who, "", "one", "GET", "CfgSkill:1"),
        ("WRITE", who, "", "exec", request("CFG.SKIP"), request("CFG.REGISTER", "x")),
        ("WRITE", b"[]", "", "one", "CFG.DELETE", "CfgSkill", "1"),
        ("CFG.DELETE", "CfgSkill", "1"),
        ("HISTORY", "{}"),
    ):
        assert server.ask(*words)[1].startswith(b"BADVALUE "), words
    assert server.ask("HEAD")[0] == b"DONE"
    server.close()


def test_a_password_changed_through_the_proxy_holds_everywhere(
    master: Master, proxy: Proxy, below: Proxy
) -> None:
    with below.client(single_connection_client=True, retry=ONCE) as client:
        with pytest.raises(redis.AuthenticationError, match="the old password is wrong"):
            client.execute_command("CFG.PASSWD", "wrong", "a new one")
        assert client.execute_command("CFG.PASSWD", PASSWORD, "a new one") == "OK"
        try:
            for server in (below, proxy, master):
                assert signs_in(server, "a new one")
                assert not signs_in(server, PASSWORD)
        finally:
            client.execute_command("CFG.PASSWD", "a new one", PASSWORD)
    assert signs_in(below, PASSWORD)


def signs_in(server: Server, password: str) -> bool:
    options = {"username": "default", "password": password, "retry": ONCE}
    with redis.Redis("127.0.0.1", server.port, **options) as client:
        try:
            return bool(client.ping())
        except redis.AuthenticationError:
            return False


# ---- read-only


def test_the_option_holds_without_a_restart(master: Master, proxy: Proxy) -> None:
    set_writable(master, proxy, "false")
    try:
        with proxy.client() as client:
            with pytest.raises(
                redis.ReadOnlyError, match=rf"master, 127.0.0.1:{proxy.master_port}"
            ):
                client.execute_command("CFG.DELETE", "CfgSkill", 4711)
            assert client.info("replication")["slave_read_only"] == 1
    finally:
        set_writable(master, proxy)
    with proxy.client() as client:
        assert client.info("replication")["slave_read_only"] == 0
        with pytest.raises(redis.ResponseError, match=r"^BADKEY "):
            client.execute_command("CFG.DELETE", "CfgSkill", 4711)


@pytest.mark.long
def test_a_proxy_in_the_middle_that_is_read_only_forwards_no_write(
    master: Master, proxy: Proxy, below: Proxy
) -> None:
    set_writable(master, proxy, "false")
    try:
        with below.client() as client:
            with pytest.raises(
                redis.ReadOnlyError, match=rf"master, 127.0.0.1:{proxy.master_port}"
            ):
                client.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))
            assert client.execute_command("CFG.OUTCOME", new_name()) == "rejected"
    finally:
        set_writable(master, proxy)


# ---- a lost link


def test_a_write_whose_answer_was_lost_is_of_unknown_outcome(
    master: Master, proxy: Proxy, below: Proxy, link: CuttingLink
) -> None:
    """It is never done twice, and what became of it is told when the link is back."""
    for server in (proxy, below):
        wait_up(server)
        name = new_name()
        link.cut_after(name.encode())
        with server.client() as client:
            with pytest.raises(redis.ResponseError, match=f"UNKNOWNOUTCOME .*CFG.OUTCOME {name}"):
                client.execute_command("CFG.CREATE", "CfgSkill", skill(name), "ID", name)
            wait_up(proxy)
            known = wait_until(lambda: _known(client, name), 10, "the outcome")  # noqa: B023
            assert known.startswith("committed ")
            again = client.execute_command("CFG.CREATE", "CfgSkill", skill(name), "ID", name)
            assert f"committed {again[0]}" == known
            assert client.execute_command("CFG.COUNT", "CfgSkill", "FILTER", "name", name) == 1


def _known(client: redis.Redis, write_id: str) -> str:
    outcome: str = client.execute_command("CFG.OUTCOME", write_id)
    return "" if outcome == "unknown" else outcome


@pytest.mark.long
def test_a_write_that_did_not_arrive_is_of_unknown_outcome_too(
    proxy: Proxy, link: CuttingLink
) -> None:
    name = new_name()
    wait_up(proxy)
    link.cut_before(name.encode())
    with proxy.client() as client:
        with pytest.raises(redis.ResponseError, match="UNKNOWNOUTCOME "):
            client.execute_command("CFG.CREATE", "CfgSkill", skill(name), "ID", name)
        assert wait_until(lambda: _known(client, name), 10, "the outcome") == "rejected"
        wait_up(proxy)  # outcomes are asked as soon as the session is there
        with pytest.raises(redis.ResponseError, match="rejected"):
            client.execute_command("CFG.CREATE", "CfgSkill", skill(name), "ID", name)


def test_without_a_link_nothing_is_done_and_that_is_said_at_once(
    master: Master, proxy: Proxy, link: CuttingLink
) -> None:
    link.refuses = True
    link.cut()
    try:
        wait_until(lambda: status(proxy)["link"] == "down", 10, "the link is down")
        with proxy.client() as client:
            name = new_name()
            with pytest.raises(MasterDownError, match="nothing was done"):
                client.execute_command("CFG.CREATE", "CfgSkill", skill(name), "ID", name)
            assert client.execute_command("CFG.OUTCOME", name) == "unknown"
            assert client.execute_command("CFG.COUNT", "CfgSkill") > 0
            with pytest.raises(MasterDownError):
                client.execute_command("CFG.SYNC")
    finally:
        link.refuses = False
    wait_up(proxy)
    with proxy.client() as client:
        assert client.execute_command("CFG.CREATE", "CfgSkill", skill(name), "ID", name)


# ---- processes that die


@parametrize_few("dies", ["the proxy's", "the master's"], quick=1)
def test_a_writer_that_dies_with_a_write_under_way(master: Master, proxy: Proxy, dies: str) -> None:
    """The master's is stopped, so that it is under way; whoever dies, it is done once or never."""
    name = new_name()
    stopped = master.child("writer")
    waiting = proxy.raw()
    stopped.suspend()
    try:
        waiting.send_command("CFG.CREATE", "CfgSkill", skill(name), "ID", name)
        wait_until(lambda: in_flight(proxy) == 1, 10, "it is passed on")
        (proxy.child("writer") if dies == "the proxy's" else stopped).kill()
        with pytest.raises(redis.ResponseError, match=f"UNKNOWNOUTCOME .*CFG.OUTCOME {name}"):
            waiting.read_response()
    finally:
        if dies == "the proxy's":
            stopped.resume()
    waiting.disconnect()
    wait_up(proxy)
    with proxy.client() as client:
        known = wait_until(lambda: _known(client, name), 10, "the outcome")
        revision = client.execute_command("CFG.SYNC")
        count = client.execute_command("CFG.COUNT", "CfgSkill", "FILTER", "name", name)
    assert count == (1 if known.startswith("committed ") else 0)
    assert revision >= int(known.split()[-1] if count else 0)


def in_flight(proxy: Proxy) -> int:
    """Writes that the proxy's writer has passed on."""
    with proxy.client(protocol=3) as client:
        found: int = client.execute_command("CFG.METRICS")["writer"]["forwards"]
    return found


# ---- bulk


def annex(value: int) -> bytes:
    return orjson.dumps({"userProperties": {"changed": {"s": {"k": value}}}})


@pytest.mark.long
def test_bulk_through_the_proxy_delays_nobody_elses_write_or_news(
    master: Master, proxy: Proxy
) -> None:
    """One client sends many writes without waiting; another's is not behind them."""
    count = 1_200
    bulk, other = proxy.raw(), proxy.client()
    mine = other.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))[1]
    theirs = other.execute_command("CFG.CREATE", "CfgSkill", skill(new_name()))[1]
    changes = other.pubsub()
    changes.subscribe(f"cfg:CfgSkill:{mine}")
    assert changes.get_message(timeout=5)["type"] == "subscribe"
    began = int(status(master)["revision"])
    commands = [("CFG.UPDATE", "CfgSkill", theirs, annex(value)) for value in range(count)]
    bulk.send_packed_command(bulk.pack_commands(commands))
    first = bulk.read_response()
    assert in_flight(proxy) <= OWN_MAX
    for value in range(5):
        before = int(status(master)["revision"])
        revision = other.execute_command("CFG.UPDATE", "CfgSkill", mine, annex(value))
        told = changes.get_message(timeout=10)
        assert orjson.loads(told["data"])["revision"] == revision
        assert revision - before < count / 10, "it waited for the bulk"
    assert revision < began + count, "the bulk was over before it was tried"
    replies = [first, *(bulk.read_response() for _ in range(count - 1))]
    assert replies == sorted(set(replies))
    bulk.disconnect()
    changes.close()
    other.close()


# ---- clients


def test_a_library_that_sends_again_by_itself_writes_once(proxy: Proxy) -> None:
    """redis-py does after a lost connection, without asking; the id makes it one write."""
    between = CuttingLink(proxy.port)
    retry = Retry(NoBackoff(), 3)
    client = redis.Redis(
        "127.0.0.1", between.port, username="default", password=PASSWORD, retry=retry
    )
    for _ in range(5):
        name = new_name()
        client.ping()
        between.cut_after(name.encode())
        sent = between.connections
        revision, _ = client.execute_command("CFG.CREATE", "CfgSkill", skill(name), "ID", name)
        assert between.connections == sent + 1
        assert client.execute_command("CFG.COUNT", "CfgSkill", "FILTER", "name", name) == 1
        assert client.execute_command("CFG.OUTCOME", name) == b"committed %d" % revision
    client.close()
    between.close()


def test_our_client_settles_what_was_lost_behind_the_proxy(
    master: Master, proxy: Proxy, link: CuttingLink
) -> None:
    with Client(f"127.0.0.1:{proxy.port}", Credentials("default", PASSWORD)) as client:
        for cut in (link.cut_after, link.cut_before):
            wait_up(proxy)
            names = [new_name(), new_name()]
            cut(names[1].encode())
            with client.transaction() as transaction:
                for name in names:
                    transaction.create("CfgSkill", {"tenantDBID": 1, "name": name})
            for name in names:
                assert client.count("CfgSkill", name=name) == 1
        with pytest.raises(Unique):
            client.create("CfgSkill", {"tenantDBID": 1, "name": names[0]})


@pytest.mark.long
def test_our_client_says_that_the_master_is_down(proxy: Proxy, link: CuttingLink) -> None:
    with Client(f"127.0.0.1:{proxy.port}", Credentials("default", PASSWORD)) as client:
        client.status()
        link.refuses = True
        link.cut()
        try:
            wait_until(lambda: status(proxy)["link"] == "down", 10, "the link is down")
            with pytest.raises(MasterDown):
                client.create("CfgSkill", {"tenantDBID": 1, "name": new_name()})
        finally:
            link.refuses = False
    wait_up(proxy)
