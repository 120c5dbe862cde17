"""Names the numbers that stand in the control segment: state, link, whose slot is whose.

The alarms that stand there are in alarms.py.
"""

from __future__ import annotations

STATE_LOADING = 0
STATE_READY = 1
STATE_NAMES = ("loading", "ready")

# States of the link to the origin, as Control.set_link takes them.
LINK_DATABASE = 0
LINK_UP = 1
LINK_DOWN = 2
LINK_NAMES = ("database", "up", "down")

# Workers have the first slots, auth, the writer and the supervisor the next; guests take what is
# free of the rest. The writer's stands in csp/_fastpath/store/shm.h too.
WORKER_SLOTS = range(48)
AUTH_SLOT = 48
WRITER_SLOT = 49
SUPERVISOR_SLOT = 50
GUEST_SLOTS = range(51, 64)

# How long an announcement may stand while changes go on: each of them adds to what it holds.
PIN_MS_MAX = 2_000  # a worker answers BUSY before; auth and the writer read one record
GUEST_PIN_MS_MAX = 60_000  # a comparison of whole stores; then a guest pins anew, or gives up
PIN_SLACK_MS = 1_000  # on a busy machine it may stand so much longer before anybody is told


def slot_words(slot: int, pid: int) -> str:
    """Whose slot that is, in words."""
    if slot in WORKER_SLOTS:
        role = f"worker {slot}"
    elif slot in GUEST_SLOTS:
        role = f"a guest in slot {slot}"
    else:
        role = "auth" if slot == AUTH_SLOT else "the writer"
    return f"{role} (pid {pid})"


def pin_ms_max(slot: int) -> int:
    """How long an announcement in that slot may stand."""
    return GUEST_PIN_MS_MAX if slot in GUEST_SLOTS else PIN_MS_MAX
