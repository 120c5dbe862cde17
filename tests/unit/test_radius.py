"""The RADIUS backend: its settings, and its questions to real servers (F100)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from csp.external.backend import Directory, Kind, Unusable, Verdict
from csp.external.settings import Settings
from csp.radius import directory
from csp.radius.directory import RadiusBackend
from csp.radius.settings import RadiusSettings, read_settings
from csp.tables.options import OPTIONS
from tests.neighbours.freeradius import CHALLENGED, REFUSAL, FreeRadius, SilentRadius

USERS = {"ann": "right-for-ann-1", "grüße": "straße-1"}
DEFAULTS = {name: row.default for (of, name), row in OPTIONS.items() if of == "gauth_radius"}
PATIENCE_S = 20.0


def section(**stated: object) -> dict[str, Any]:
    return DEFAULTS | {name.replace("_", "-"): value for name, value in stated.items()}


def secret_file(folder: Path, secret: str = "testing-secret-1", mode: int = 0o600) -> str:
    path = folder / f"secret-{secret}-{mode}"
    path.write_text(f"{secret}\n")
    path.chmod(mode)
    return str(path)


def opened(folder: Path, *servers: str, **stated: object) -> Directory:
    given = {"secret_file": secret_file(folder), "response_timeout": 1, "retry_attempts": 1}
    found = section(servers=", ".join(servers), **given | stated)
    return RadiusBackend().open(Settings("gauth_radius", (found,)))


def ask(asked: Directory, user: str = "ann", secret: str = USERS["ann"]) -> Verdict:
    return asked.authenticate(user, secret.encode(), time.monotonic() + PATIENCE_S)


@pytest.fixture(scope="module")
def radius(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreeRadius]:
    with FreeRadius(tmp_path_factory.mktemp("radius"), USERS) as server:
        yield server


# Settings.


def read(**stated: object) -> RadiusSettings:
    return read_settings(section(**stated))


def test_servers_and_their_secrets_are_read(tmp_path: Path) -> None:
    one, two = secret_file(tmp_path, "first-1"), secret_file(tmp_path, "second-2")
    found = read(
        servers="radius.example.com, [::1]:1645",
        secret_file=f"{one}, {two}",
        without_message_authenticator="[::1]:1645",
    )
    assert [one.address for one in found.servers] == ["radius.example.com:1812", "[::1]:1645"]
    assert [one.secret for one in found.servers] == [b"first-1", b"second-2"]
    assert [one.needs_signature for one in found.servers] == [True, False]


def test_one_secret_may_be_of_all(tmp_path: Path) -> None:
    found = read(servers="10.0.0.1, 10.0.0.2", secret_file=secret_file(tmp_path))
    assert {one.secret for one in found.servers} == {b"testing-secret-1"}


def test_the_originals_file_of_servers_is_read(tmp_path: Path) -> None:
    path = tmp_path / "servers"
    path.write_text("# who\tsecret\n\n10.0.0.1  first-1\n  10.0.0.2:1645\tsecond-2  # old\n")
    path.chmod(0o600)
    found = read(servers_file=str(path))
    assert [(one.address, one.secret) for one in found.servers] == [
        ("10.0.0.1:1812", b"first-1"),
        ("10.0.0.2:1645", b"second-2"),
    ]


def test_a_secret_is_not_shown(tmp_path: Path) -> None:
    found = read(servers="10.0.0.1", secret_file=secret_file(tmp_path))
    assert "testing-secret-1" not in repr(found)


@pytest.mark.parametrize(
    ("stated", "said"),
    [
        ({}, "neither servers nor servers-file"),
        ({"servers": "a", "servers_file": "b"}, "both servers and servers-file"),
        ({"servers": "a"}, "secret-file names 0 files for 1 servers"),
        ({"servers": "a, b, c", "secret_file": "{s}, {s}"}, "2 files for 3 servers"),
        ({"servers": "a", "secret_file": "/nonexistent"}, "/nonexistent can't be read"),
        ({"servers": "a", "secret_file": "{open}"}, "chmod 600"),
        ({"servers": "a:0", "secret_file": "{s}"}, "no port from 1 to 65535"),
        ({"servers": "a:x", "secret_file": "{s}"}, "not HOST or HOST:PORT"),
        ({"servers": "a, a:1812", "secret_file": "{s}"}, "a:1812 twice"),
        ({"servers": ", ".join("abcdefghijk"), "secret_file": "{s}"}, "11 servers, 10 are allowed"),
        (
            {"servers": "a", "secret_file": "{s}", "without_message_authenticator": "b"},
            "b:1812, which is none of the servers",
        ),
        ({"servers_file": "/nonexistent"}, "/nonexistent can't be read"),
        ({"servers_file": "{open}"}, "chmod 600"),
        ({"servers_file": "{s}"}, "line 1: HOST[:PORT] SECRET is meant"),
    ],
)
def test_what_is_wrong_with_settings_is_said(
    tmp_path: Path, stated: dict[str, str], said: str
) -> None:
    files = {"s": secret_file(tmp_path), "open": secret_file(tmp_path, mode=0o644)}
    given = {name: value.format(**files) for name, value in stated.items()}
    with pytest.raises(Unusable) as refused:
        read(**given)
    assert said in str(refused.value)


def test_a_missing_module_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(directory, "WHY_NOT", "No module named 'pyrad'")
    with pytest.raises(Unusable, match=r"pip install csp\[radius\]"):
        opened(tmp_path, "127.0.0.1")


# Questions.


@pytest.mark.needs("freeradius")
@pytest.mark.parametrize("user", USERS)
def test_the_right_password_is_taken(radius: FreeRadius, tmp_path: Path, user: str) -> None:
    assert ask(opened(tmp_path, radius.address), user, USERS[user]).kind is Kind.ACCEPTED


@pytest.mark.needs("freeradius")
@pytest.mark.parametrize(
    ("user", "password", "words"),
    [
        ("ann", "wrong", REFUSAL),
        ("nobody", USERS["ann"], REFUSAL),
        (CHALLENGED, "pass-1", "Access-Challenge"),
        (CHALLENGED, "pass-1", "Enter the code"),
        ("ann", "x" * 129, "at most 128 bytes"),
        ("ann", USERS["ann"] + "\0", "none of them 0"),
        ("a" * 254, "pass-1", "1 to 253 bytes"),
    ],
)
def test_whatever_else_is_refused_in_words(
    radius: FreeRadius, tmp_path: Path, user: str, password: str, words: str
) -> None:
    found = ask(opened(tmp_path, radius.address), user, password)
    assert found.kind is Kind.REFUSED
    assert words in found.words


@pytest.mark.needs("freeradius")
def test_another_secret_lets_nobody_in(radius: FreeRadius, tmp_path: Path) -> None:
    other = secret_file(tmp_path, "another-secret-9")
    found = ask(opened(tmp_path, radius.address, secret_file=other))
    assert found.kind is Kind.AWAY
    assert "has another secret" in found.words


@pytest.mark.needs("freeradius")
def test_an_answer_without_message_authenticator_lets_nobody_in(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with FreeRadius(tmp_path / "unsigned", USERS, signs=False) as server:
        found = ask(opened(tmp_path, server.address))
        assert found.kind is Kind.AWAY
        assert "without Message-Authenticator were dropped" in found.words
        assert "without-message-authenticator" in found.words
        with caplog.at_level(logging.WARNING, "csp.radius"):
            loose = opened(tmp_path, server.address, without_message_authenticator=server.address)
        told = [one.getMessage() for one in caplog.records]
        assert any(server.address in text and "CVE-2024-3596" in text for text in told), told
        assert ask(loose).kind is Kind.ACCEPTED
        assert ask(loose, secret="wrong").kind is Kind.REFUSED


@pytest.mark.needs("freeradius")
def test_a_listed_server_alone_may_do_without(radius: FreeRadius, tmp_path: Path) -> None:
    with FreeRadius(tmp_path / "unsigned", USERS, signs=False) as server:
        asked = opened(
            tmp_path, server.address, radius.address, without_message_authenticator=radius.address
        )
        found = ask(asked, secret="wrong")
        assert found.words == REFUSAL  # of the second one: the first was not believed
        assert found.kind is Kind.REFUSED


@pytest.mark.needs("freeradius")
def test_after_a_silent_server_the_next_one_stays(radius: FreeRadius, tmp_path: Path) -> None:
    with SilentRadius() as silent:
        asked = opened(tmp_path, silent.address, radius.address, retry_attempts=2)
        assert ask(asked).kind is Kind.ACCEPTED
        assert silent.taken() == 2
        assert ask(asked).kind is Kind.ACCEPTED
        assert ask(asked, secret="wrong").kind is Kind.REFUSED
        assert silent.taken() == 0


@pytest.mark.needs("freeradius")
def test_many_who_wait_for_a_silent_server_move_on_once(
    radius: FreeRadius, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SilentRadius() as silent, caplog.at_level(logging.WARNING, "csp.radius"):
        asked = opened(tmp_path, silent.address, radius.address)
        found: list[Kind] = []
        waiting = [threading.Thread(target=lambda: found.append(ask(asked).kind)) for _ in range(8)]
        for one in waiting:
            one.start()
        for one in waiting:
            one.join(PATIENCE_S)
        assert found == [Kind.ACCEPTED] * 8
        moves = [one for one in caplog.records if getattr(one, "event", "") == "51254"]
        assert len(moves) == 1


@pytest.mark.needs("freeradius")
def test_what_one_server_refuses_no_other_is_asked(radius: FreeRadius, tmp_path: Path) -> None:
    with SilentRadius() as other:
        found = ask(opened(tmp_path, radius.address, other.address), secret="wrong")
        assert found.kind is Kind.REFUSED
        assert other.taken() == 0


def test_without_any_server_it_is_said_who_was_asked(tmp_path: Path) -> None:
    with SilentRadius() as one, SilentRadius() as two:
        found = ask(opened(tmp_path, one.address, two.address))
    assert found.kind is Kind.AWAY
    assert one.address in found.words
    assert two.address in found.words


def test_a_closed_port_costs_no_wait(tmp_path: Path) -> None:
    with SilentRadius() as gone:
        address = gone.address
    began = time.monotonic()
    found = ask(opened(tmp_path, address, response_timeout=10))
    assert found.kind is Kind.AWAY
    assert time.monotonic() - began < 5


def test_the_deadline_ends_a_question(tmp_path: Path) -> None:
    with SilentRadius() as silent:
        asked = opened(tmp_path, silent.address, response_timeout=60, retry_attempts=10)
        began = time.monotonic()
        found = asked.authenticate("ann", b"right-for-ann-1", began + 0.3)
        assert found.kind is Kind.AWAY
        assert time.monotonic() - began < 5


def test_a_deadline_that_was_too_short_for_an_answer_says_nothing_of_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with SilentRadius() as one, SilentRadius() as two:
        asked = opened(tmp_path, one.address, two.address, response_timeout=60)
        with caplog.at_level(logging.WARNING, "csp.radius"):
            asked.authenticate("ann", b"right-for-ann-1", time.monotonic() + 0.1)
        assert not caplog.records
        one.taken()
        asked.authenticate("ann", b"right-for-ann-1", time.monotonic() + 0.1)
        assert one.taken() == 1
