"""Asks an LDAP directory whether a password is a user's: searches for him, binds as the DN found.

1. One hit, or nobody signs in: neither none nor several.
2. An empty or blank password never gets here as far as a bind: a directory may take it for an
   anonymous one, and say yes.
3. Every connection is new, serves one question and is closed: nothing of one user is left for the
   next one.
4. Who refuses the user's own bind has decided (REFUSED, in the directory's words); who refuses
   csp's, or its search, is set up wrongly (UNUSABLE); who says nothing is away: the next is asked.
"""

from __future__ import annotations

import logging
from typing import Final

import ldap

from csp.external.backend import Kind, Unusable, Verdict
from csp.external.questions import one_line
from csp.external.servers import ServerAway, Servers
from csp.external.settings import Settings
from csp.ldap.connection import AWAY, Connection, words_of
from csp.ldap.server import LdapServer, read_server
from csp.observe.events import log_event

# What it says of csp's connection, not of the user.
SETUP: Final = (
    ldap.CONFIDENTIALITY_REQUIRED,
    ldap.STRONG_AUTH_REQUIRED,
    ldap.AUTH_METHOD_NOT_SUPPORTED,
    ldap.PROTOCOL_ERROR,
)
NO_ATTRIBUTES: Final = "1.1"
REFUSED_WORDS: Final = "Invalid credentials"  # for whom the search does not find, too

log = logging.getLogger("csp.external")


class LdapBackend:
    """All LDAP directories that a server's users are kept in."""

    def open(self, settings: Settings) -> LdapDirectory:
        """The directory of these settings; raises Unusable."""
        servers = [read_server(one) for one in settings.sections]
        return LdapDirectory(settings.name, servers)


class LdapDirectory:
    """The servers of one directory."""

    def __init__(self, name: str, servers: list[LdapServer]) -> None:
        self.name = name
        self._servers = Servers(name, servers)
        for server in servers:
            for problem in server.problems():
                log_event(log, "51259", directory=name, reason=problem)

    def authenticate(self, user: str, secret: bytes, deadline: float) -> Verdict:
        """Whether the password is the user's."""
        if not secret.strip() or b"\0" in secret:
            return Verdict(Kind.REFUSED, REFUSED_WORDS)
        return self._servers.ask(lambda one, until: self._ask(one, user, secret, until), deadline)

    def _ask(self, server: LdapServer, user: str, secret: bytes, deadline: float) -> Verdict:
        try:
            with Connection(server, deadline) as connection:
                connection.bind_as_searcher()
                found = _search(connection, server.search.filter_for(user), server)
                if len(found) != 1:
                    return self._told(server, user, len(found))
                return _verdict(connection, found[0], secret)
        except AWAY as error:
            raise ServerAway(words_of(error)) from None
        except ldap.LDAPError as error:
            raise Unusable(f"{server.name}: {words_of(error)}") from None

    def _told(self, server: LdapServer, user: str, count: int) -> Verdict:
        """Nobody, or several, are of that name: he hears no more than for a wrong password."""
        many = "no entry" if not count else "more than one entry"
        reason = f"{server.name} finds {many} for {one_line(user)!r}: refused"
        log_event(log, "51259", directory=self.name, reason=reason)
        return Verdict(Kind.REFUSED, REFUSED_WORDS)


def _search(connection: Connection, filter_text: str, server: LdapServer) -> list[str]:
    """The DNs of those who are meant, two at most."""
    seconds = connection.seconds()
    search = server.search
    try:
        number = connection.ldap.search_ext(
            search.base,
            search.scope,
            filter_text,
            [NO_ATTRIBUTES],
            timeout=max(1, int(seconds)),
            sizelimit=2,
        )
        _, entries, _, _ = connection.ldap.result3(number, all=1, timeout=seconds)
    except ldap.SIZELIMIT_EXCEEDED:
        return ["", ""]
    # What has no DN is a reference to another server.
    return [str(entry[0]) for entry in entries if entry[0]]


def _verdict(connection: Connection, dn: str, secret: bytes) -> Verdict:
    """Whether the directory takes the password for the entry's."""
    try:
        connection.bind(dn, secret)
    except (*AWAY, *SETUP):
        raise
    except ldap.LDAPError as error:
        return Verdict(Kind.REFUSED, words_of(error))
    return Verdict(Kind.ACCEPTED)
