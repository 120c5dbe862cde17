"""CFG.AUTH GSSAPI: signs a client in by the Kerberos ticket that it brings.

1. Auth says whose the ticket is, and refuses one that this machine has seen (csp/auth/tickets.py);
   then the master is asked whether any server has, and only then somebody is signed in.
2. Where the master is away, or does not answer within ASKED_MS_MAX, this machine's cache decides
   alone: directories and masters fail at other times, and a copied ticket is of use for minutes.
   That is an event, when it begins and when it is over.
3. Nothing is asked twice: what was under way when auth ended would be a replay. The client makes a
   new token.
"""

from __future__ import annotations

import base64
import binascii
import logging
from dataclasses import dataclass
from typing import Any, Final

import orjson

from csp.errors import BadValue, Busy, MasterDown, WrongPass
from csp.model.sessions import TICKET
from csp.observe.events import log_event
from csp.process.channel.asking import Absent, Answer, Broken, Done, Fail
from csp.resp.encode import bulk, error
from csp.worker.call import Call, Handler
from csp.worker.handshake import AUTH_RETRIES_MAX, AUTH_RETRY_MS, host_of, take_verdict

MECHANISM: Final = b"GSSAPI"
ASKED_MS_MAX: Final = 3_000  # a link that is silent is left after ten seconds
AWAY: Final = f"{MasterDown.WORD} "
NEW_TOKEN: Final = "can't sign in now: make a new token and send that"

log = logging.getLogger("csp.worker")


def auth_by_ticket(call: Call) -> None:
    """CFG.AUTH GSSAPI token"""
    _, mechanism, text = call.args
    if mechanism.upper() != MECHANISM:
        raise BadValue(f"{mechanism[:32]!r} is no way to sign in here: GSSAPI is")
    try:
        token = base64.b64decode(text, validate=True)
    except binascii.Error:
        raise BadValue("the token is not base64") from None
    TicketSignIn(call, host_of(call.session), token).ask()


class Tickets:
    """What this worker knows of the master that is asked about tickets."""

    def __init__(self) -> None:
        self._is_alone = False

    def master_is_away(self, why: str) -> None:
        """A ticket was taken without asking it."""
        if not self._is_alone:
            self._is_alone = True
            log_event(log, "51243", reason=why)

    def master_has_answered(self) -> None:
        """It was asked."""
        if self._is_alone:
            self._is_alone = False
            log_event(log, "51244")


@dataclass(slots=True)
class TicketSignIn:
    """A ticket about which auth, then the master, is asked."""

    call: Call
    host: str
    token: bytes
    retries: int = AUTH_RETRIES_MAX

    @property
    def is_over(self) -> bool:
        """Whether nobody waits any more: the client has gone."""
        return self.call.conn not in self.call.lane.states

    def ask(self) -> None:
        """Asks auth."""
        if not self.is_over:
            self.call.lane.auth.ask("TICKET", self.host, self.token, then=self._answered)

    def _answered(self, answer: Answer) -> None:
        if self.is_over:
            return
        match answer:
            case Done(parts):
                self._ask_master(orjson.loads(parts[0]))
            case Absent(_, is_away=True) if self.retries:
                self.retries -= 1
                self.call.lane.loop.call_later(AUTH_RETRY_MS, self.ask)
            case Fail(text):
                self.call.finish(error(text))
            case Absent() | Broken():
                self.call.finish(error(Busy(NEW_TOKEN).line))

    def _ask_master(self, told: dict[str, Any]) -> None:
        lane = self.call.lane

        def answered(answer: Answer) -> None:
            if not self.is_over:
                self._decided(told, answer)

        lane.writer.ask("TICKET", told["digest"], then=answered, within_ms=ASKED_MS_MAX)

    def _decided(self, told: dict[str, Any], answer: Answer) -> None:
        call, tickets = self.call, self.call.lane.tickets
        match answer:
            case Done([b"1"]):
                tickets.master_has_answered()
            case Done():
                tickets.master_has_answered()
                refusal = WrongPass("the ticket was used before, at another server").line
                call.lane.auth.ask("REFUSED", self.host, told["user"], refusal, then=lambda _: None)
                call.finish(error(refusal))
                return
            case Fail(text) if not text.startswith(AWAY):
                call.finish(error(text))
                return
            case Fail(why) | Absent(why) | Broken(why):
                tickets.master_is_away(why.removeprefix(AWAY))
        call.finish(take_verdict(call, told, lambda: bulk(told["reply"].encode()), TICKET))


HANDLERS: dict[str, Handler] = {"cfg.auth": auth_by_ticket}
