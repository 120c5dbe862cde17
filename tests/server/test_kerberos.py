"""Signing in by tickets of a real Kerberos realm: whose they are, and that each is good once."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from csp.client import AsyncClient, Client, Kerberos, NoTicket, Session
from csp.process.roles import KERBEROS
from csp.resp import request
from tests.effort import parametrize_few
from tests.neighbours.kdc import Kdc
from tests.neighbours.server import ROOT, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.directory_helpers import (
    ask,
    change,
    delete_person,
    person,
    plain,
    set_annex,
    set_options,
    sign_in,
)
from tests.server.feed_helpers import DESK, create_desk, let_in, set_writable

pytestmark = pytest.mark.needs("krb5kdc", "kadmin.local", "kinit", "faketime")

USERS = {name: f"{name}-realm-word-1" for name in ("ann", "bob", "cy", "default", "ghost", "dee")}
QUICK_SECONDS_MAX = 3.0  # on a busy machine; the flood takes twenty
USED = "-WRONGPASS the ticket was used before, at another server"
REPLAY = "-WRONGPASS Kerberos says: Request is a replay"
REFUSED = "-WRONGPASS invalid username-password pair or user is disabled."


@pytest.fixture(scope="module")
def kdc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kdc]:
    with Kdc(tmp_path_factory.mktemp("kdc"), USERS) as realm:
        yield realm


def service(kdc: Kdc, **more: str) -> dict[str, dict[str, str]]:
    """The options of a server that is a service of the realm."""
    stated = {"SPN": f"csp/localhost@{kdc.realm}", "keytab": str(kdc.keytab)}
    return {"gauth_kerberos": stated | more}


def machine(kdc: Kdc, name: str) -> dict[str, str]:
    """The environment of servers of one machine: a replay cache is a machine's."""
    return kdc.variables | kdc.replay_cache(name)


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, kdc: Kdc) -> Iterator[Master]:
    folder = tmp_path_factory.mktemp("master")
    with Master(folder, workers=2, environment=machine(kdc, "m")).start() as server:
        set_options(server, server, service(kdc))
        for name in ("ann", "bob", "cy"):
            person(server, name)
        wait_until(lambda: show(server, kdc.token("ann")).startswith("$"), 10, "tickets are taken")
        yield server


@pytest.fixture(scope="module")
def pool(
    tmp_path_factory: pytest.TempPathFactory, kdc: Kdc, master: Master
) -> Iterator[tuple[Proxy, Proxy, Proxy]]:
    """Two proxies of the master and one behind the first, each on a machine of its own."""
    folder = tmp_path_factory.mktemp("pool")
    first = Proxy(folder, master, app="p1", environment=machine(kdc, "p1"))
    second = Proxy(folder, master, app="p2", environment=machine(kdc, "p2"))
    with first, second:
        set_writable(master, first)  # so that the one behind it finds its Application
        with Proxy(folder, first, app="p3", environment=machine(kdc, "p3")) as third:
            for one in (first, second, third):
                set_options(master, one, service(kdc))
                wait_until(lambda one=one: show(one, kdc.token("ann")).startswith("$"), 10)
            yield first, second, third


def show(server: Server, token: str) -> str:
    """The reply to a token on a connection of its own."""
    with plain(server) as connection:
        return ask(connection, "CFG.AUTH", "GSSAPI", token)


def who(server: Server, token: str) -> str:
    """Whom it signs in."""
    with plain(server) as connection:
        assert ask(connection, "CFG.AUTH", "GSSAPI", token).startswith("$")
        return ask(connection, "ACL", "WHOAMI").split("\r\n")[-1]


# Whose it is.


def test_f101_a_ticket_signs_its_owner_in(master: Master, kdc: Kdc) -> None:
    with plain(master) as connection:
        assert ask(connection, "GET", "CfgTenant:1").startswith("-NOAUTH")
        reply = ask(connection, "CFG.AUTH", "GSSAPI", kdc.token("ann"))
        assert len(base64.b64decode(reply.split("\r\n")[1])) > 100, "the server proves nothing"
        assert ask(connection, "ACL", "WHOAMI").endswith("ann")


