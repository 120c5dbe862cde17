"""`csp master --restore-default`: the way back in where nobody can sign in any more."""

from __future__ import annotations

from pathlib import Path

import redis

from tests.neighbours.server import Master, run_cli
from tests.neighbours.waiting import wait_until


def signs_in(master: Master, password: str) -> bool:
    try:
        with redis.Redis("127.0.0.1", master.port, username="default", password=password) as client:
            return bool(client.ping())
    except redis.AuthenticationError:
        return False


def test_the_first_account_gets_a_new_password_from_a_file(tmp_path: Path) -> None:
    path = tmp_path / "password"
    path.write_text("open sesame\n")
    path.chmod(0o600)
    with Master(tmp_path) as master:
        assert not signs_in(master, "open sesame")
        assert master.stop() == 0
        master.extra = ("--restore-default", "--password-file", str(path))
        master.start(ready=False)
        wait_until(lambda: "51348" in master.log_text(), 30, "the account is restored")
        wait_until(lambda: signs_in(master, "open sesame"), 30, "the new password is good")
        # A writer that dies does not do it again: the password may have been changed since.
        revision = master.log_text().count("51348")
        master.child("writer").kill()
        wait_until(lambda: master.log_text().count("serving stream") > 2, 30, "a new writer")
        assert master.log_text().count("51348") == revision == 1
        assert "open sesame" not in master.log.read_text()


def test_it_asks_for_what_it_needs(tmp_path: Path) -> None:
    command = ("master", "--db", f"sqlite:///{tmp_path}/m.db", "--listen", "127.0.0.1:0")
    empty = tmp_path / "empty"
    empty.write_text("\n")
    empty.chmod(0o600)
    for words, text in (
        (
            ("--restore-default", "--password-file", str(empty)),
            "holds no password in its first line",
        ),
        (("--restore-default", "--password-file", str(tmp_path / "none")), "the password file"),
        (("--restore-default",), "give --password-file or set CSP_DEFAULT_PASSWORD"),
        (("--password-file", str(empty)), "--password-file is for --restore-default"),
    ):
        answer = run_cli(*command, *words)
        assert answer.returncode == 2
        assert text in answer.stderr
    assert not (tmp_path / "m.db").exists()
