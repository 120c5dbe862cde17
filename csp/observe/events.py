"""Logs the events of the table (csp/tables/events.toml): number, level, words, fields."""

from __future__ import annotations

import logging
import time
from typing import Final

from csp.tables.events import EVENTS

ALARM: Final = logging.CRITICAL  # somebody must act
TRACE: Final = 15  # between debug and info: who comes and goes
LEVELS: Final = {
    "trace": TRACE,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
    "alarm": ALARM,
}

# What log.exception takes as `extra` where a fault is caught that nobody expected.
FAULT_EVENT: Final = {"event": "51190"}


# What no line of ours shows of a record: who called, thread and process.
_BLANK: Final[dict[str, object]] = {
    **dict.fromkeys(("pathname", "filename", "module", "funcName"), ""),
    **dict.fromkeys(("threadName", "processName", "taskName"), ""),
    **dict.fromkeys(("args", "exc_info", "exc_text", "stack_info", "thread", "process")),
    "lineno": 0,
    "relativeCreated": 0.0,
}


class EventRecord(logging.LogRecord):
    """A record of an event, made without asking for what no line shows."""

    def __init__(self, name: str, level: int, number: str, fields: dict[str, object]) -> None:
        self.__dict__.update(_BLANK)
        self.name = name
        self.levelno = level
        self.levelname = logging.getLevelName(level)
        self.msg = words_of(number, **fields)
        self.created = now = time.time()
        self.msecs = int(now % 1 * 1000)
        self.event = number
        self.fields = fields


def words_of(number: str, **fields: object) -> str:
    """The text of an event with its fields."""
    return EVENTS[number].words.format(**fields)


def log_event(log: logging.Logger, number: str, **fields: object) -> None:
    """Logs one event of the table with its fields."""
    level = LEVELS[EVENTS[number].level]
    if log.isEnabledFor(level):
        log.handle(EventRecord(log.name, level, number, fields))