def test_f101_without_mutual_authentication_the_reply_is_empty(master: Master, kdc: Kdc) -> None:
    assert show(master, kdc.token("ann", mutual=False)) == "$0"


@pytest.mark.parametrize("place", ["server", "person"])
def test_f101_it_is_independent_of_library(master: Master, kdc: Kdc, place: str) -> None:
    internal = {"authentication": {"library": "internal"}}
    dbid = person(master, f"inner {place}", external_id=f"dee@{kdc.realm}", password="inner-word-1")
    if place == "server":
        set_options(master, master, service(kdc) | {"authentication": {"library": "gauth_ldap"}})
    else:
        set_annex(master, "CfgPerson", dbid, internal)
    try:
        assert who(master, kdc.token("dee")) == f"inner {place}"
    finally:
        set_options(master, master, service(kdc))
        delete_person(master, dbid)


def test_an_external_id_that_is_the_principal_comes_before_the_user_name(
    master: Master, kdc: Kdc
) -> None:
    dbid = person(master, "robert", external_id=f"bob@{kdc.realm}")
    assert who(master, kdc.token("bob")) == "robert"
    delete_person(master, dbid)
    assert who(master, kdc.token("bob")) == "bob"


def test_of_two_persons_with_the_same_principal_nobody_signs_in(master: Master, kdc: Kdc) -> None:
    dbids = [person(master, f"twin {n}", external_id=f"bob@{kdc.realm}") for n in (1, 2)]
    try:
        assert show(master, kdc.token("bob")) == REFUSED
    finally:
        with master.client() as client:
            for dbid in dbids:
                client.execute_command("CFG.DELETE", "CfgPerson", dbid)


def test_who_is_no_person_here_is_refused(master: Master, kdc: Kdc) -> None:
    assert show(master, kdc.token("ghost")) == REFUSED


def test_the_account_default_is_no_user_name_of_a_realm(master: Master, kdc: Kdc) -> None:
    """Whoever may make a user `default` there would be the administrator here."""
    assert show(master, kdc.token("default")) == REFUSED


def test_a_disabled_person_is_refused_and_his_sessions_end(master: Master, kdc: Kdc) -> None:
    dbid = person(master, "off", external_id=f"cy@{kdc.realm}")
    with plain(master) as connection:
        assert ask(connection, "CFG.AUTH", "GSSAPI", kdc.token("cy")).startswith("$")
        change(master, "CfgPerson", dbid, {"changed": {"state": "disabled"}})
        assert connection.recv(4096) == b""
    wait_until(lambda: show(master, kdc.token("cy")) == REFUSED, 10, "he is refused")
    delete_person(master, dbid)


def test_who_signs_in_by_a_certificate_alone_brings_no_ticket(master: Master, kdc: Kdc) -> None:
    annex = {"authentication": {"certificate-only": "true"}}
    dbid = person(master, "card", external_id=f"cy@{kdc.realm}", annex=annex)
    assert show(master, kdc.token("cy")) == REFUSED
    delete_person(master, dbid)


# That it is good once.


def test_t42_a_replay_is_refused_at_the_same_server(master: Master, kdc: Kdc) -> None:
    token = kdc.token("ann")
    assert show(master, token).startswith("$")
    for _ in range(8):  # connections go to both workers
        assert show(master, token) == REPLAY


@pytest.mark.long
def test_t42_of_many_at_once_one_is_let_in(
    pool: tuple[Proxy, Proxy, Proxy], master: Master, kdc: Kdc
) -> None:
    for _ in range(3):
        token = kdc.token("ann")
        with ThreadPoolExecutor(16) as threads:
            said = list(threads.map(show, [*pool, master] * 4, [token] * 16))
        assert sum(one.startswith("$") for one in said) == 1, said
        assert {one for one in said if not one.startswith("$")} <= {REPLAY, USED}


@parametrize_few(
    ("first", "then"), [(0, 1), (1, 0), (0, 3), (3, 1), (2, 1), (1, 2), (0, 2)], quick=3
)
def test_t42_a_replay_is_refused_at_every_server_of_the_pool(
    pool: tuple[Proxy, Proxy, Proxy], master: Master, kdc: Kdc, first: int, then: int
) -> None:
    """The master, two proxies, and one behind a proxy, each with a replay cache of its own."""
    servers: list[Server] = [*pool, master]
    token = kdc.token("bob")
    assert show(servers[first], token).startswith("$")
    assert show(servers[then], token) == USED
    assert show(servers[first], token) == REPLAY
    assert show(servers[then], kdc.token("bob")).startswith("$")


