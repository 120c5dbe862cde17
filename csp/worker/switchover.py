"""CFG.SWITCHOVER: an administrator has the other one of the pair take over."""

from __future__ import annotations

from csp.resp.encode import OK
from csp.worker.asking import ask_writer
from csp.worker.call import Call, Handler

# Sessions are handed over, and the other one opens its ports; a pair that takes longer says why.
SWITCHOVER_MS_MAX = 30_000


def switchover(call: Call) -> None:
    """CFG.SWITCHOVER: answered when the other one serves, or with why it does not."""
    ask_writer(call, "SWITCHOVER", done=lambda _: OK, within_ms=SWITCHOVER_MS_MAX)


HANDLERS: dict[str, Handler] = {"cfg.switchover": switchover}
