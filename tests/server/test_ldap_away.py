"""LDAP directories that are silent, slow or gone, and backends that die: whom it holds up."""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from csp.auth.line import WAITING_MAX
from csp.model.token import is_token
from tests.effort import parametrize_few
from tests.neighbours.server import Master
from tests.neighbours.slapd import SEARCHER, SEARCHER_PASSWORD, SUFFIX, Slapd, Slow, mute
from tests.neighbours.waiting import wait_until
from tests.server.directory_helpers import (
    ask,
    change,
    person,
    plain,
    set_options,
    sign_in,
    timed,
    wait_sign_in,
)
from tests.server.feed_helpers import DESK, create_desk, let_in

pytestmark = pytest.mark.needs("slapd")

PEOPLE = {f"u{number}": f"word-of-{number}" for number in range(200)}
LDAP = {"library": "gauth_ldap"}
INTERNAL = {"authentication": {"library": "internal"}}
CHANGED = itertools.count(1)
SLOW_SECONDS = 5.0
QUICK_SECONDS_MAX = 3.0  # a local sign-in meanwhile, on a busy machine: far less than the slow one


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd(tmp_path_factory.mktemp("slapd"), PEOPLE) as server:
        yield server


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Master]:
    with Master(tmp_path_factory.mktemp("master"), workers=2).start() as server:
        person(server, "local", password="local-word-1")
        person(server, "other local", password="local-word-2")
        yield server


def section(port: int, **more: Any) -> dict[str, Any]:
    """The options of a server of the directory."""
    stated = {
        "ldap-url": f"ldap://localhost:{port}/{SUFFIX}??sub?(uid=X)",
        "app-user": SEARCHER,
        "password": SEARCHER_PASSWORD,
        "connect-timeout": 2,
        "response-timeout": 2,
    }
    return stated | {name.replace("_", "-"): value for name, value in more.items()}


@parametrize_few("way", ["plain", "ldaps", "start-tls"], quick=1)
def test_t38_the_first_server_is_silent_the_second_becomes_active_and_stays(
    master: Master, slapd: Slapd, way: str
) -> None:
    """T38: silence in the bind, in the handshake of TLS, in the answer to StartTLS."""
    with mute() as first:
        silent = section(first.port)
        if way == "ldaps":
            silent["ldap-url"] = silent["ldap-url"].replace("ldap:", "ldaps:")
        silent |= {
            "start-tls": str(way == "start-tls").lower(),
            "cacert-path": str(slapd.authority.root),
        }
        annex = {"authentication": LDAP, "gauth_ldap": silent, "gauth_ldap_1": section(slapd.port)}
        for number in (1, 2):
            person(master, f"{way} {number}", external_id=f"u{number}", annex=annex)
        said, seconds = timed(master, f"{way} 1", PEOPLE["u1"])
        assert (said, first.taken) == ("+OK", 1)
        assert seconds >= 1.5, "the first was not waited for"
        said, seconds = timed(master, f"{way} 2", PEOPLE["u2"])
        assert (said, first.taken) == ("+OK", 1), "the silent one was asked again"
        assert seconds < 1.5
        assert f"localhost:{slapd.port} is asked from now on" in master.log_text(200_000)


def test_t38_the_active_one_fails_and_the_first_is_asked_again(
    master: Master, slapd: Slapd, tmp_path: Path
) -> None:
    with Slapd(tmp_path / "second", {"u1": PEOPLE["u1"]}) as second:
        annex = {
            "authentication": LDAP,
            "gauth_ldap": section(second.port),
            "gauth_ldap_1": section(slapd.port),
        }
        person(master, "to and fro", external_id="u1", annex=annex)
        assert sign_in(master, "to and fro", PEOPLE["u1"]) == "+OK"
        second.stop()
        assert sign_in(master, "to and fro", PEOPLE["u1"]) == "+OK"
        second.start()
        before = second.binds("u1")
        assert sign_in(master, "to and fro", PEOPLE["u1"]) == "+OK"
        assert second.binds("u1") == before, "the first came back by itself"
        slapd.stop()
        try:
            assert sign_in(master, "to and fro", PEOPLE["u1"]) == "+OK"
            assert second.binds("u1") == before + 1
        finally:
            slapd.start()