def test_t42_a_token_that_was_repacked_is_the_same_one(
    pool: tuple[Proxy, Proxy, Proxy], kdc: Kdc
) -> None:
    token = bytearray(base64.b64decode(kdc.token("ann", mutual=False)))
    assert show(pool[0], base64.b64encode(token).decode()).startswith("$")
    options = token.index(bytes.fromhex("a20703050000000000"))
    token[options + 5] = 0x20  # mutual authentication is wanted now: nothing guards that bit
    assert show(pool[1], base64.b64encode(token).decode()) == USED


def test_t42_a_new_writer_of_the_master_knows_what_was_used(
    pool: tuple[Proxy, Proxy, Proxy], master: Master, kdc: Kdc
) -> None:
    token = kdc.token("ann")
    assert show(pool[0], token).startswith("$")
    writer = master.child("writer")
    saved = "SELECT count(*) FROM tickets"
    count = rows(master, saved)
    wait_until(lambda: rows(master, saved) >= max(count, 1), 10, "it is saved")
    wait_until(lambda: not unsaved(master, token), 10, "this one too")
    writer.kill()
    wait_until(
        lambda: (one := master.children().get("writer")) and one.pid != writer.pid, 10, "another"
    )
    wait_until(lambda: show(pool[1], kdc.token("ann")).startswith("$"), 10, "it is asked again")
    assert show(pool[1], token) == USED


def rows(master: Master, statement: str) -> int:
    """One number of the database."""
    import sqlite3

    with sqlite3.connect(f"file:{master.place.path}?mode=ro", uri=True) as database:
        return int(database.execute(statement).fetchone()[0])


def unsaved(master: Master, token: str) -> bool:
    from csp.kerberos.token import digest_of

    digest = digest_of(base64.b64decode(token))
    return not rows(master, f"SELECT count(*) FROM tickets WHERE digest = '{digest}'")


@pytest.mark.long
def test_t42_without_the_master_this_machines_cache_decides_alone_and_that_is_said(
    kdc: Kdc, tmp_path: Path
) -> None:
    with Master(tmp_path, environment=machine(kdc, "am")).start() as alone:
        set_options(alone, alone, service(kdc))
        person(alone, "ann")
        first = Proxy(tmp_path, alone, app="p1", environment=machine(kdc, "a1"))
        second = Proxy(tmp_path, alone, app="p2", environment=machine(kdc, "a2"))
        with first, second:
            for one in (first, second):
                set_options(alone, one, service(kdc))
                wait_until(lambda one=one: show(one, kdc.token("ann")).startswith("$"), 10)
            assert alone.stop() == 0
            token = kdc.token("ann")
            told = "Kerberos tickets that were used at another server are not known here"
            wait_until(lambda: show(first, kdc.token("ann")).startswith("$"), 10)
            wait_until(lambda: told in first.log_text(), 10, "it is said")
            assert show(first, token).startswith("$")
            assert show(first, token) == REPLAY
            assert show(second, token).startswith("$"), "nobody could know: docs say so"
            alone.start()
            back = "the master is asked about Kerberos tickets again"
            wait_until(
                lambda: show(first, kdc.token("ann")).startswith("$") and back in first.log_text(),
                20,
                "it is asked again",
            )
            token = kdc.token("ann")
            assert show(first, token).startswith("$")
            wait_until(lambda: is_fed(second), 20, "the other one is fed again")
            assert show(second, token) == USED


def is_fed(proxy: Proxy) -> bool:
    return "link down" not in proxy.alarms()


# What is no ticket for this service.


def test_f101_tickets_of_others_and_of_other_times_are_refused(
    master: Master, kdc: Kdc, tmp_path: Path
) -> None:
    cache = kdc.sign_in("ann")
    assert show(master, kdc.token("ann", cache=cache)).startswith("$")
    said = show(master, kdc.token("ann", cache=cache, at="+10m"))
    assert said == "-WRONGPASS Kerberos says: Clock skew too great"
    kdc.add_service("csp/elsewhere", tmp_path / "elsewhere.keytab")
    said = show(master, kdc.token("ann", service="csp@elsewhere"))
    assert said.startswith("-WRONGPASS Kerberos says: ")
    assert "csp/elsewhere" in said


