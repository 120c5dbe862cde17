"""Changes the password under a proxy's feet: it says so, serves on, and takes the new one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.neighbours.cutting_link import CuttingLink
from tests.neighbours.server import PASSWORD, ROOT, Master, Proxy
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import create_skills, wait_level

NEW = "another horse"
LOG_CHARACTERS_MAX = 100_000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "master-password"
    path.write_text(PASSWORD + "\n")
    path.chmod(0o600)
    return path


@pytest.fixture
def link(master: Master) -> Iterator[CuttingLink]:
    found = CuttingLink(master.port)
    yield found
    found.close()


def replace(file: Path, password: str) -> None:
    file.write_text(password + "\n")


def alarms_of(proxy: Proxy, password: str) -> list[str]:
    options = {"username": "default", "password": password, "protocol": 3}
    with redis.Redis("127.0.0.1", proxy.port, decode_responses=True, **options) as client:
        return [one["name"] for one in client.execute_command("CFG.STATUS")["alarms"]]


def told(proxy: Proxy, number: str) -> int:
    lines = proxy.log_text(LOG_CHARACTERS_MAX).splitlines()
    return sum(f" {number} " in line for line in lines)


def test_a_changed_password_is_an_alarm_and_is_taken_from_the_file(
    tmp_path: Path, master: Master, link: CuttingLink, file: Path
) -> None:
    extra = ("--create-app", "--password-file", str(file))
    # The environment's password is another: the file's is taken.
    with Proxy(tmp_path, link.port, extra=extra).start(CSP_PASSWORD="wrong") as proxy:
        (dbid,) = create_skills(master, ["english"])
        wait_level(master, proxy)
        assert master.cli("passwd", CSP_NEW_PASSWORD=NEW).returncode == 0
        wait_until(lambda: alarms_of(proxy, NEW) == [], 10, "the change at the proxy")
        link.cut()
        wait_until(lambda: alarms_of(proxy, NEW) == ["master refuses"], 10, "the alarm")
        with redis.Redis("127.0.0.1", proxy.port, username="default", password=NEW) as client:
            assert client.ping()
            assert b"english" in client.get(f"CfgSkill:{dbid}")
            assert client.info("csp")["alarms"] == "51332 master refuses"
        shown = proxy.cli("status", CSP_PASSWORD=NEW)
        assert shown.returncode == 5
        assert "ALARM 51332 master refuses, since " in shown.stdout
        assert "WRONGPASS" in shown.stdout
        assert "What to do: Put the new password into the --password-file" in shown.stdout
        replace(file, NEW)
        proxy.process.send_signal(signal.SIGHUP)  # type: ignore[union-attr]
        wait_until(lambda: alarms_of(proxy, NEW) == [], 10, "the link")
        assert (told(proxy, "51332"), told(proxy, "51333")) == (1, 1)
        assert NEW not in proxy.log_text(LOG_CHARACTERS_MAX)
        assert proxy.cli("status", CSP_PASSWORD=NEW).returncode == 0


@pytest.mark.long
def test_a_reload_tries_the_password_while_the_link_is_up(
    tmp_path: Path, master: Master, file: Path
) -> None:
    extra = ("--create-app", "--password-file", str(file))
    with Proxy(tmp_path, master, extra=extra).start() as proxy:
        assert proxy.process is not None
        replace(file, "a wrong one")
        proxy.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "master refuses" in proxy.alarms(), 10, "the alarm")
        with proxy.client(protocol=3) as client:
            assert client.execute_command("CFG.STATUS")["link"] == "up"
        file.chmod(0o644)
        proxy.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "0644, others may use it" in proxy.log_text(), 10, "the refusal")
        replace(file, PASSWORD)
        file.chmod(0o600)
        proxy.process.send_signal(signal.SIGHUP)
        wait_until(lambda: not proxy.alarms(), 10, "the alarm's end")
        wait_until(lambda: told(proxy, "51334"), 10, "the event")


def test_an_unsafe_file_is_refused_at_the_start(tmp_path: Path, file: Path) -> None:
    file.chmod(0o640)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "csp", "proxy", "-host", "127.0.0.1", "-port", "1"),
            *("-app", "p", "--password-file", str(file)),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert f"{file} has mode 0640, others may use it: chmod 600" in done.stderr


@pytest.mark.long
def test_the_other_verbs_take_the_file_too(master: Master, file: Path) -> None:
    told_so = master.cli("status", CSP_PASSWORD="wrong", CSP_PASSWORD_FILE=str(file))
    assert told_so.returncode == 0
