"""Decides by RADIUS whether a password is a user's: servers in order, the one that answers stays.

1. A server that gave no answer is followed by the next, for all later questions too; whoever has
   found out moves on, once, however many have waited for it.
2. An answer is final: what one server refuses, no other is asked.
3. A server that wants a second secret (Access-Challenge) is a refusal: csp can't pass it on.
4. What can't be said in a request at all (a password of 129 bytes) is refused unasked.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Mapping
from typing import Final

from csp.external.backend import Directory, Kind, Unusable, Verdict
from csp.external.settings import Settings
from csp.observe.events import log_event
from csp.process.lookup import Lookup, LookupFailed
from csp.radius.settings import SECTION, RadiusSettings, Server, read_settings, state_of_files
from csp.tables.options import Value

try:
    from csp.radius import exchange

    WHY_NOT = ""
except ImportError as error:
    WHY_NOT = str(error)

USER_BYTES_MAX: Final = 253  # of an attribute
PASSWORD_BYTES_MAX: Final = 128

log = logging.getLogger("csp.radius")


class RadiusBackend:
    """Makes directories of RADIUS servers."""

    def open(self, settings: Settings) -> Directory:
        """The directory of these settings; raises Unusable."""
        if WHY_NOT:
            raise Unusable(f"RADIUS needs a Python package: pip install csp[radius] ({WHY_NOT})")
        if len(settings.sections) != 1:
            raise Unusable(f"RADIUS has one section, {SECTION}, which names all servers")
        return RadiusDirectory(settings.sections[0])


class RadiusDirectory:
    """The servers of one section; asked from several threads at once."""

    def __init__(self, section: Mapping[str, Value]) -> None:
        self._section = section
        self._files = state_of_files(section)
        self._settings = read_settings(section)
        self.name = "RADIUS " + ", ".join(one.address for one in self._settings.servers)
        self._active = 0  # which of the servers is asked first
        self._lock = threading.Lock()
        for server in self._settings.servers:
            if not server.needs_signature:
                log_event(log, "51240", server=server.address)

    def authenticate(self, user: str, secret: bytes, deadline: float) -> Verdict:
        """Whether the servers take the password; see csp.external.backend.Directory."""
        name = user.encode()
        if not 0 < len(name) <= USER_BYTES_MAX:
            return Verdict(Kind.REFUSED, f"a RADIUS user name has 1 to {USER_BYTES_MAX} bytes")
        if len(secret) > PASSWORD_BYTES_MAX or b"\0" in secret:
            words = f"a RADIUS password has at most {PASSWORD_BYTES_MAX} bytes, none of them 0"
            return Verdict(Kind.REFUSED, words)
        silent: list[str] = []
        settings, first = self._newest()
        servers = settings.servers
        for at in (*range(first, len(servers)), *range(first)):
            found = _ask(settings, servers[at], name, secret, deadline)
            if isinstance(found, exchange.Reply):
                return _verdict(found)
            silent.append(f"{servers[at].address}: {found.why}")
            if found.is_certain:
                self._moves_on(settings, at, found.why)
            if time.monotonic() >= deadline:
                break
        return Verdict(Kind.AWAY, "; ".join(silent))

    def _newest(self) -> tuple[RadiusSettings, int]:
        """The settings as the files are now, and which server is asked first; raises Unusable."""
        with self._lock:
            files = state_of_files(self._section)
            if files != self._files:
                self._settings = read_settings(self._section)
                self._files, self._active = files, 0
            return self._settings, self._active

    def _moves_on(self, settings: RadiusSettings, silent: int, why: str) -> None:
        servers = settings.servers
        with self._lock:
            if self._settings is not settings or self._active != silent or len(servers) == 1:
                return
            self._active = (silent + 1) % len(servers)
            after = servers[self._active]
        reason = f"{servers[silent].address}: {why}"
        log_event(log, "51254", directory=self.name, server=after.address, reason=reason)


def _ask(
    settings: RadiusSettings, server: Server, user: bytes, password: bytes, deadline: float
) -> exchange.Reply | exchange.Silence:
    question = exchange.Exchange(settings, server, user, password)
    try:
        endpoint = Lookup(server.host, server.port).wait()[0]
    except LookupFailed as error:
        return exchange.Silence(str(error))
    return question.ask(endpoint, deadline)


def _verdict(reply: exchange.Reply) -> Verdict:
    if reply.decision is exchange.Decision.ACCEPT:
        return Verdict(Kind.ACCEPTED, reply.words)
    if reply.decision is exchange.Decision.CHALLENGE:
        told = f": {reply.words}" if reply.words else ""
        words = "the directory asks for a second secret (Access-Challenge), which csp can't ask for"
        return Verdict(Kind.REFUSED, words + told)
    return Verdict(Kind.REFUSED, reply.words or "the RADIUS server refuses it")
