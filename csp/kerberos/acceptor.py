"""Decides whether a client's Kerberos token is good for this service, and whose it is.

1. A token is accepted when the exchange is complete and names its principal; a library that would
   tell an error later tells it at once (`__DEFER_STEP_ERRORS__`), as for a replay.
2. The keytab is read at each question, so a new key holds at once.
3. Replays are refused by the library's cache, which all processes of this machine share; where that
   can't be used nobody gets in. What others must know of the token is in the verdict (`digest`).
4. Only principals of the service's own realm, or of the one that the options name, are accepted:
   a realm that others trust does not sign in here by that alone.
"""

from __future__ import annotations

import base64
import errno
import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from csp.external.backend import Directory, Kind, Unusable, Verdict
from csp.external.settings import Settings
from csp.kerberos.token import NoToken, digest_of
from csp.observe.events import log_event
from csp.tables.options import Value

try:
    import gssapi
    from gssapi.raw.misc import GSSError

    WHY_NOT = ""
    # Else step() returns for a replayed token, and its error comes with the next attribute.
    type.__setattr__(gssapi.SecurityContext, "__DEFER_STEP_ERRORS__", False)
except (ImportError, OSError) as error:  # the system's library may be what is missing
    WHY_NOT = str(error)

SECTION: Final = "[gauth_kerberos]"
KEYTAB_VARIABLE: Final = "KRB5_KTNAME"
CACHE_VARIABLES: Final = ("KRB5RCACHETYPE", "KRB5RCACHENAME")
NO_CACHE: Final = ("none", "none:")
FILE_ERRORS: Final = frozenset(
    (
        *(errno.ENOENT, errno.EACCES, errno.EPERM, errno.ENOTDIR, errno.EISDIR, errno.ELOOP),
        *(errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE),
    )
)
# KRB5_RC_TYPE_EXISTS to KRB5_RC_IO_SPACE of krb5.h, as GSSAPI has them: without a sign.
CACHE_ERRORS: Final = range(2_529_639_071, 2_529_639_085)

log = logging.getLogger("csp.kerberos")


class KerberosBackend:
    """Makes the one directory that a server has: its service's keys."""

    def open(self, settings: Settings) -> Directory:
        """The keys that these settings name; raises Unusable."""
        if WHY_NOT:
            raise Unusable(
                f"Kerberos needs a Python package: pip install csp[kerberos] ({WHY_NOT})"
            )
        if len(settings.sections) != 1:
            raise Unusable(f"Kerberos has one section, {SECTION}")
        return Service(settings.sections[0])


class Service:
    """This server as a service of a realm."""

    def __init__(self, section: Mapping[str, Value]) -> None:
        self._realm = str(section["realm"])
        self._principal = _principal(str(section["SPN"]), self._realm)
        self._keytab = str(section["keytab"])
        self.name = f"Kerberos {self._principal or 'as the keytab says'}"
        for variable in CACHE_VARIABLES:
            if os.environ.get(variable, "").lower() in NO_CACHE:
                log_event(log, "51242", variable=variable)

    def authenticate(self, user: str, secret: bytes, deadline: float) -> Verdict:
        """Whose the token is (`secret`); `user` says nothing. Takes a millisecond, asks nobody."""
        try:
            digest = digest_of(secret)
        except NoToken as error:
            return Verdict(Kind.REFUSED, str(error))
        context = gssapi.SecurityContext(creds=self._credentials(), usage="accept")
        try:
            reply = context.step(secret)
            if not context.complete or context.initiator_name is None:
                return Verdict(Kind.REFUSED, "the ticket needs a second exchange, which isn't done")
            principal = str(context.initiator_name)
            own = self._realm or _realm_of(str(context.target_name))
        except GSSError as error:
            if _is_ours(error):
                raise Unusable(f"the replay cache can't be used: {_words(error)}") from None
            return Verdict(Kind.REFUSED, _words(error))
        if _realm_of(principal) != own:
            return Verdict(Kind.REFUSED, f"the ticket is of another realm than {own}")
        facts = {
            "principal": principal,
            "reply": base64.b64encode(reply or b"").decode(),
            "digest": digest,
        }
        return Verdict(Kind.ACCEPTED, "", facts)

    def _credentials(self) -> Any:
        store: dict[str | bytes, str | bytes] = {"keytab": self._keytab}
        try:
            name = None
            if self._principal:
                name = gssapi.Name(self._principal, gssapi.NameType.kerberos_principal)
            return gssapi.Credentials(
                name=name,
                usage="accept",
                mechs=[gssapi.MechType.kerberos],
                store=store if self._keytab else None,
            )
        except GSSError as error:
            where = self._keytab or os.environ.get(KEYTAB_VARIABLE) or "the system's keytab"
            whose = self._principal or "any service"
            raise Unusable(
                f"{SECTION}: no key of {whose} can be had from {where}: {_words(error)}"
            ) from None


def _principal(spn: str, realm: str) -> str:
    """The service's principal, of its SPN with or without the realm; "" where none is named."""
    if not spn or "@" in spn or not realm:
        return spn
    return f"{spn}@{realm}"


def _realm_of(principal: str) -> str:
    return principal.rpartition("@")[2]


def _is_ours(error: GSSError) -> bool:
    """Whether it is a file of this machine that fails, and no ticket: nobody would get in."""
    minor = int(error.min_code) & 0xFFFF_FFFF
    return minor in FILE_ERRORS or minor in CACHE_ERRORS


def _words(error: GSSError) -> str:
    """What the library says, its most exact part alone."""
    own = [text for text in error.get_all_statuses(error.min_code, False) if text]
    if error.min_code and own:
        return "; ".join(own)
    return "; ".join(error.get_all_statuses(error.maj_code, True))
