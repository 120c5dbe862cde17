"""Reads a master's own Application object from the store that its writer has loaded.

Runs in a short-lived child: the supervisor itself maps no data.
"""

from __future__ import annotations

import os
from typing import Any

from csp.store.context import StartRefused

APPLICATION_CLASS_ID = 9
GUEST_SLOTS = range(49, 64)
EXIT_TRY_AGAIN = 3


def read_own_application(instance: str, app_name: str) -> dict[str, Any]:
    """The Application; empty if there is none of that name."""
    import orjson

    from csp._fastpath import Control, StoreReader
    from csp.model.keys import KEYS
    from csp.store import locks, segment

    control = Control(segment.open_control(instance))
    for slot in GUEST_SLOTS:
        try:
            lock = locks.take_slot(instance, slot)
            break
        except locks.LockHeld:
            continue
    else:
        raise StartRefused(EXIT_TRY_AGAIN, "no guest slot is free")
    control.claim_slot(slot, os.getpid())
    reader = StoreReader(segment.open_data(instance, control.generation), control, slot)
    reader.pin()
    found: dict[str, Any] = {}
    key_id = KEYS["CfgApplication", "name"].key_id
    for dbid in reader.find(key_id, app_name.encode()):
        found = orjson.loads(reader.get(APPLICATION_CLASS_ID, dbid) or b"{}")
    reader.unpin()
    control.clear_slot(slot)
    lock.release()
    return found
