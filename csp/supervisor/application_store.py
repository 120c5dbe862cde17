"""Reads a master's own Application, and its Host, from the store that its writer has loaded.

Runs in a short-lived child: the supervisor itself maps no data.
"""

from __future__ import annotations

from contextlib import closing

from csp.exits import EXIT_NO_CONNECTION
from csp.process.context import StartRefused
from csp.supervisor.bootstrap import Own


def read_own_application(instance: str, app_name: str) -> Own:
    """The Application and its Host; empty if there is none of that name."""
    import orjson

    from csp._fastpath import Control
    from csp.process.application import application_of, host_of
    from csp.store import segment
    from csp.store.guest import Guest
    from csp.store.locks import LockHeld

    try:
        guest = Guest(instance, Control(segment.open_control(instance)))
    except LockHeld as error:
        raise StartRefused(EXIT_NO_CONNECTION, str(error)) from None
    with closing(guest):
        application = orjson.loads(application_of(guest.reader, app_name) or b"{}")
        return Own(application, host_of(guest.reader, application))
