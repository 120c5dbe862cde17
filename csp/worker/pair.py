"""CFG.PAIR: the other half of this server's pair says how it stands, and hears how this one does.

The writer decides who that is: it keeps what the two know of each other (csp/feed/pair.py).
"""

from __future__ import annotations

from csp.errors import Busy, CspError, MasterDown
from csp.process.channel.asking import Absent, Answer, Broken, Done, Fail
from csp.resp.encode import bulk, error
from csp.worker.call import Call, Handler
from csp.worker.refusal import SYNTAX

SAY = b"SAY"


def pair(call: Call) -> None:
    """CFG.PAIR SAY standing"""
    _, verb, standing = call.args
    if verb.upper() != SAY:
        raise CspError(SYNTAX)

    def answered(answer: Answer) -> None:
        match answer:
            case Done(parts):
                call.finish(bulk(parts[0]))
            case Fail(text):
                call.finish(error(text))
            case Absent(why):
                call.finish(error(Busy(why).line))
            case Broken(why):
                call.finish(error(MasterDown(why).line))

    dbid = call.session.application_dbid
    call.lane.writer.ask("PEER", str(dbid), standing, then=answered)


HANDLERS: dict[str, Handler] = {"cfg.pair": pair}
