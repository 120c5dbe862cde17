"""Logging: lines of both forms, outputs that take nothing, rotation."""

from __future__ import annotations

import json
import logging
import os
import resource
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from csp.observe.events import EVENTS, log_event
from csp.observe.log import LogSettings, start_log, stop_log
from csp.observe.output import BUFFER_BYTES_MAX, Output


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "csp.log"
    stop_log()
    logging.getLogger("csp").handlers.clear()


def test_a_text_line_says_time_level_event_and_process(log_file: Path) -> None:
    log = start_log(LogSettings(str(log_file)), "worker 0")
    log_event(log, "04502", host="h", port=1, reason="refused")
    line = log_file.read_text()
    assert line.endswith("Z warning 04502 worker 0: cannot connect to h:1: refused\n")


def test_a_json_line_carries_the_fields(log_file: Path) -> None:
    log = start_log(LogSettings(str(log_file), "json"), "writer")
    log_event(log, "24200", type="CfgPerson", name="آنا\n", dbid=101, client="default")
    line = json.loads(log_file.read_text())
    assert (line["event"], line["level"], line["process"]) == ("24200", "info", "writer")
    assert (line["dbid"], line["name"], line["type"]) == (101, "آنا\n", "CfgPerson")


def test_a_level_below_the_threshold_is_not_written(log_file: Path) -> None:
    log = start_log(LogSettings(str(log_file), level="warning"), "writer")
    log_event(log, "04500", host="h", port=1)
    log.getChild("feed").error("wrong")
    assert [line.split()[1] for line in log_file.read_text().splitlines()] == ["error"]


def test_every_event_has_its_own_number() -> None:
    assert all(len(number) == 5 and number.isdecimal() for number in EVENTS)
    assert all(event.words for event in EVENTS.values())


def test_a_blocked_pipe_stalls_nothing_and_drops_are_counted_and_reported() -> None:
    read_fd, write_fd = os.pipe()
    output = Output(fd=write_fd)
    line = b"x" * 999 + b"\n"
    begin = time.monotonic()
    for _ in range(1_000):
        output.write(line)
    assert time.monotonic() - begin < 1
    assert output.dropped > 0
    taken = 0
    os.set_blocking(read_fd, False)
    while True:
        output.flush()
        try:
            taken += len(os.read(read_fd, 1 << 20))
        except BlockingIOError:
            break
    assert taken == (1_000 - output.dropped) * len(line)
    assert taken > BUFFER_BYTES_MAX


def test_the_flags_of_a_shared_terminal_stay() -> None:
    _, write_fd = os.pipe()
    Output(fd=write_fd).write(b"x\n")
    assert os.get_blocking(write_fd)


def test_the_drops_are_reported_when_the_output_takes_lines_again(
    monkeypatch: pytest.MonkeyPatch, log_file: Path
) -> None:
    log = start_log(LogSettings(str(log_file)), "writer")
    handler = log.handlers[0]
    monkeypatch.setattr(os, "write", _no_space)
    log.warning("lost 1")
    log.warning("lost 2")
    monkeypatch.undo()
    handler.flush()
    assert "51008 writer: log: 2 lines were dropped" in log_file.read_text()
    log.warning("kept")
    assert log_file.read_text().count("dropped") == 1


def _no_space(fd: int, data: bytes) -> int:
    raise OSError(28, "No space left on device")


def test_a_full_disk_stalls_nothing(tmp_path: Path) -> None:
    """A real limit: the kernel refuses to let the file grow."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, resource.RLIM_INFINITY))
        output = Output(path=str(tmp_path / "log"))
        for _ in range(100):
            output.write(b"y" * 99 + b"\n")
        os._exit(output.dropped)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 90


def test_a_rotated_file_is_opened_anew(
    log_file: Path, tmp_path: Path, wait_until: Callable[..., None]
) -> None:
    output = Output(path=str(log_file))
    output.write(b"old\n")
    log_file.rename(tmp_path / "csp.log.1")

    def has_new_file() -> bool:
        output.write(b"new\n")
        return log_file.exists()

    wait_until(has_new_file, within=5)
    assert (tmp_path / "csp.log.1").read_bytes().startswith(b"old\n")
    assert log_file.read_bytes() == b"new\n"
