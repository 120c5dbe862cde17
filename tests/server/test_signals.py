"""Sends every signal that can be caught to a running server, and sees it stay, or stop in order."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from csp.supervisor.signals import FROM_OUTSIDE, RELOADING, REOPENING, STOPPING, name_of
from tests.neighbours.ports import free_port
from tests.neighbours.server import Master, Proxy
from tests.neighbours.waiting import wait_until

LOG_CHARACTERS_MAX = 200_000
STAYING = [number for number in FROM_OUTSIDE if number not in STOPPING]


def test_no_signal_but_those_that_stop_ends_a_server_or_a_child(master: Master) -> None:
    assert master.process is not None
    before = {name: child.pid for name, child in master.children().items()}
    for number in STAYING:
        for child in before.values():
            os.kill(child, number)
        master.process.send_signal(number)
        word = f"signal {name_of(number)} taken"
        wait_until(lambda w=word: w in master.log_text(LOG_CHARACTERS_MAX), 5, word)  # type: ignore[misc]
    for child in before.values():
        for number in STOPPING:
            os.kill(child, number)
    assert master.answers()
    assert {name: child.pid for name, child in master.children().items()} == before
    lines = [line for line in master.log_text(LOG_CHARACTERS_MAX).splitlines() if "51006" in line]
    said = {line.split("signal ", 1)[1] for line in lines}
    for number in REOPENING:
        assert f"{name_of(number)} taken: log files are opened anew" in said
    for number in RELOADING:
        assert any(one.startswith(f"{name_of(number)} taken") and "password" in one for one in said)
    assert "SIGALRM taken: ignored" in said


def test_those_that_stop_do_so_in_order(tmp_path: Path) -> None:
    for number in STOPPING:
        with Master(tmp_path).start() as master:
            assert master.process is not None
            master.process.send_signal(number)
            assert master._wait() == 0
            assert f"stopping: signal {name_of(number)}" in master.log_text()
            assert not list(Path("/dev/shm").glob(f"csp-*{master.port}*"))


def test_a_server_that_waits_for_its_master_is_not_ended_by_them(tmp_path: Path) -> None:
    with Proxy(tmp_path, free_port()).start(ready=False) as proxy:
        assert proxy.process is not None
        wait_until(lambda: "04502" in proxy.log_text(), 10, "the first attempt")
        for number in (*REOPENING, *RELOADING, signal.SIGALRM):
            proxy.process.send_signal(number)
        attempts = proxy.log_text().count("04500")
        wait_until(lambda: proxy.log_text().count("04500") > attempts, 10, "the next attempt")
        assert proxy.process.poll() is None
