"""Signing in by real LDAP directories: who is asked, what is answered, and whom it holds up."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.effort import parametrize_few
from tests.neighbours import secrets
from tests.neighbours.server import Master, Proxy
from tests.neighbours.slapd import SEARCHER, SEARCHER_PASSWORD, Slapd
from tests.neighbours.waiting import wait_until
from tests.server.directory_helpers import (
    ask,
    change,
    person,
    plain,
    set_annex,
    set_options,
    sign_in,
    wait_sign_in,
)
from tests.server.feed_helpers import let_in

pytestmark = pytest.mark.needs("slapd")

# Names that are filters, formats or distinguished names to whoever is careless.
ODD = {
    "*)(uid=*": "odd-word-1",
    "a%sX": "odd-word-2",
    r"b\2a(c)": "odd-word-3",
    "é, X": "odd-word-4",
}
PEOPLE = {"ann": "ann-word-1", "bob": "bob-word-1", "cy": "cy-word-11", **ODD}
GUESTS = {"gus": "gus-word-1", "ann": "other-ann-1"}
LDAP = {"library": "gauth_ldap"}
WRONG = "-WRONGPASS the directory says: Invalid credentials"


@pytest.fixture(scope="module")
def slapd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with Slapd(tmp_path_factory.mktemp("slapd"), PEOPLE, GUESTS) as server:
        yield server


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, slapd: Slapd) -> Iterator[Master]:
    """One whose users with an External ID are those of the directory."""
    with Master(tmp_path_factory.mktemp("master"), workers=2).start() as server:
        set_options(server, server, {"authentication": LDAP, "gauth_ldap": section(slapd)})
        for uid in ("ann", "bob"):
            person(server, uid, external_id=uid)
        person(server, "local", password="local-word-1")
        wait_sign_in(server, "bob", PEOPLE["bob"], "+OK")
        yield server


def section(slapd: Slapd, unit: str = "people", **more: Any) -> dict[str, Any]:
    """The options of a directory."""
    stated = {
        "ldap-url": slapd.url(unit),
        "app-user": SEARCHER,
        "password": SEARCHER_PASSWORD,
    }
    return stated | {name.replace("_", "-"): value for name, value in more.items()}


def own(slapd: Slapd, unit: str = "people", **more: Any) -> dict[str, dict[str, Any]]:
    """The annex of a person who is kept in a directory of his own."""
    return {"authentication": LDAP, "gauth_ldap": section(slapd, unit, **more)}


def test_f99_a_person_of_the_directory_signs_in_without_a_password_of_csp(master: Master) -> None:
    assert sign_in(master, "ann", PEOPLE["ann"]) == "+OK"
    with plain(master) as connection:
        assert ask(connection, "AUTH", "ann", PEOPLE["ann"]) == "+OK"
        assert ask(connection, "PING") == "+PONG"


def test_t39_a_refusal_comes_with_the_directorys_words(master: Master) -> None:
    with plain(master, "127.0.0.5") as connection:
        assert ask(connection, "AUTH", "ann", "no-word-of-hers").startswith(WRONG)
    words = "sign-in of ann from 127.0.0.5 refused: WRONGPASS the directory says: Invalid"
    wait_until(lambda: words in master.log_text(1_000_000), 10, "it is logged")


def test_t39_who_is_refused_there_is_let_in_by_nothing_else(master: Master, slapd: Slapd) -> None:
    """Neither by a password of csp nor by the next server of the list."""
    annex = own(slapd) | {"gauth_ldap_1": section(slapd, "guests")}
    dbid = person(master, "fall", external_id="ann", annex=annex, password="fall-word-1")
    assert sign_in(master, "fall", "fall-word-1").startswith(WRONG)
    assert sign_in(master, "fall", GUESTS["ann"]).startswith(WRONG)
    assert sign_in(master, "fall", PEOPLE["ann"]) == "+OK"
    set_annex(master, "CfgPerson", dbid, {"authentication": {"library": "internal"}})
    wait_sign_in(master, "fall", "fall-word-1", "+OK")


def test_who_is_not_there_hears_what_a_wrong_password_hears(master: Master, slapd: Slapd) -> None:
    person(master, "lost", external_id="nobody-there")
    assert sign_in(master, "lost", "some-word-1") == f"{WRONG}"
    assert "finds no entry for 'nobody-there'" in master.log_text()


def test_of_two_equal_names_nobody_signs_in(master: Master, slapd: Slapd) -> None:
    """The base holds both branches, and each has an ann."""
    person(master, "two", external_id="ann", annex=own(slapd, ""))
    for word in (PEOPLE["ann"], GUESTS["ann"]):
        assert sign_in(master, "two", word).startswith(WRONG)
    assert "finds more than one entry for 'ann'" in master.log_text()


@parametrize_few("name", ODD, quick=2)
def test_odd_names_are_names_and_nothing_else(master: Master, slapd: Slapd, name: str) -> None:
    user = f"odd {list(ODD).index(name)}"
    person(master, user, external_id=name)
    assert sign_in(master, user, PEOPLE["ann"]).startswith(WRONG)
    assert sign_in(master, user, ODD[name]) == "+OK"


@parametrize_few("password", ["", " ", " \t ", "\0"], quick=1)
def test_t41_a_blank_password_reaches_no_directory(
    master: Master, slapd: Slapd, password: str
) -> None:
    binds = slapd.count("BIND dn=")
    set_free = {"confserv": {"allow-external-empty-password": "true"}}
    set_options(master, master, {"authentication": LDAP, "gauth_ldap": section(slapd)} | set_free)
    assert sign_in(master, "ann", password).startswith("-WRONGPASS an empty password")
    assert slapd.count("BIND dn=") == binds


def test_who_is_disabled_is_refused_whatever_the_directory_says(
    master: Master, slapd: Slapd
) -> None:
    dbid = person(master, "off", external_id="cy")
    assert sign_in(master, "off", PEOPLE["cy"]) == "+OK"
    change(master, "CfgPerson", dbid, {"changed": {"state": "disabled"}})
    binds = slapd.binds("cy")
    refused = wait_sign_in(master, "off", PEOPLE["cy"], "-WRONGPASS")
    assert refused == sign_in(master, "no such user", "some-word-1")
    assert slapd.binds("cy") == binds


def test_an_unknown_user_is_asked_of_no_directory(master: Master, slapd: Slapd) -> None:
    searches = slapd.count(" SRCH base=")
    assert sign_in(master, "ghost", PEOPLE["ann"]).startswith("-WRONGPASS invalid")
    assert slapd.count(" SRCH base=") == searches


def test_f102_a_person_and_his_tenant_override_the_server(master: Master, slapd: Slapd) -> None:
    tenant = create_tenant(master)
    guest = person(master, "gus", external_id="gus", tenantDBID=tenant)
    assert sign_in(master, "gus", GUESTS["gus"]).startswith(WRONG)  # the server's branch
    set_annex(master, "CfgTenant", tenant, {"gauth_ldap": section(slapd, "guests")})
    wait_sign_in(master, "gus", GUESTS["gus"], "+OK")
    set_annex(master, "CfgPerson", guest, {"gauth_ldap": section(slapd, "people")})
    wait_sign_in(master, "gus", GUESTS["gus"], "-WRONGPASS")
    set_annex(master, "CfgPerson", guest, {"authentication": {"library": "internal"}})
    wait_sign_in(master, "gus", GUESTS["gus"], "-WRONGPASS invalid username-password")


def create_tenant(master: Master) -> int:
    with master.client() as client:
        text = json.dumps({"name": f"tenant {time.monotonic_ns()}", "parentTenantDBID": 1})
        _, dbid = client.execute_command("CFG.CREATE", "CfgTenant", text)
    return int(dbid)


@pytest.mark.long
def test_f103_enforced_means_all_but_the_account_default(tmp_path: Path, slapd: Slapd) -> None:
    """F103, and a proxy of its own: each server asks the directories itself."""
    enforced = LDAP | {"enforce-external-auth": "true"}
    with Master(tmp_path).start() as above, Proxy(tmp_path, above).start() as proxy:
        person(above, "bob", password="bobs-csp-word-1")
        set_options(above, proxy, {"authentication": enforced, "gauth_ldap": section(slapd)})
        wait_sign_in(proxy, "bob", PEOPLE["bob"], "+OK")
        assert sign_in(proxy, "bob", "bobs-csp-word-1").startswith(WRONG)
        assert sign_in(above, "bob", "bobs-csp-word-1") == "+OK"  # nothing is said of the master
        assert proxy.answers()  # the account default, by its own password
        assert "ldap" not in above.children()


def test_nobody_changes_a_password_here_that_a_directory_keeps(master: Master) -> None:
    with plain(master) as connection:
        assert ask(connection, "AUTH", "bob", PEOPLE["bob"]) == "+OK"
        said = ask(connection, "CFG.PASSWD", PEOPLE["bob"], "another-word-1")
        assert said == "-NOPERM a directory keeps this password: it is changed there"
    with master.client() as client, pytest.raises(redis.ResponseError, match="a directory keeps"):
        client.execute_command("CFG.PASSWD", "bob", "correct horse", "another-word-1")
    assert sign_in(master, "bob", PEOPLE["bob"]) == "+OK"


def test_who_is_kept_elsewhere_changes_anothers_password_here(master: Master) -> None:
    """By his own of the directory, if he may."""
    let_in(master, person(master, "chief", external_id="cy"))
    with plain(master) as connection:
        assert ask(connection, "AUTH", "chief", PEOPLE["cy"]) == "+OK"
        said = ask(connection, "CFG.PASSWD", "local", "no-word-of-his", "local-word-3")
        assert said.startswith("-WRONGPASS the old password is wrong")
        assert ask(connection, "CFG.PASSWD", "local", PEOPLE["cy"], "local-word-3") == "+OK"
    assert sign_in(master, "local", "local-word-3") == "+OK"


def test_rules_for_passwords_and_locks_are_the_directorys_and_sessions_are_counted(
    master: Master, slapd: Slapd
) -> None:
    tenant = create_tenant(master)
    rules = {"account-lockout-threshold": 2, "force-password-reset": "true"}
    rules |= {"password-expiration": 1, "max-account-sessions": 1}
    section_of_rules = {"security-authentication-rules": rules}
    change(master, "CfgTenant", tenant, {"userProperties": {"changed": section_of_rules}})
    person(
        master,
        "ruled",
        external_id="ann",
        tenantDBID=tenant,
        password="ruled-word-1",
        changePasswordOnNextLogin=True,
    )
    for _ in range(3):
        assert sign_in(master, "ruled", "no-word-of-hers").startswith(WRONG)
    with plain(master) as connection:
        assert ask(connection, "AUTH", "ruled", PEOPLE["ann"]) == "+OK"
        assert sign_in(master, "ruled", PEOPLE["ann"]).startswith("-BUSY ")
    wait_sign_in(master, "ruled", PEOPLE["ann"], "+OK")


@pytest.mark.long
def test_t40_a_module_that_is_missing_refuses_and_says_which(tmp_path: Path, slapd: Slapd) -> None:
    """T40: nobody gets in by a password of csp instead. The module is hidden from the server."""
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "ldap.py").write_text("raise ModuleNotFoundError('hidden', name='ldap')\n")
    path = f"{hidden}:{Path(__file__).resolve().parents[2]}"
    with Master(tmp_path, environment={"PYTHONPATH": path}).start(PYTHONPATH=path) as server:
        person(server, "ann", external_id="ann", password="ann-csp-word-1")
        set_options(server, server, {"authentication": LDAP, "gauth_ldap": section(slapd)})
        for word in ("ann-csp-word-1", PEOPLE["ann"]):
            said = wait_sign_in(server, "ann", word, "-ERR external sign-in does not work here")
            assert "pip install 'csp[ldap]'" in said
        alarm = server.alarms()["external sign-in"]
        assert "pip install 'csp[ldap]'" in alarm["text"]
        set_options(server, server, {"authentication": {"library": "gauth_sap"}})
        said = wait_sign_in(server, "ann", "ann-csp-word-1", "-ERR external sign-in")
        wait_until(lambda: "gauth_sap" in sign_in(server, "ann", "ann-csp-word-1"), 10)


@parametrize_few(
    ("more", "words"),
    [
        ({"ldap_url": "ldap://localhost:1/dc=x"}, "no X"),
        ({"ldap_url": "http://localhost/"}, "LDAP URL"),
        ({"password": "wrong-search-1"}, "refuses 'cn=searcher"),
        ({"password": ""}, "neither password-file nor password"),
        ({"cacert_path": "/nowhere/ca.pem", "start_tls": "true"}, "can't be read"),
        ({"cert_path": "/etc/hostname"}, "go together"),
        ({"password_file": "/nowhere/word"}, "password-file"),
    ],
    quick=2,
)
def test_wrong_settings_refuse_and_say_what_is_wrong(
    master: Master, slapd: Slapd, more: dict[str, str], words: str
) -> None:
    secrets.note("wrong-search-1")
    user = f"wrong {words}"
    person(master, user, external_id="ann", annex=own(slapd, **more))
    said = sign_in(master, user, PEOPLE["ann"])
    assert said.startswith("-ERR external sign-in does not work here: ")
    assert words in said
    assert "external sign-in" in master.alarms()
    assert sign_in(master, "bob", PEOPLE["bob"]) == "+OK"
    # One that works ends its own trouble alone.
    assert "external sign-in" in master.alarms()


def test_the_searchers_password_may_lie_in_a_file(
    master: Master, slapd: Slapd, tmp_path: Path
) -> None:
    file = tmp_path / "word"
    file.write_text(f"{SEARCHER_PASSWORD}\n")
    file.chmod(0o600)
    annex = own(slapd, password="", password_file=str(file))
    person(master, "filed", external_id="ann", annex=annex)
    assert sign_in(master, "filed", PEOPLE["ann"]) == "+OK"
    file.chmod(0o644)
    assert "chmod 600" in sign_in(master, "filed", PEOPLE["ann"])


@parametrize_few("way", ["ldaps", "start-tls"], quick=1)
def test_a_directory_by_tls_is_checked_by_its_certificate(
    master: Master, slapd: Slapd, way: str, tmp_path: Path
) -> None:
    ca = str(slapd.authority.root)
    options: dict[str, Any] = {"ldap_url": slapd.url(secure=True)}
    if way == "start-tls":
        options = {"ldap_url": slapd.url(), "start_tls": "true"}
    person(master, f"tls {way}", external_id="ann", annex=own(slapd, cacert_path=ca, **options))
    assert sign_in(master, f"tls {way}", PEOPLE["ann"]) == "+OK"
    assert sign_in(master, f"tls {way}", "no-word-of-hers").startswith(WRONG)
    # By the machine's own authorities, and by another name, it is nobody.
    person(master, f"unknown {way}", external_id="ann", annex=own(slapd, **options))
    assert sign_in(master, f"unknown {way}", PEOPLE["ann"]).startswith("-BUSY ")
    named = {**options, "ldap_url": options["ldap_url"].replace("127.0.0.1", "127.0.0.2")}
    annex = own(slapd, cacert_path=ca, **named)
    person(master, f"named {way}", external_id="ann", annex=annex)
    assert sign_in(master, f"named {way}", PEOPLE["ann"]).startswith("-BUSY ")
    assert slapd.count("STARTTLS") > 0 or way == "ldaps"
