"""Takes an ldap-url apart: server, where to search, and the filter with its user.

1. A filter must say where the user stands: one that finds whoever is no filter of a sign-in.
2. The user is put in by the library's escaping alone; nothing that he types is a part of a filter.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import ldap
import ldap.filter
import ldapurl

from csp.external.backend import Unusable

PORTS: Final = {"ldap:": 389, "ldaps:": 636}
SCOPES: Final = {
    ldapurl.LDAP_SCOPE_BASE: ldap.SCOPE_BASE,
    ldapurl.LDAP_SCOPE_ONELEVEL: ldap.SCOPE_ONELEVEL,
    ldapurl.LDAP_SCOPE_SUBTREE: ldap.SCOPE_SUBTREE,
}
LOCAL_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
USER: Final = re.compile(r"(?<!\w)X(?!\w)")  # the user's place in a filter


@dataclass(frozen=True)
class Search:
    """What an ldap-url says."""

    uri: str  # ldap://HOST:PORT
    host: str
    port: int
    base: str
    scope: int
    template: str  # the filter, with %s for the user
    count: int  # of these

    @property
    def is_encrypted(self) -> bool:
        """Whether nobody on the way reads along, by itself."""
        return not self.uri.startswith("ldap:") or self.host in LOCAL_HOSTS

    def filter_for(self, user: str) -> str:
        """The filter that finds a user, whatever his name holds."""
        return str(ldap.filter.filter_format(self.template, [user] * self.count))


def read_url(text: str) -> Search:
    """The parts of an ldap-url; raises Unusable."""
    if not text:
        raise Unusable("ldap-url is not set")
    try:
        url = ldapurl.LDAPUrl(text)
    except ValueError:
        raise Unusable(f"ldap-url {text!r} is no LDAP URL") from None
    if f"{url.urlscheme}:" not in PORTS or not url.hostport:
        raise Unusable(f"ldap-url {text!r} names no server: ldap://HOST/BASE??sub?(uid=X)")
    host, port = _place(url)
    pieces = USER.split(url.filterstr or "")
    if len(pieces) < 2:
        raise Unusable(f"ldap-url {text!r}: its filter has no X, the user's place: (uid=X)")
    return Search(
        uri=f"{url.urlscheme}://{url.hostport}",
        host=host,
        port=port,
        base=str(url.dn or ""),
        scope=SCOPES.get(url.scope, ldap.SCOPE_SUBTREE),
        template="%s".join(piece.replace("%", "%%") for piece in pieces),
        count=len(pieces) - 1,
    )


def _place(url: ldapurl.LDAPUrl) -> tuple[str, int]:
    """Host and port that a URL names; raises Unusable."""
    found = urlsplit(f"{url.urlscheme}://{url.hostport}")
    try:
        return found.hostname or "", found.port or PORTS[f"{url.urlscheme}:"]
    except ValueError:
        raise Unusable(f"ldap-url names no port: {url.hostport!r}") from None
