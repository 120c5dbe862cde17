"""Signing in by real RADIUS servers: what is answered, who is asked next, what is not believed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.neighbours.freeradius import CHALLENGED, REFUSAL, FreeRadius, SilentRadius
from tests.neighbours.server import Master, Proxy
from tests.neighbours.waiting import wait_until
from tests.server.directory_helpers import (
    ask,
    person,
    plain,
    set_annex,
    set_options,
    sign_in,
    timed,
    wait_sign_in,
)

pytestmark = pytest.mark.needs("freeradius")

PEOPLE = {"ann": "ann-word-1", "bob": "bob-word-1", CHALLENGED: "otp-word-1"}
RADIUS = {"library": "gauth_radius"}
REFUSED = f"-WRONGPASS the directory says: {REFUSAL}"
AWAY = "-BUSY can't sign in now: no server of the directory answers"


@pytest.fixture(scope="module")
def radius(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreeRadius]:
    with FreeRadius(tmp_path_factory.mktemp("radius"), PEOPLE) as server:
        yield server


@pytest.fixture(scope="module")
def master(tmp_path_factory: pytest.TempPathFactory, radius: FreeRadius) -> Iterator[Master]:
    """One whose users with an External ID are those of the directory."""
    with Master(tmp_path_factory.mktemp("master"), workers=2).start() as server:
        set_options(server, server, {"authentication": RADIUS, "gauth_radius": section(radius)})
        for name in PEOPLE:
            person(server, name, external_id=name)
        person(server, "local", password="local-word-1")
        wait_sign_in(server, "bob", PEOPLE["bob"], "+OK")
        yield server


def section(*servers: FreeRadius | SilentRadius, **more: Any) -> dict[str, Any]:
    """The options of a directory; the secrets lie beside the servers' own files."""
    known = next(one for one in servers if isinstance(one, FreeRadius))
    stated = {
        "servers": ", ".join(one.address for one in servers),
        "secret-file": str(known.secret_file),
        "response-timeout": 1,
        "retry-attempts": 1,
    }
    return stated | {name.replace("_", "-"): value for name, value in more.items()}


def own(*servers: FreeRadius | SilentRadius, **more: Any) -> dict[str, dict[str, Any]]:
    """The annex of a person who is kept in a directory of his own."""
    return {"authentication": RADIUS, "gauth_radius": section(*servers, **more)}


def test_f100_a_person_of_the_directory_signs_in_without_a_password_of_csp(master: Master) -> None:
    assert sign_in(master, "ann", PEOPLE["ann"]) == "+OK"


def test_f100_a_refusal_comes_with_the_directorys_words(master: Master) -> None:
    # From where nothing was refused yet: of more than one the log tells later, together.
    with plain(master, "127.0.0.9") as connection:
        assert ask(connection, "AUTH", "ann", "no-word-of-hers") == REFUSED
    told = f"refused: {REFUSED.removeprefix('-')}"
    wait_until(lambda: told in master.log_text(), 5, "the log has it")


def test_who_is_refused_there_is_let_in_by_nothing_else(
    master: Master, radius: FreeRadius, tmp_path: Path
) -> None:
    """Neither by a password of csp nor by the next server of the list, which would take it."""
    with FreeRadius(tmp_path / "second", {"fall": "fall-word-2"}, secret=radius.secret) as second:
        dbid = person(
            master, "fall", external_id="fall", annex=own(radius, second), password="fall-word-1"
        )
        assert sign_in(master, "fall", "fall-word-1") == REFUSED
        assert sign_in(master, "fall", "fall-word-2") == REFUSED
        set_annex(master, "CfgPerson", dbid, own(second))
        wait_sign_in(master, "fall", "fall-word-2", "+OK")
        set_annex(master, "CfgPerson", dbid, {"authentication": {"library": "internal"}})
        wait_sign_in(master, "fall", "fall-word-1", "+OK")


def test_a_second_secret_is_not_asked_for(master: Master) -> None:
    said = sign_in(master, CHALLENGED, PEOPLE[CHALLENGED])
    assert said.startswith("-WRONGPASS the directory says: the directory asks for a second secret")
    assert "Access-Challenge" in said
    assert "Enter the code" in said


def test_f100_the_first_server_is_silent_the_second_becomes_active_and_stays(
    master: Master, radius: FreeRadius
) -> None:
    with SilentRadius() as silent:
        annex = own(silent, radius)
        for number in (1, 2):
            person(master, f"sticky {number}", external_id="ann", annex=annex)
        said, seconds = timed(master, "sticky 1", PEOPLE["ann"])
        assert (said, silent.taken()) == ("+OK", 1)
        assert seconds >= 0.9, "the first was not waited for"
        said, seconds = timed(master, "sticky 2", PEOPLE["ann"])
        assert (said, silent.taken()) == ("+OK", 0), "the silent one was asked again"
        assert f"{radius.address} is asked from now on" in master.log_text(200_000)


@pytest.mark.long
def test_f100_a_server_that_falls_silent_is_followed_by_the_next(
    master: Master, radius: FreeRadius, tmp_path: Path
) -> None:
    with FreeRadius(tmp_path / "second", PEOPLE, secret=radius.secret) as second:
        person(master, "to and fro", external_id="ann", annex=own(second, radius))
        assert sign_in(master, "to and fro", PEOPLE["ann"]) == "+OK"
        second.silence()
        assert sign_in(master, "to and fro", PEOPLE["ann"]) == "+OK"
        second.resume()
        radius.silence()
        try:
            assert sign_in(master, "to and fro", PEOPLE["ann"]) == "+OK"
        finally:
            radius.resume()


