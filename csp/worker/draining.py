"""CFG.DRAIN: leads the clients of this server to others, or takes it back in."""

from __future__ import annotations

import logging

from csp.errors import CspError
from csp.observe.events import log_event
from csp.process import drain
from csp.resp.encode import OK
from csp.worker.call import Call, Handler
from csp.worker.refusal import SYNTAX, number

log = logging.getLogger("csp.worker")

NO_SECONDS = "OVER takes seconds, 0 to 3600; 0 ends a drain"


def drain_(call: Call) -> bytes:
    """CFG.DRAIN [OVER seconds]; 0 ends one."""
    words = call.args[1:]
    seconds = drain.SECONDS_DEFAULT
    if words:
        if len(words) != 2 or words[0].lower() != b"over":
            raise CspError(SYNTAX)
        seconds = number(words[1], NO_SECONDS)
        if not 0 <= seconds <= drain.SECONDS_MAX:
            raise CspError(NO_SECONDS)
    lane = call.lane
    log_event(log, "51044", who=call.session.user, seconds=seconds)
    if seconds:
        drain.begin(lane.control, lane.info.wake_fds, seconds)
    else:
        drain.end(lane.control, lane.info.wake_fds)
    return OK


HANDLERS: dict[str, Handler] = {"cfg.drain": drain_}
