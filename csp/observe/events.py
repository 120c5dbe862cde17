"""Logs the events of the table (csp/tables/events.toml): number, level, words, fields."""

from __future__ import annotations

import logging
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


def words_of(number: str, **fields: object) -> str:
    """The text of an event with its fields."""
    return EVENTS[number].words.format(**fields)


def log_event(log: logging.Logger, number: str, **fields: object) -> None:
    """Logs one event of the table with its fields."""
    level = LEVELS[EVENTS[number].level]
    if log.isEnabledFor(level):
        text = words_of(number, **fields)
        # As Logger.log does it, but for looking who called: nobody shows that.
        extra = {"event": number, "fields": fields}
        record = log.makeRecord(log.name, level, "", 0, text, (), None, extra=extra)
        log.handle(record)
