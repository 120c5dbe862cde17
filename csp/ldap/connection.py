"""Connects to an LDAP server: TLS, time-outs, csp's own bind.

1. No wait is longer than its time-out: of the network, of an answer, of each call.
2. Nothing is sent before TLS stands where it is to.
3. No server is asked that the options do not name: referrals are left out.
"""

from __future__ import annotations

from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import ldap
import ldap.ldapobject

from csp.external.backend import Unusable, left
from csp.external.questions import one_line
from csp.external.servers import ServerAway
from csp.ldap.server import LdapServer
from csp.ldap.tls import connect_tls, context_of

# What a server says, or the library of it, that can't answer now: the next may.
AWAY: Final = (
    ldap.SERVER_DOWN,
    ldap.CONNECT_ERROR,
    ldap.TIMEOUT,
    ldap.TIMELIMIT_EXCEEDED,
    ldap.BUSY,
    ldap.UNAVAILABLE,
)


class Connection:
    """One connection, for one question."""

    def __init__(self, server: LdapServer, deadline: float) -> None:
        """Connects; raises ServerAway, or Unusable."""
        self._server = server
        self._deadline = deadline
        seconds = min(float(server.connect_seconds), left(deadline))
        if server.is_tls:
            until = deadline - left(deadline) + seconds
            ours = connect_tls(server, context_of(server), until)
            self.ldap = ldap.initialize("ldap://", fileno=ours.detach())  # the library closes it
        else:
            self.ldap = ldap.initialize(server.search.uri)
        self.ldap.set_option(ldap.OPT_PROTOCOL_VERSION, ldap.VERSION3)
        self.ldap.set_option(ldap.OPT_NETWORK_TIMEOUT, seconds)
        self.ldap.set_option(ldap.OPT_TIMEOUT, seconds)
        self.ldap.set_option(ldap.OPT_REFERRALS, 0)

    def bind(self, dn: str, password: bytes | str) -> None:
        """Signs in; raises as the library does."""
        number = self.ldap.simple_bind(dn, password)
        self.ldap.result3(number, all=1, timeout=self.seconds())

    def bind_as_searcher(self) -> None:
        """Signs csp's own account in; raises ServerAway, or Unusable where it is refused."""
        server = self._server
        password = server.password() if server.user else ""
        try:
            self.bind(server.user, password)
        except AWAY as error:
            raise ServerAway(words_of(error)) from None
        except ldap.LDAPError as error:
            who = repr(server.user) if server.user else "an anonymous search"
            raise Unusable(f"{server.name} refuses {who}: {words_of(error)}") from None

    def seconds(self) -> float:
        """How long one answer may take now."""
        return min(float(self._server.response_seconds), left(self._deadline))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends it; nothing of it is kept."""
        with suppress(ldap.LDAPError):  # it may have ended by itself
            self.ldap.unbind_ext()


def words_of(error: ldap.LDAPError) -> str:
    """What a server, or the library, says, in one line."""
    if isinstance(error, ldap.TIMEOUT):
        return "no answer in time"
    found = error.args[0] if error.args and isinstance(error.args[0], dict) else {}
    words = [str(found.get(part, "")).strip() for part in ("desc", "info")]
    return one_line(": ".join(word for word in words if word)) or type(error).__name__
