"""Offers the tables of events and alarms (events.toml, alarms.toml): numbers, levels, words."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

from csp.tables.rows import naming_row

EVENTS_TABLE = Path(__file__).parent / "events.toml"
ALARMS_TABLE = Path(__file__).parent / "alarms.toml"
LEVELS = ("trace", "info", "warning", "error", "alarm")


@dataclass(frozen=True, slots=True)
class Event:
    """One kind of event: its level and the words that its fields are put into."""

    number: str
    group: str
    level: str
    words: str


@dataclass(frozen=True, slots=True)
class Alarm:
    """One state for which somebody would be woken."""

    name: str
    place: int  # its row in the control segment
    process: str  # that raises it and takes it back
    raised: str  # the event's number
    over: str
    also: tuple[str, ...]  # events that raise it too
    means: str
    todo: str


def load_events(path: Path = EVENTS_TABLE) -> dict[str, Event]:
    """The events by number."""
    found: dict[str, Event] = {}
    for group, rows in tomllib.loads(path.read_text("utf-8")).items():
        for number, row in rows.items():
            with naming_row("events.toml", number):
                if row["level"] not in LEVELS or number in found:
                    raise ValueError("no such level, or a second row")
                found[number] = Event(number, group, row["level"], row["words"])
    return found


def load_alarms(path: Path = ALARMS_TABLE) -> dict[str, Alarm]:
    """The alarms by name."""
    rows = tomllib.loads(path.read_text("utf-8"))
    found = {}
    for name, row in rows.items():
        with naming_row("alarms.toml", name):
            found[name] = Alarm(name=name, also=tuple(row.pop("also", ())), **row)
    if len({one.place for one in found.values()}) != len(found):
        raise ValueError("alarms.toml: two alarms have one place")
    return found


EVENTS: dict[str, Event] = load_events()
ALARMS: dict[str, Alarm] = load_alarms()