@pytest.mark.long
def test_f101_an_expired_ticket_is_refused(kdc: Kdc, tmp_path: Path) -> None:
    realm = Kdc(tmp_path / "kdc", {"ann": USERS["ann"]})
    try:
        realm.start("-2h")
        token = realm.token("ann", cache=realm.sign_in("ann", at="-2h"), at="-2h")
    finally:
        realm.stop()
    with Master(tmp_path, environment=machine(realm, "m")).start() as server:
        set_options(server, server, service(realm))
        person(server, "ann")
        said = "-WRONGPASS Kerberos says: Ticket expired"
        wait_until(lambda: show(server, token) == said, 10, "it is expired")


@pytest.mark.long
def test_f101_a_principal_of_another_realm_is_refused(
    master: Master, kdc: Kdc, tmp_path: Path
) -> None:
    with Kdc(tmp_path / "other", {"ann": "other-realm-word-1"}, realm="OTHER.TEST") as other:
        kdc.trust(other)
        try:
            token = other.token("ann", cache=other.sign_in("ann"))
            said = show(master, token)
            assert (
                said == f"-WRONGPASS Kerberos says: the ticket is of another realm than {kdc.realm}"
            )
            set_options(master, master, service(kdc, realm="OTHER.TEST"))
            wait_until(lambda: who_or(master, other.token("ann")) == "ann", 10, "it is named now")
            assert show(master, kdc.token("ann")).startswith("-WRONGPASS Kerberos says: the ticket")
        finally:
            set_options(master, master, service(kdc))
    wait_until(lambda: show(master, kdc.token("ann")).startswith("$"), 10, "as before")


def who_or(server: Server, token: str) -> str:
    try:
        return who(server, token)
    except AssertionError:
        return ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("GSSAPI", "no base64!"), "-BADVALUE the token is not base64"),
        (("GSSAPI", ""), "-WRONGPASS Kerberos says: the token is cut off"),
        (("GSSAPI", "bm8gdG9rZW4="), "-WRONGPASS Kerberos says: the token"),
        (("PLAIN", "bm8gdG9rZW4="), "-BADVALUE b'PLAIN' is no way to sign in here"),
        (("GSSAPI",), "-ERR wrong number of arguments"),
    ],
)
def test_what_is_no_token_is_refused_in_words(
    master: Master, words: tuple[str, ...], said: str
) -> None:
    with plain(master) as connection:
        assert ask(connection, "CFG.AUTH", *words).startswith(said)
        assert ask(connection, "GET", "CfgTenant:1").startswith("-NOAUTH")


@pytest.mark.long
def test_a_flood_of_wrong_tokens_holds_up_nobody_else(master: Master, kdc: Kdc) -> None:
    junk, good = base64.b64encode(b"\x60" + b"x" * 2000).decode(), kdc.token("ann")
    flood = [plain(master) for _ in range(100)]
    for one in flood:
        one.sendall(request("CFG.AUTH", "GSSAPI", junk))
    with socket.create_connection(
        ("127.0.0.1", master.port), timeout=60, source_address=("127.0.0.9", 0)
    ) as connection:
        began = time.monotonic()
        assert ask(connection, "CFG.AUTH", "GSSAPI", good).startswith("$")
        assert time.monotonic() - began < QUICK_SECONDS_MAX
    said = {one.recv(4096)[:5] for one in flood}
    assert said == {b"-WRON", b"-BUSY"}
    for one in flood:
        one.close()


# What is not set up.


