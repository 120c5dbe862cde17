"""The look for secrets in the logs of test servers: what it knows, and that it can fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.neighbours import secrets
from tests.neighbours.server import PASSWORD, Master


@pytest.fixture(autouse=True)
def _apart(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "_noted", set())


@pytest.mark.parametrize(
    ("command", "secret"),
    [
        (["AUTH", "ann", "her word 1"], "her word 1"),
        (["AUTH", b"her word 1"], "her word 1"),
        (["HELLO", 3, "AUTH", "ann", "her word 1", "SETNAME", "some-name"], "her word 1"),
        (["CFG.PASSWD", "ann", "old word 1", "new word 1"], "old word 1"),
        (["cfg.passwd", "old word 1", "new word 1"], "new word 1"),
        (["CFG.CREATE", "CfgPerson", '{"password":"her word 1"}'], "her word 1"),
        (["CFG.UPDATE", "CfgPerson", 101, '{"changed":{"password":"her word 1"}}'], "her word 1"),
    ],
)
def test_what_commands_carry_is_known(command: list[str | bytes | int], secret: str) -> None:
    secrets.note_command(command)
    assert secrets.found_in(f"… {secret} …") == [f"the secret {secret!r}"]


def test_what_is_no_secret_is_not_looked_for() -> None:
    secrets.note_command(["AUTH", "ann", "short"])
    secrets.note_command(["AUTH", "ann", "disabled"])
    secrets.note_command(["GET", "CfgPerson:101"])
    secrets.note_command(["CFG.CREATE", "CfgPerson", "no json at all"])
    assert secrets.found_in("ann short disabled CfgPerson:101 no json at all") == []


@pytest.mark.parametrize(
    "line", ["… csp1." + "A" * 120, "argon2 $argon2id$v=19$m=19456,t=2,p=1$x$y", "$scrypt$ln=7"]
)
def test_tokens_and_hashes_are_known_by_their_form(line: str) -> None:
    assert len(secrets.found_in(line)) == 1


def test_a_server_that_shows_a_secret_fails_its_test(tmp_path: Path) -> None:
    """At debug, which all servers of tests log at."""
    secrets.note(PASSWORD)
    with pytest.raises(AssertionError, match="shows the secret"):
        _show(tmp_path)


def _show(folder: Path) -> None:
    with Master(folder) as master:
        assert master.leveled()[-1] == "debug"
        with master.log.open("a") as log:
            log.write(f"somebody signed in with {PASSWORD}\n")


def test_what_redis_py_sends_is_noted(tmp_path: Path) -> None:
    with Master(tmp_path) as master, master.client() as client:
        client.execute_command(
            "CFG.CREATE",
            "CfgPerson",
            '{"tenantDBID":1,"userName":"ann","employeeID":"1","password":"her word 1"}',
        )
    assert secrets.found_in("her word 1")
    assert secrets.found_in(PASSWORD)
