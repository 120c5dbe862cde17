"""Names the numbers that stand in the control segment: state, link, whose slot is whose.

The alarms that stand there are in alarms.py.
"""

from __future__ import annotations

from typing import Protocol

from csp.observe.clock import steady_ms
from csp.process.roles import role_of_slot

STATE_LOADING = 0
STATE_READY = 1
STATE_NAMES = ("loading", "ready")

# States of the link to the origin, as Control.set_link takes them.
LINK_DATABASE = 0
LINK_UP = 1
LINK_DOWN = 2
LINK_STALE = 3  # up, to a server that has itself lost its master, or its database
LINK_NAMES = ("database", "up", "down", "stale")
LINKS_THERE = (LINK_UP, LINK_STALE)


class Linked(Protocol):
    """The control segment, as who asks for the link sees it."""

    @property
    def link_wall_ms(self) -> int: ...
    def link(self) -> tuple[int, int, int]: ...


def link_now(control: Linked) -> tuple[int, int, int]:
    """(state, master revision, heard ms) as they hold now.

    A master with a lease says LINK_DATABASE until a time by the clock since the boot, which stands
    beside it: behind that, as after a pause of the machine, another one may have the database.
    """
    state, revision, heard_ms = control.link()
    if state == LINK_DATABASE and 0 < control.link_wall_ms < steady_ms():
        state = LINK_STALE
    return state, revision, heard_ms


# Each role has slots of its own (csp/process/roles.py), the supervisor one; guests take what is
# free of the rest.
GUEST_SLOTS = range(55, 64)

# How long an announcement may stand while changes go on: each of them adds to what it holds.
PIN_MS_MAX = 2_000  # a worker answers BUSY before; auth and the writer read one record
GUEST_PIN_MS_MAX = 60_000  # a comparison of whole stores; then a guest pins anew, or gives up
PIN_SLACK_MS = 1_000  # on a busy machine it may stand so much longer before anybody is told


def slot_words(slot: int, pid: int) -> str:
    """Whose slot that is, in words."""
    role = role_of_slot(slot)
    holder = f"a guest in slot {slot}" if role is None else role.name_of(slot)
    return f"{holder} (pid {pid})"


def pin_ms_max(slot: int) -> int:
    """How long an announcement in that slot may stand."""
    return GUEST_PIN_MS_MAX if slot in GUEST_SLOTS else PIN_MS_MAX
