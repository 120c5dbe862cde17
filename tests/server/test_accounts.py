"""Accounts and their rules on real servers: a master, and a writable proxy behind a link.

F92 to F98 of domain.md and T43 to T45; what each rule means in detail is in tests/unit.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from csp.resp import MORE, Decoder, ErrorReply, request
from csp.rules.accounts import SECTION
from csp.worker.account_watch import CHANGED, DISABLED
from tests.neighbours import secrets
from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.databases import SqlitePlace
from tests.neighbours.ports import free_port
from tests.neighbours.server import PASSWORD, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import application_of, create_desk, let_in, set_writable

ONCE = Retry(NoBackoff(), 0)
OLD, NEW = "an old password", "a new password"
numbers = itertools.count(1)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("accounts"), workers=2) as master:
        yield master


@pytest.fixture(scope="module")
def link(master: Master) -> Iterator[CuttingLink]:
    link = CuttingLink(master.port)
    yield link
    link.close()


@pytest.fixture(scope="module")
def proxy(master: Master, link: CuttingLink) -> Iterator[Proxy]:
    with Proxy(master.folder, link.port, workers=2) as proxy:
        set_writable(master, proxy)
        yield proxy


def tenant(master: Master, **rules: object) -> int:
    """A new tenant with these rules."""
    section = {name.replace("_", "-"): value for name, value in rules.items()}
    number = next(numbers)
    obj = {"name": f"tenant {number}", "userProperties": {SECTION: section}}
    with master.client() as client:
        return int(client.execute_command("CFG.CREATE", "CfgTenant", json.dumps(obj))[1])


def person(master: Master, in_tenant: int = 1, **more: object) -> str:
    """A new user with the password OLD; the name."""
    name = f"user {next(numbers)}"
    obj = {"tenantDBID": in_tenant, "userName": name, "employeeID": name, "password": OLD, **more}
    with master.client() as client:
        client.execute_command("CFG.CREATE", "CfgPerson", json.dumps(obj))
    return name


def of_name(master: Master, name: str) -> dict[str, Any]:
    with master.client() as client:
        return json.loads(client.execute_command("CFG.FIND", "CfgPerson", "user_name", name))


def change(master: Master, name: str, **changed: object) -> None:
    with master.client() as client:
        delta = json.dumps({"changed": changed})
        client.execute_command("CFG.UPDATE", "CfgPerson", of_name(master, name)["DBID"], delta)


def option(master: Master, app: str, section: str, **values: str) -> None:
    with master.client() as client:
        dbid = application_of(client, app)["DBID"]
        named = {name.replace("_", "-"): value for name, value in values.items()}
        delta = {"options": {"changed": {section: named}}}
        client.execute_command("CFG.UPDATE", "CfgApplication", dbid, json.dumps(delta))


def session(server: Server, user: str, password: str = OLD, **options: Any) -> redis.Redis:
    return redis.Redis(
        *("127.0.0.1", server.port),
        username=user,
        password=password,
        socket_timeout=20,
        decode_responses=True,
        retry=ONCE,
        single_connection_client=True,
        **options,
    )


class Plain:
    """A connection that no library has sent anything on."""

    def __init__(self, server: Server) -> None:
        self._socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        self._decoder = Decoder()

    def ask(self, *words: str) -> Any:
        """The reply; of a refusal its word."""
        secrets.note_command(words)
        self._socket.sendall(request(*words))
        while (reply := self._decoder.next()) is MORE:
            self._decoder.feed(self._socket.recv(65536))
        return reply.partition(" ")[0] if isinstance(reply, ErrorReply) else reply

    def close(self) -> None:
        self._socket.close()


def said(server: Server, user: str, password: str = OLD) -> str:
    """OK, or the word of the refusal."""
    connection = Plain(server)
    try:
        return str(connection.ask("AUTH", user, password))
    finally:
        connection.close()


def is_there(server: Server, name: str) -> Callable[[], bool]:
    def is_in() -> bool:
        with server.client() as client:
            return client.execute_command("CFG.FIND", "CfgPerson", "user_name", name) is not None

    return is_in


def test_who_must_change_his_password_may_do_nothing_else(master: Master) -> None:
    """F95: by the tenant's rule at creation, or by the person's own flag."""
    ruled = person(master, tenant(master, force_password_reset="true"))
    flagged = person(master, changePasswordOnNextLogin=True)
    assert of_name(master, ruled)["changePasswordOnNextLogin"] is True
    for user in (ruled, flagged):
        assert said(master, user, "wrong") == "WRONGPASS"
        ask = Plain(master).ask
        assert ask("AUTH", user, OLD) == "MUSTCHANGE"
        for words in (["GET", "CfgTenant:1"], ["SUBSCRIBE", "cfg"], ["CLIENT", "LIST"], ["MULTI"]):
            assert ask(*words) == "MUSTCHANGE", words
        assert ask("CFG.PASSWD", "default", OLD, NEW) == "MUSTCHANGE"
        assert ask("CFG.PASSWD", "wrong", NEW) == "WRONGPASS"
        assert ask("GET", "CfgTenant:1") == "MUSTCHANGE"
        assert ask("CFG.PASSWD", OLD, NEW) == "OK"
        assert ask("CLIENT", "ID") > 0
        assert ask("QUIT") == "OK"
        assert of_name(master, user)["changePasswordOnNextLogin"] is False
        assert said(master, user, NEW) == "OK"
        assert said(master, user, OLD) == "WRONGPASS"
    change(master, flagged, changePasswordOnNextLogin=True)
    connection = Plain(master)
    assert connection.ask("HELLO", "3", "AUTH", flagged, NEW) == "MUSTCHANGE"
    assert connection.ask("RESET") == "RESET"
    assert connection.ask("GET", "CfgTenant:1") == "NOAUTH"
    assert connection.ask("AUTH", "default", PASSWORD) == "OK"
    connection.close()


def test_the_verb_changes_a_password_that_has_to_be_changed(master: Master) -> None:
    user = person(master, changePasswordOnNextLogin=True)
    words = {"CSP_USER": user, "CSP_PASSWORD": OLD}
    refused = master.cli("status", **words)
    assert refused.returncode == 4
    assert "MUSTCHANGE" in refused.stderr
    done = master.cli("passwd", **words, CSP_NEW_PASSWORD=NEW)
    assert done.returncode == 0, done.stderr
    assert said(master, user, NEW) == "OK"


def test_new_passwords_keep_to_the_rules_of_their_tenant(master: Master) -> None:
    """F93: with CFG.PASSWD, and where an administrator writes one."""
    rules = {"password_min_length": 8, "password_req_number": "true", "password_no_repeats": 2}
    there = tenant(master, **rules)
    with pytest.raises(redis.ResponseError, match="password-req-number"):
        person(master, there)
    user = person(master, there, password="password 1")
    with session(master, user, "password 1") as client:
        for new, rule in (("short 1", "min-length"), (OLD, "req-number"), ("password 1", "no-rep")):
            with pytest.raises(redis.ResponseError, match=rf"BADVALUE .*password-{rule}"):
                client.execute_command("CFG.PASSWD", "password 1", new)
        assert client.execute_command("CFG.PASSWD", "password 1", "password 2") == "OK"
        with pytest.raises(redis.ResponseError, match="one of the last 2"):
            client.execute_command("CFG.PASSWD", "password 2", "password 1")
        assert client.execute_command("CFG.PASSWD", "password 2", "password 3") == "OK"
        assert client.execute_command("CFG.PASSWD", "password 3", "password 1") == "OK"
    with master.client() as client, pytest.raises(redis.ResponseError, match="min-length"):
        client.execute_command("CFG.PASSWD", user, PASSWORD, "short 1")
    with pytest.raises(redis.ResponseError, match="min-length"):
        change(master, user, password="short 1")


def test_a_locked_account_is_locked_at_every_server(
    master: Master, proxy: Proxy, link: CuttingLink
) -> None:
    """F94 and T44: a lock that fell while the master was away is everybody's when it is back."""
    user = person(master, tenant(master, account_lockout_threshold=3))
    wait_until(is_there(proxy, user), 10, "the proxy has the user")
    link.lead_to(free_port())
    link.cut()
    assert said(proxy, user) == "OK"  # F92: also without a master
    assert [said(proxy, user, f"wrong {number}") for number in range(3)] == ["WRONGPASS"] * 3
    assert said(proxy, user) == "LOCKED"
    assert said(proxy, user, "wrong") == "WRONGPASS"
    assert said(master, user) == "OK"
    link.lead_to(master.port)
    wait_until(lambda: said(master, user) == "LOCKED", 20, "the lock has come to the master")
    assert f"the account {user} is locked: 3 wrong passwords" in proxy.log_text(1_000_000)
    before = of_name(master, user)
    with master.client() as client:  # an administrator's new password ends it
        client.execute_command("CFG.PASSWD", user, PASSWORD, NEW)
    assert said(master, user, NEW) == "OK"
    wait_until(lambda: said(proxy, user, NEW) == "OK", 10, "at the proxy too")
    assert before["revision"] < of_name(master, user)["revision"]


