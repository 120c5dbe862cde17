"""A proxy's start: its Application at the master, a master that is away, a crash meanwhile (G8)."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from tests.effort import parametrize_few
from tests.neighbours.ports import free_port
from tests.neighbours.server import Master, Proxy
from tests.neighbours.waiting import wait_until
from tests.server.test_supervisor_start_stop import EXIT_USAGE, outcome, segments_of

EXIT_REFUSED = 4


def application_of(master: Master, name: str) -> dict[str, object]:
    with master.client() as client:
        return json.loads(client.execute_command("CFG.FIND", "CfgApplication", "name", name))  # type: ignore[no-any-return]


def test_create_app_makes_host_and_application_once(tmp_path: Path, master: Master) -> None:
    with Proxy(tmp_path, master).start() as proxy:
        made = application_of(master, "proxy1")
        assert made["type"] == "configurationserver"
        assert made["portInfos"][0]["port"] == str(proxy.port)  # type: ignore[index]
        assert (
            made["appServerDBIDs"][0]["appServerDBID"] == application_of(master, "confserv")["DBID"]
        )  # type: ignore[index]
        assert proxy.stop() == 0
        proxy.start()
        assert application_of(master, "proxy1") == made


@pytest.mark.long
def test_without_listen_the_port_is_the_applications(tmp_path: Path, master: Master) -> None:
    with Proxy(tmp_path, master).start() as proxy:
        proxy.stop()
        port = proxy.port

        class FromApplication(Proxy):
            def arguments(self) -> list[str]:
                arguments = super().arguments()
                place = arguments.index("--listen")
                return arguments[:place] + arguments[place + 2 :]

        second = FromApplication(tmp_path, master, extra=())
        second.port = port
        with second.start():
            assert second.answers()


def test_a_missing_application_is_refused_saying_how_to_make_it(
    tmp_path: Path, master: Master
) -> None:
    code, log = outcome(Proxy(tmp_path, master, app="nobody", extra=()))
    assert code == EXIT_USAGE
    assert "'nobody' does not exist" in log
    assert "--create-app" in log


@parametrize_few(
    ("delta", "words"),
    [
        ('{"changed":{"state":"disabled"}}', "is disabled"),
        ('{"deleted":{"portInfos":["default"]}}', "no port"),
    ],
    quick=1,
)
def test_an_unfit_application_is_refused(
    tmp_path: Path, master: Master, delta: str, words: str
) -> None:
    proxy = Proxy(tmp_path, master)
    with proxy.start():
        proxy.stop()
        dbid = application_of(master, "proxy1")["DBID"]
        with master.client() as client:
            client.execute_command("CFG.UPDATE", "CfgApplication", dbid, delta)
        code, log = outcome(proxy)
        assert code == EXIT_USAGE
        assert words in log
    assert segments_of(proxy.port) == []


@pytest.mark.long
def test_an_application_of_another_type_is_refused(tmp_path: Path, master: Master) -> None:
    code, log = outcome(Proxy(tmp_path, master, app="default", extra=()))
    assert code == EXIT_USAGE
    assert "is of type" in log


def test_a_wrong_password_is_refused_by_the_master(tmp_path: Path, master: Master) -> None:
    code, log = outcome(Proxy(tmp_path, master, environment={"CSP_PASSWORD": "wrong"}))
    assert code == EXIT_REFUSED
    assert "WRONGPASS" in log


def test_a_proxy_waits_for_its_master_and_says_so(tmp_path: Path) -> None:
    master = Master(tmp_path)
    proxy = Proxy(tmp_path, master)
    with proxy.start(ready=False):
        wait_until(lambda: "04502" in proxy.log_text())
        with pytest.raises(Exception, match="being loaded"), proxy.client() as client:
            client.execute_command("DBSIZE")
        with master.start():
            proxy.wait_ready()


def test_a_crashed_proxy_serves_again_while_the_master_is_away(
    tmp_path: Path, master: Master
) -> None:
    with Proxy(tmp_path, master, workers=2).start() as proxy:
        with proxy.client() as client:
            count = client.execute_command("DBSIZE")
        master.stop()
        assert proxy.process is not None
        for process in [psutil.Process(proxy.process.pid), *proxy.children().values()]:
            process.kill()
        proxy._wait()
        proxy.start()
        with proxy.client() as client:
            assert client.execute_command("DBSIZE") == count
        assert proxy.stop() == 0
        assert segments_of(proxy.port) == []


@pytest.mark.long
def test_a_proxy_that_waits_can_be_stopped(tmp_path: Path) -> None:
    for extra in (("--create-app",), ()):
        proxy = Proxy(tmp_path, free_port(), extra=extra)
        with proxy.start(ready=False):
            wait_until(lambda proxy=proxy: "04502" in proxy.log_text())
            assert proxy.stop() == 0
            assert list(proxy.runtime.iterdir()) == []
