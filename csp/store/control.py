"""Names the numbers that stand in the control segment: its state, its alarms, whose slot is whose.

The numbers of the link to the origin are in origin.py, beside what sets them.
"""

from __future__ import annotations

STATE_LOADING = 0
STATE_READY = 1
STATE_NAMES = ("loading", "ready")

ALARM_FULL = 1  # a bit: the store is full

# Workers have the first slots, auth the next; guests take what is free of the rest.
WORKER_SLOTS = range(48)
AUTH_SLOT = 48
GUEST_SLOTS = range(49, 64)
