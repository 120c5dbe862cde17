"""Names the numbers that stand in the control segment: its state, its alarms, whose slot is whose.

The numbers of the link to the origin are in origin.py, beside what sets them.
"""

from __future__ import annotations

STATE_LOADING = 0
STATE_READY = 1
STATE_NAMES = ("loading", "ready")

# Alarms that are raised, as bits, and their words in CFG.STATUS.
ALARM_FULL = 1
ALARM_DAMAGED = 2
ALARM_DATABASE = 4
ALARM_REPLACED = 8
ALARM_WORDS = {
    ALARM_FULL: "store full",
    ALARM_DAMAGED: "damaged record",
    ALARM_DATABASE: "database lost",
    ALARM_REPLACED: "another master writes",
}

# Workers have the first slots, auth and the writer the next; guests take what is free of the rest.
WORKER_SLOTS = range(48)
AUTH_SLOT = 48
WRITER_SLOT = 49
GUEST_SLOTS = range(50, 64)


def alarm_words(alarms: int) -> str:
    """What is raised, in words; empty where nothing is."""
    return ", ".join(words for bit, words in ALARM_WORDS.items() if alarms & bit)