def test_a_directory_that_is_away_refuses_and_is_an_alarm_until_it_answers(
    master: Master, slapd: Slapd
) -> None:
    annex = {"authentication": LDAP, "gauth_ldap": section(slapd.port)}
    person(master, "away", external_id="u3", annex=annex, password="away-csp-word-1")
    assert sign_in(master, "away", PEOPLE["u3"]) == "+OK"
    slapd.stop()
    try:
        for word in (PEOPLE["u3"], "away-csp-word-1"):
            assert sign_in(master, "away", word).startswith("-BUSY can't sign in now: no server")
        alarm = master.alarms()["directory away"]
        assert f"ldap://localhost:{slapd.port}" in alarm["text"]
    finally:
        slapd.start()
    assert sign_in(master, "away", PEOPLE["u3"]) == "+OK"
    assert "directory away" not in master.alarms()
    assert f"localhost:{slapd.port}/{SUFFIX} answers again" in master.log_text(200_000)


@pytest.mark.long
def test_a_slow_directory_holds_up_neither_local_users_nor_another_directory(
    master: Master, slapd: Slapd
) -> None:
    slow = Slow(slapd.port, SLOW_SECONDS)
    try:
        patient = {"response_timeout": 30, "connect_timeout": 30}
        annex = {"authentication": LDAP, "gauth_ldap": section(slow.port, **patient)}
        for number in range(100):
            person(master, f"slow {number}", external_id=f"u{number}", annex=annex)
        quick = {"authentication": LDAP, "gauth_ldap": section(slapd.port)}
        person(master, "quick", external_id="u199", annex=quick)
        assert sign_in(master, "quick", PEOPLE["u199"]) == "+OK"
        with ThreadPoolExecutor(100) as pool:
            asked = [pool.submit(sign_in, master, f"slow {n}", PEOPLE[f"u{n}"]) for n in range(100)]
            wait_until(lambda: slow.taken >= 60, 20, "the slow one is asked by many")
            said, seconds = timed(master, "quick", PEOPLE["u199"])
            assert (said, seconds < QUICK_SECONDS_MAX) == ("+OK", True), seconds
            for word in ("local-word-1", "local-word-2"):
                user = "local" if word.endswith("1") else "other local"
                said, seconds = timed(master, user, word)
                assert (said, seconds < QUICK_SECONDS_MAX) == ("+OK", True), seconds
            assert not any(one.done() for one in asked), "the slow one was not slow"
            assert {one.result() for one in asked} == {"+OK"}
    finally:
        slow.close()


def test_equal_questions_at_once_are_one_bind(master: Master, slapd: Slapd) -> None:
    slow = Slow(slapd.port, 1.0)
    try:
        annex = {"authentication": LDAP, "gauth_ldap": section(slow.port, response_timeout=10)}
        person(master, "many", external_id="u5", annex=annex)
        before = slapd.binds("u5")
        with ThreadPoolExecutor(20) as pool:
            said = pool.map(lambda _: sign_in(master, "many", PEOPLE["u5"]), range(20))
            assert set(said) == {"+OK"}
        assert slapd.binds("u5") - before == 1
    finally:
        slow.close()


@parametrize_few(
    ("delta", "said"),
    [
        ({"changed": {"state": "disabled"}}, "-WRONGPASS"),
        ({"changed": {"externalID": "u9"}}, "-BUSY the account has changed"),
        ({"userProperties": {"changed": INTERNAL}}, "-WRONGPASS"),  # csp has no password of his
    ],
    quick=1,
)
def test_a_directorys_yes_is_worth_nothing_for_who_is_changed_meanwhile(
    master: Master, slapd: Slapd, delta: dict[str, Any], said: str
) -> None:
    slow = Slow(slapd.port, 2.0)
    try:
        annex = {"authentication": LDAP, "gauth_ldap": section(slow.port, response_timeout=20)}
        user = f"changed {next(CHANGED)}"
        dbid = person(master, user, external_id="u8", annex=annex)
        with ThreadPoolExecutor(1) as pool:
            asked = pool.submit(sign_in, master, user, PEOPLE["u8"])
            wait_until(lambda: slow.taken, 20, "the directory is asked")
            change(master, "CfgPerson", dbid, delta)
            assert not asked.done(), "the slow one was not slow"
            assert asked.result().startswith(said)
    finally:
        slow.close()


