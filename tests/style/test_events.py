"""Keeps the table of events and the code that logs them in step."""

from __future__ import annotations

import re
from pathlib import Path

from csp.tables.events import ALARMS, EVENTS

ROOT = Path(__file__).resolve().parent.parent.parent
BARE = re.compile(r"\blog\.(?:debug|info|warning|error|critical|exception)\((?!.*FAULT_EVENT)")


def test_every_line_of_the_log_has_a_number_and_every_number_a_line() -> None:
    files = [path for path in (ROOT / "csp").rglob("*.py") if path.parent.name != "tables"]
    text = {path: path.read_text() for path in files}
    assert [path.name for path in files if BARE.search(text[path])] == [], "log_event(log, …)"
    used = {number for found in text.values() for number in re.findall(r'"(\d{5})"', found)}
    used |= {n for one in ALARMS.values() for n in (one.raised, one.over, *one.also)}
    assert set(EVENTS) - used == set()