def test_a_password_that_is_too_old_says_so_to_who_knows_it(master: Master) -> None:
    """F94."""
    there = tenant(master, password_expiration=5)
    digest = hashlib.sha256(OLD.encode()).hexdigest()
    days_ago = int(time.time()) - 6 * 86_400
    imported = {"password": digest, "passwordHashAlgorithm": 2}
    user = person(master, there, **imported, passwordUpdatingDate=days_ago)
    exempt = person(
        master,
        there,
        **imported,
        passwordUpdatingDate=days_ago,
        userProperties={SECTION: {"override-password-expiration": "true"}},
    )
    assert said(master, user) == "EXPIRED"
    assert said(master, user, "wrong") == "WRONGPASS"
    assert said(master, exempt) == "OK"
    with master.client() as client:
        client.execute_command("CFG.PASSWD", user, PASSWORD, NEW)
    assert said(master, user, NEW) == "OK"


def test_a_hash_of_the_original_is_ours_after_the_first_sign_in(
    master: Master, proxy: Proxy
) -> None:
    """It ends no session and touches no object; the sign-in was at a proxy."""
    digest = hashlib.md5(OLD.encode()).hexdigest()
    user = person(master, password=digest, passwordHashAlgorithm=1)
    wait_until(is_there(proxy, user), 10, "the proxy has the user")
    before = of_name(master, user)

    def algorithm() -> str:
        assert isinstance(master.place, SqlitePlace)
        with sqlite3.connect(master.place.path) as database:
            rows = database.execute("SELECT algorithm FROM accounts WHERE user_name = ?", (user,))
            return str(rows.fetchone()[0])

    if not isinstance(master.place, SqlitePlace):
        pytest.skip("looks into the file")
    assert algorithm() == "imported-1"
    with session(proxy, user) as client:
        assert client.client_id() > 0
        wait_until(lambda: algorithm() == "argon2id", 20, "the master has the better hash")
        assert of_name(master, user) == before
        assert client.client_id() > 0
    assert said(master, user) == "OK"
    assert said(proxy, user) == "OK"


