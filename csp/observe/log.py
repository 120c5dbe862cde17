"""Turns log records into lines of text or JSON and sends them to the output.

A line says time, level, process, event number and text; JSON lines also carry the event's fields.
"""

from __future__ import annotations

import json
import logging
import traceback
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

from csp.observe.events import TRACE, words_of
from csp.observe.output import Output

LogFormat = Literal["text", "json"]
LEVELS = {
    "debug": logging.DEBUG,
    "trace": TRACE,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "none": logging.CRITICAL + 1,
}
# The levels of option [log] verbose, which are the original's, by csp's own.
LEVEL_OF_VERBOSE = {
    "all": "debug",
    "debug": "debug",
    "trace": "trace",
    "interaction": "trace",
    "standard": "info",
    "none": "none",
}
LEVEL_WORDS = {logging.CRITICAL: "alarm", TRACE: "trace"}
CLOSE_SECONDS = 0.2  # what a process waits at its end for a slow output
FIELD_CHARACTERS_MAX = 2_000  # a field is a name or a reason, never an object


@dataclass(frozen=True)
class LogSettings:
    """Where log lines go and how they look."""

    path: str | None = None  # None: stderr
    format: LogFormat = "text"
    level: str = "info"


class LogHandler(logging.Handler):
    """Hands each record to the output as one line; never blocks, never raises."""

    def __init__(self, settings: LogSettings, process: str) -> None:
        super().__init__(LEVELS[settings.level])
        self.level_at_start = LEVELS[settings.level]
        self.process = process
        self._render = render_json if settings.format == "json" else render_text
        self._output = Output(path=settings.path)
        self._reported = 0

    def emit(self, record: logging.LogRecord) -> None:
        self._output.write(self._line(record))
        self._report_drops()

    def flush(self) -> None:
        self._output.flush()
        self._report_drops()

    def close(self) -> None:
        self._output.close(within_seconds=CLOSE_SECONDS)
        super().close()

    def _line(self, record: logging.LogRecord) -> bytes:
        try:
            return self._render(record, self.process)
        except (TypeError, ValueError, KeyError) as error:
            return f"a log record could not be rendered: {record.msg!r}: {error}\n".encode()

    def _report_drops(self) -> None:
        count = self._output.dropped - self._reported
        if not count:
            return
        dropped = self._output.dropped
        text = words_of("51008", count=count)
        record = logging.LogRecord("csp", logging.WARNING, "", 0, text, None, None)
        record.event, record.fields = "51008", {"count": count}
        self._output.write(self._line(record))
        if self._output.dropped == dropped:
            self._reported = dropped
        else:
            self._output.dropped = dropped  # the report itself was dropped: that is no lost line


def render_text(record: logging.LogRecord, process: str) -> bytes:
    """One line for people."""
    event = getattr(record, "event", "-----")
    head = f"{_time(record)} {_level(record):<7} {event} {process}: "
    return (head + _text(record).replace("\n", "\n  ") + "\n").encode(errors="backslashreplace")


def render_json(record: logging.LogRecord, process: str) -> bytes:
    """One line for programs."""
    fields = getattr(record, "fields", {})
    line: dict[str, object] = {
        "time": _time(record),
        "level": _level(record),
        "process": process,
        "event": getattr(record, "event", None),
        "logger": record.name,
        "text": _text(record),
    }
    for name, value in fields.items():
        line.setdefault(name, value if isinstance(value, int) else _cut(str(value)))
    return (json.dumps(line, ensure_ascii=False) + "\n").encode(errors="backslashreplace")


def start_log(settings: LogSettings, process: str) -> logging.Logger:
    """Makes `csp` the root of this process's log; called again after a fork."""
    log = logging.getLogger("csp")
    for handler in list(log.handlers):
        log.removeHandler(handler)  # the parent's: its buffered lines are the parent's to send
    log.addHandler(LogHandler(settings, process))
    log.setLevel(LEVELS[settings.level])
    log.propagate = False
    logging.raiseExceptions = False
    # No line shows them, and asking costs a system call a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    return log


def set_level(level: str) -> None:
    """The lowest level that is written from now on; empty: that of the start."""
    log = logging.getLogger("csp")
    for handler in log.handlers:
        if isinstance(handler, LogHandler):
            number = LEVELS[level] if level else handler.level_at_start
            handler.setLevel(number)
            log.setLevel(number)


def stop_log() -> None:
    """Sends what is buffered, within a limit; called at a process's end."""
    for handler in logging.getLogger("csp").handlers:
        handler.close()


@lru_cache(maxsize=2)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _time(record: logging.LogRecord) -> str:
    return f"{_second(int(record.created))}.{int(record.msecs):03d}Z"


def _level(record: logging.LogRecord) -> str:
    return LEVEL_WORDS.get(record.levelno, record.levelname.lower())


def _text(record: logging.LogRecord) -> str:
    text = record.getMessage()
    if record.exc_info and record.exc_info[0] is not None:
        text += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
    return text


def _cut(text: str) -> str:
    return text if len(text) <= FIELD_CHARACTERS_MAX else text[:FIELD_CHARACTERS_MAX] + "…"