@pytest.mark.long
def test_a_full_line_is_told_at_once(master: Master) -> None:
    """Each is a question of its own; the directory answers none of them."""
    with mute() as silent:
        patient = {"connect_timeout": 20, "response_timeout": 20}
        annex = {"authentication": LDAP, "gauth_ldap": section(silent.port, **patient)}
        person(master, "crowd", external_id="u6", annex=annex)
        count = WAITING_MAX + 200
        connections = [plain(master) for _ in range(count)]
        from csp.resp import request

        for number, one in enumerate(connections):
            one.sendall(request("AUTH", "crowd", f"crowded-word-{number}"))
        said = Counter()
        for one in connections:
            one.settimeout(0.05)
            try:
                said[one.recv(4096)[:5]] += 1
            except TimeoutError:
                said[b""] += 1
        assert said[b"-BUSY"] >= count - WAITING_MAX - 64
        assert said[b"+OK\r\n"] == 0
        assert timed(master, "local", "local-word-1")[1] < QUICK_SECONDS_MAX
        for one in connections:
            one.close()
    # What waits for nobody is let go of with its deadline; others sign in meanwhile.


@parametrize_few("victim", ["ldap", "auth"], quick=1)
def test_a_process_that_dies_mid_question_is_asked_again(
    master: Master, slapd: Slapd, victim: str
) -> None:
    slow = Slow(slapd.port, 2.0)
    try:
        annex = {"authentication": LDAP, "gauth_ldap": section(slow.port, response_timeout=20)}
        person(master, f"dies {victim}", external_id="u7", annex=annex)
        with ThreadPoolExecutor(1) as pool:
            taken = slow.taken
            asked = pool.submit(sign_in, master, f"dies {victim}", PEOPLE["u7"])
            wait_until(lambda: slow.taken > taken, 20, "the directory is asked")
            master.child(victim).send_signal(signal.SIGKILL)
            assert asked.result() == "+OK"
        assert slow.taken >= taken + 2
    finally:
        slow.close()


@pytest.mark.long
def test_no_process_asks_directories_where_nobody_has_one(tmp_path: Path, slapd: Slapd) -> None:
    with Master(tmp_path).start() as server:
        assert sign_in(server, "default", "no-such-word-1").startswith("-WRONGPASS")
        assert "ldap" not in server.children()
        person(server, "ann", external_id="u8")
        set_options(server, server, {"authentication": LDAP, "gauth_ldap": section(slapd.port)})
        wait_sign_in(server, "ann", PEOPLE["u8"], "+OK")
        first = server.child("ldap").pid
        assert "process missing" not in server.alarms()
        server.child("ldap").kill()
        assert sign_in(server, "ann", PEOPLE["u8"]) == "+OK"
        assert server.child("ldap").pid != first
        server.stop()
        server.start()
        assert "ldap" not in server.children()
        wait_sign_in(server, "ann", PEOPLE["u8"], "+OK")


def test_a_token_of_such_an_account_restores_while_its_directory_is_away(
    master: Master, slapd: Slapd
) -> None:
    create_desk(master, DESK)
    annex = {"authentication": LDAP, "gauth_ldap": section(slapd.port)}
    dbid = person(master, "token", external_id="u9", annex=annex)
    let_in(master, dbid)
    with plain(master) as connection:
        assert ask(connection, "AUTH", "token", PEOPLE["u9"]) == "+OK"
        said = ask(connection, "CFG.REGISTER", DESK)
        token = next(word for word in said.split() if is_token(word.encode()))
    slapd.stop()
    try:
        assert sign_in(master, "token", PEOPLE["u9"]).startswith("-BUSY")
        with plain(master) as restored:
            assert ask(restored, "AUTH", "token", token) == "+OK"
            # Its sessions end when the person is disabled, and the token with them.
            change(master, "CfgPerson", dbid, {"changed": {"state": "disabled"}})
            restored.settimeout(10)
            assert restored.recv(4096) == b"", "the session went on"
        assert sign_in(master, "token", token).startswith("-WRONGPASS")
    finally:
        slapd.start()