def test_an_account_has_so_many_sessions(master: Master) -> None:
    create_desk(master, "desk")
    user = person(master, tenant(master, max_account_sessions=2))
    let_in(master, of_name(master, user)["DBID"])
    first, second = session(master, user), session(master, user)
    assert first.client_id() != second.client_id()
    with pytest.raises(redis.RedisError, match="2 are allowed"):
        session(master, user)
    first.execute_command("AUTH", user, OLD)  # it is one already
    token = first.execute_command("CFG.REGISTER", "desk")["token"]
    assert said(master, user, token) == "BUSY", "nor is a token a way around it"
    first.close()

    def is_in() -> bool:
        return said(master, user) == "OK"

    wait_until(is_in, 10, "there is room again")
    second.close()


def test_the_end_of_an_account_is_the_end_of_its_sessions_everywhere(
    master: Master, proxy: Proxy
) -> None:
    """Also T45: a password that is changed through a writable proxy."""
    user = person(master)
    wait_until(is_there(proxy, user), 10, "the proxy has the user")
    sessions = [session(server, user) for server in (master, proxy) for _ in range(2)]
    for one in sessions:
        assert one.client_id() > 0
    changer = sessions.pop()
    assert changer.execute_command("CFG.PASSWD", OLD, NEW) == "OK"
    for one in sessions:
        wait_until(lambda one=one: has_ended(one), 10, "a session with the old password has ended")
    assert changer.client_id() > 0
    assert said(master, user, OLD) == said(proxy, user, OLD) == "WRONGPASS"
    assert said(master, user, NEW) == said(proxy, user, NEW) == "OK"

    other = session(master, user, NEW)
    assert other.client_id() > 0
    change(master, user, emailAddress="x")  # nothing that ends anything
    change(master, user, state="disabled")
    for one in (changer, other):
        wait_until(lambda one=one: has_ended(one), 10, "a session of a disabled account has ended")
    assert said(master, user, NEW) == "WRONGPASS"
    key = f"CfgPerson:{of_name(master, user)['DBID']}"

    def whys() -> set[str]:
        with master.client() as client:
            page = client.execute_command("CFG.HISTORY", "SESSIONS", "ACCOUNT", key)
        return {str(json.loads(one)["why"]) for one in page[-1]}

    wait_until(lambda: whys() >= {CHANGED, DISABLED}, 10, "the records say why")