def test_answers_that_are_not_signed_let_nobody_in_unless_the_server_is_listed(
    master: Master, tmp_path: Path
) -> None:
    with FreeRadius(tmp_path / "unsigned", PEOPLE, signs=False) as server:
        dbid = person(master, "unsigned", external_id="ann", annex=own(server))
        assert sign_in(master, "unsigned", PEOPLE["ann"]).startswith(AWAY)
        assert "directory away" in master.alarms()
        assert "without Message-Authenticator were dropped" in master.log_text()
        assert "CVE-2024-3596" in master.log_text()
        loose = own(server, without_message_authenticator=server.address)
        set_annex(master, "CfgPerson", dbid, loose)
        wait_sign_in(master, "unsigned", PEOPLE["ann"], "+OK")
        assert sign_in(master, "unsigned", "no-word-of-hers").startswith("-WRONGPASS")
        warning = f"answers of the RADIUS server {server.address} are taken without"
        assert warning in master.log_text(), "it is not warned of"


def test_another_secret_lets_nobody_in(master: Master, radius: FreeRadius, tmp_path: Path) -> None:
    other = tmp_path / "secret"
    other.touch(mode=0o600)
    other.write_text("another-secret-9\n")
    person(master, "other", external_id="ann", annex=own(radius, secret_file=str(other)))
    assert sign_in(master, "other", PEOPLE["ann"]).startswith(AWAY)
    assert "has another secret for it" in master.log_text()


def test_a_secret_that_is_renewed_holds_at_once(master: Master, tmp_path: Path) -> None:
    with FreeRadius(tmp_path / "first", PEOPLE, secret="first-secret-1") as first:
        file = tmp_path / "secret"
        file.touch(mode=0o600)
        file.write_text("first-secret-1\n")
        person(master, "renewed", external_id="ann", annex=own(first, secret_file=str(file)))
        assert sign_in(master, "renewed", PEOPLE["ann"]) == "+OK"
        port = first.port
    with FreeRadius(tmp_path / "next", PEOPLE, secret="next-secret-22", port=port):
        assert sign_in(master, "renewed", PEOPLE["ann"]).startswith(AWAY)
        file.write_text("next-secret-22\n")
        wait_sign_in(master, "renewed", PEOPLE["ann"], "+OK")


@pytest.mark.long
def test_the_originals_file_of_servers_is_taken(
    master: Master, radius: FreeRadius, tmp_path: Path
) -> None:
    file = tmp_path / "servers"
    file.touch(mode=0o600)
    file.write_text(f"# the original's\n{radius.address}  {radius.secret}\n")
    annex = {"authentication": RADIUS, "gauth_radius": {"servers-file": str(file)}}
    dbid = person(master, "of file", external_id="ann", annex=annex)
    assert sign_in(master, "of file", PEOPLE["ann"]) == "+OK"
    file.chmod(0o644)
    annex["gauth_radius"]["nas-identifier"] = "another"
    set_annex(master, "CfgPerson", dbid, annex)
    said = wait_sign_in(master, "of file", PEOPLE["ann"], "-ERR external sign-in does not work")
    assert "chmod 600" in said


@pytest.mark.long
def test_wrong_settings_let_nobody_in_and_are_an_alarm(master: Master) -> None:
    annex = {"authentication": RADIUS, "gauth_radius": {"servers": "127.0.0.1:1"}}
    person(master, "wrong", external_id="ann", annex=annex, password="wrong-csp-word-1")
    for word in (PEOPLE["ann"], "wrong-csp-word-1"):
        said = sign_in(master, "wrong", word)
        assert said.startswith("-ERR external sign-in does not work here")
        assert "secret-file" in said
    assert "external sign-in" in master.alarms()
    assert "can't be asked: [gauth_radius] secret-file names 0 files" in master.log_text()


def test_a_blackout_refuses_who_is_kept_there_and_nobody_else(
    master: Master, tmp_path: Path
) -> None:
    with FreeRadius(tmp_path / "first", PEOPLE) as first:
        person(master, "dark", external_id="ann", annex=own(first), password="dark-csp-word-1")
        assert sign_in(master, "dark", PEOPLE["ann"]) == "+OK"
        first.silence()
        for word in (PEOPLE["ann"], "dark-csp-word-1"):
            assert sign_in(master, "dark", word).startswith(AWAY)
        assert "directory away" in master.alarms()
        assert f"gauth_radius {first.address}" in master.log_text()
        assert sign_in(master, "local", "local-word-1") == "+OK"
        assert sign_in(master, "default", "wrong-for-default").startswith("-WRONGPASS")
        first.resume()
        assert sign_in(master, "dark", PEOPLE["ann"]) == "+OK"


def test_a_proxy_asks_by_itself(master: Master, radius: FreeRadius, tmp_path: Path) -> None:
    with Proxy(tmp_path, master) as proxy:
        set_options(master, proxy, {"authentication": RADIUS, "gauth_radius": section(radius)})
        wait_sign_in(proxy, "ann", PEOPLE["ann"], "+OK")
        master.process.send_signal(19)  # SIGSTOP
        try:
            assert sign_in(proxy, "bob", PEOPLE["bob"]) == "+OK"
            assert sign_in(proxy, "bob", "no-word-of-his") == REFUSED
        finally:
            master.process.send_signal(18)