@pytest.mark.long
def test_a_missing_keytab_lets_nobody_in_and_is_an_alarm(kdc: Kdc, tmp_path: Path) -> None:
    with Master(tmp_path, environment=machine(kdc, "k")).start() as server:
        person(server, "ann", password="ann-csp-word-1")
        assert show(server, kdc.token("ann")).startswith("-ERR external sign-in does not work here")
        assert KERBEROS.name not in server.children(), "a process that nobody needs"
        missing = str(tmp_path / "no.keytab")
        set_options(server, server, service(kdc, keytab=missing))
        said = wait_until(
            lambda: found if missing in (found := show(server, kdc.token("ann"))) else "", 10
        )
        assert said.startswith("-ERR external sign-in does not work here")
        assert "external sign-in" in server.alarms()
        assert f"no key of csp/localhost@{kdc.realm} can be had from {missing}" in server.log_text()
        assert sign_in(server, "ann", "ann-csp-word-1") == "+OK"
        set_options(server, server, service(kdc))
        wait_until(lambda: show(server, kdc.token("ann")).startswith("$"), 10, "it works now")
        wait_until(lambda: not server.alarms(), 10, "no alarm is left")


def test_a_missing_module_lets_nobody_in_and_is_named(kdc: Kdc, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "gssapi"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('libgssapi_krb5.so.2: not there')\n")
    variables = machine(kdc, "b") | {"PYTHONPATH": f"{broken.parent}:{ROOT}"}
    with Master(tmp_path, environment=variables).start() as server:
        person(server, "ann", password="ann-csp-word-1")
        set_options(server, server, service(kdc))
        words = "pip install csp[kerberos] (libgssapi_krb5.so.2: not there)"
        wait_until(lambda: words in show(server, kdc.token("ann")), 10, "the package is named")
        assert any("csp[kerberos]" in one["text"] for one in server.alarms().values())
        assert sign_in(server, "ann", "ann-csp-word-1") == "+OK"


@pytest.mark.long
def test_a_backend_that_dies_costs_a_token_and_comes_back(master: Master, kdc: Kdc) -> None:
    assert show(master, kdc.token("ann")).startswith("$")
    backend = master.child(KERBEROS.name)
    os.kill(backend.pid, signal.SIGSTOP)
    token = kdc.token("ann")
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(show, master, token)
        backend.kill()
        said = asked.result(30)
    assert said.startswith(("-BUSY", "$"))
    wait_until(lambda: show(master, kdc.token("ann")).startswith("$"), 15, "another one serves")


# The client library.


@pytest.fixture
def ticket(kdc: Kdc, monkeypatch: pytest.MonkeyPatch) -> Kdc:
    """This process is Ann's, who has just signed in to the realm."""
    for name, value in kdc.variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{kdc.sign_in('ann')}")
    return kdc


def test_the_client_signs_in_by_the_ticket_of_its_user(master: Master, ticket: Kdc) -> None:
    with Client(f"localhost:{master.port}", Kerberos()) as client:
        assert client.call("ACL", "WHOAMI") == b"ann"
        assert client.call("CLIENT", "GETNAME") is None
        client.close()  # the next call makes another token
        assert client.call("ACL", "WHOAMI") == b"ann"

    async def alike() -> Any:
        other = AsyncClient(f"127.0.0.1:{master.port}", Kerberos("csp@localhost"))
        try:
            return await other.call("ACL", "WHOAMI")
        finally:
            other.close()

    assert asyncio.run(alike()) == b"ann"


def test_the_client_comes_back_by_its_session_token(master: Master, ticket: Kdc) -> None:
    create_desk(master)
    with master.client() as asking:
        page = asking.execute_command("CFG.READ", "CfgPerson", "FILTER", "user_name", "ann")
    let_in(master, int(json.loads(page[2][0])["DBID"]))
    session = Session(DESK)
    with Client(f"localhost:{master.port}", Kerberos(), session=session) as client:
        client.call("PING")
        client.close()
        client.call("PING")
        assert session.restored == 1


def test_the_client_says_why_there_is_no_ticket(
    master: Master, ticket: Kdc, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with (
        Client(f"localhost:{master.port}", Kerberos("csp@nowhere")) as client,
        pytest.raises(NoTicket, match="csp@nowhere"),
    ):
        client.call("PING")
    monkeypatch.setenv("KRB5CCNAME", f"FILE:{tmp_path}/none")
    with (
        Client(f"localhost:{master.port}", Kerberos()) as client,
        pytest.raises(NoTicket, match="no ticket for csp@localhost"),
    ):
        client.call("PING")