def has_ended(client: redis.Redis) -> bool:
    try:
        client.connection.send_command("PING")  # type: ignore[union-attr]
        client.connection.read_response()  # type: ignore[union-attr]
    except (redis.ConnectionError, OSError):
        return True
    except redis.RedisError:
        return False
    return False


def test_sessions_may_stay_until_the_next_sign_in(master: Master) -> None:
    def stays() -> bool:
        user = person(master)
        with session(master, user) as client:
            change(master, user, state="disabled")
            assert said(master, user) == "WRONGPASS"
            return not has_ended(client)

    option(master, master.app, "csp", end_changed_sessions="false")
    wait_until(stays, 10, "the option holds in every worker")
    option(master, master.app, "csp", end_changed_sessions="true")
    wait_until(lambda: not stays(), 10, "and so does the other value")


def test_the_last_sign_in_is_told_at_every_server(master: Master, proxy: Proxy) -> None:
    """F97."""
    user = person(master)
    let_in(master, of_name(master, user)["DBID"])
    wait_until(is_there(proxy, user), 10, "the proxy has the user")
    names = {"last_login": "true", "last_login_synchronization": "true"}
    option(master, master.app, "confserv", **names)
    option(master, proxy.app, "csproxy", **names)
    for server in (master, proxy):
        said_it = lambda server=server: "last-login-sync" in server.log_text(1_000_000)  # noqa: E731
        wait_until(said_it, 10, "the options hold")

    def told(server: Server) -> int:
        with session(server, user, protocol=3) as client:
            return int(client.execute_command("CFG.REGISTER", "default").get("last_login", 0))

    before_ms = time.time_ns() // 1_000_000
    wait_until(lambda: told(proxy), 10, "a second sign-in knows of the first")
    wait_until(lambda: told(master) >= before_ms, 20, "the master knows of it too")


def test_an_empty_password_is_refused_where_it_is_not_allowed(master: Master) -> None:
    """F96: somebody may have one only by a hash that was imported."""
    digest = hashlib.md5(b"").hexdigest()
    user = person(master, password=digest, passwordHashAlgorithm=1)
    assert said(master, user, "") == "OK"
    option(master, master.app, "confserv", allow_empty_password="false")
    wait_until(lambda: said(master, user, "") == "WRONGPASS", 10, "the option holds")
    assert said(master, "nobody", "") == "WRONGPASS"
