"""Brings real servers into trouble: each says so by number, with since when and what to do."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import psutil
import pytest
from sqlalchemy import create_engine, text

from tests.neighbours.ports import free_port
from tests.neighbours.server import ROOT, Master, Proxy, Server
from tests.neighbours.waiting import wait_until
from tests.server.feed_helpers import wait_level

SOON = """
import csp.feed.alarms as feed, csp.supervisor.missing as missing
feed.DOWN_MS_MAX = 500
missing.MISSING_SECONDS = 1.0
"""
LOG_CHARACTERS_MAX = 200_000


def soon(folder: Path) -> dict[str, str]:
    """An environment in which what is waited for half a minute comes at once."""
    (folder / "sitecustomize.py").write_text(SOON)
    return {"PYTHONPATH": f"{folder}:{ROOT}"}


def raised(server: Server, name: str, within: float = 15.0) -> dict[str, object]:
    """Waits for an alarm; it has a number, an age and advice, and the log has it once."""
    wait_until(lambda: name in server.alarms(), within, f"the alarm {name}")
    alarm = server.alarms()[name]
    assert abs(float(alarm["since"]) / 1000 - time.time()) < 60
    assert alarm["todo"]
    wait_until(lambda: told(server, alarm["number"]) == 1, 5, "one line in the log")
    line = next(one for one in lines(server) if f" {alarm['number']} " in one)
    assert " alarm " in line
    return alarm


def lines(server: Server) -> list[str]:
    return server.log_text(LOG_CHARACTERS_MAX).splitlines()


def told(server: Server, number: str) -> int:
    return sum(f" {number} " in line for line in lines(server))


def test_a_link_that_stays_down_outlives_the_writer_and_ends_with_the_link(
    tmp_path: Path, master: Master
) -> None:
    with Proxy(tmp_path, master, environment=soon(tmp_path)).start() as proxy:
        wait_level(master, proxy)
        assert proxy.alarms() == {}
        assert proxy.cli("status").returncode == 0
        master.stop()
        alarm = raised(proxy, "link down")
        assert f"no link to the master 127.0.0.1:{master.port}" in str(alarm["text"])
        with proxy.client() as client:
            assert client.ping(), "it serves on"
            assert client.info("csp")["alarms"] == "51330 link down"
        proxy.child("writer").send_signal(signal.SIGKILL)
        wait_until(lambda: told(proxy, "51313") >= 1, 10, "the successor")
        assert proxy.alarms()["link down"]["since"] == alarm["since"]
        shown = proxy.cli("status")
        assert shown.returncode == 5
        assert "alarms" in shown.stdout
        assert "ALARM 51330 link down, since 20" in shown.stdout
        as_json = json.loads(proxy.cli("status", "--json").stdout)
        assert [one["number"] for one in as_json["alarms"]] == ["51330"]
        master.start()
        wait_until(lambda: proxy.alarms() == {}, 20, "the alarm's end")
        assert (told(proxy, "51330"), told(proxy, "51331")) == (1, 1)


@pytest.mark.long
def test_an_application_that_was_deleted_is_told_by_its_server(
    tmp_path: Path, master: Master
) -> None:
    with Proxy(tmp_path, master).start() as proxy:
        wait_level(master, proxy)
        key = f"CfgApplication/name={proxy.app}"
        found = json.loads(master.cli("get", key, "--json").stdout)
        assert master.cli("delete", key).returncode == 0
        alarm = raised(proxy, "application")
        assert alarm["text"] == f"Application {proxy.app} does not exist any more"
        assert proxy.answers(), "it serves on"
        for own in ("class", "DBID", "revision", "folderDBID"):
            found.pop(own)
        made = master.cli("create", "CfgApplication", json.dumps(found))
        assert made.returncode == 0, made.stderr
        wait_until(lambda: proxy.alarms() == {}, 10, "the alarm's end")


def test_misspelt_options_are_told_until_they_are_mended(master: Master) -> None:
    key = f"CfgApplication/name={master.app}"
    for name, value in (("packet-size", "abc"), ("pasword-change", "false")):
        master.cli("option", key, master.app, name, value)
    alarm = raised(master, "options")
    assert "[confserv] packet-size" in str(alarm["text"])
    with master.client() as client:
        dbid = client.execute_command("CFG.STATUS")["application_dbid"]
        delta = {"options": {"deleted": {"confserv": None}}}
        client.execute_command("CFG.UPDATE", "CfgApplication", dbid, json.dumps(delta))
    wait_until(lambda: master.alarms() == {}, 10, "the alarm's end")


def test_a_master_that_was_replaced_says_so_before_the_first_write(tmp_path: Path) -> None:
    with Master(tmp_path).start() as master:
        with create_engine(master.url).begin() as database:
            database.execute(text("UPDATE head SET fence = fence + 1"))
        alarm = raised(master, "another master writes")
        assert "another master has taken this database over" in str(alarm["text"])
        with master.client() as client:
            assert client.execute_command("CFG.STATUS")["link"] == "down"


def test_a_writer_that_does_not_come_up_is_told_though_reads_go_on(tmp_path: Path) -> None:
    with Master(tmp_path, environment=soon(tmp_path)).start() as server:
        (lock,) = server.runtime.glob("*/lock")
        failpoint = lock.with_name("failpoint")
        failpoint.write_text("writer.start=kill\n" * 100)  # a line for each start
        server.child("writer").send_signal(signal.SIGKILL)
        alarm = raised(server, "process missing")
        assert "writer not ready for" in str(alarm["text"])
        assert "signal SIGKILL" in str(alarm["text"])
        assert server.answers()
        failpoint.unlink(missing_ok=True)
        wait_until(lambda: server.alarms() == {}, 20, "the writer")


@pytest.mark.long
def test_a_proxy_whose_master_was_never_there_says_what_it_waits_for(tmp_path: Path) -> None:
    with Proxy(tmp_path, free_port(), environment=soon(tmp_path)).start(ready=False) as proxy:
        wait_until(lambda: told(proxy, "51106"), 15, "the alarm")
        # Nobody can sign in yet: INFO and CFG.STATUS answer without it.
        shown = proxy.cli("status")
        assert shown.returncode == 5, shown.stderr
        assert "the master is not there" in shown.stdout
        assert psutil.pid_exists(proxy.process.pid)  # type: ignore[union-attr]
