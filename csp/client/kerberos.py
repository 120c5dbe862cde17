"""Signs a client in by a Kerberos ticket of the user whose process it is, as `kinit` gave it."""

# 1. A token is good for one server and one time: each connection makes its own.
# 2. The server proves too that it has the service's key; one that doesn't is not spoken to.
# 3. The library may ask the realm for a ticket and wait for it: that is a step of its own.

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Any

from csp.client.address import Address
from csp.client.problems import NoTicket

SERVICE = "csp"


@dataclass(frozen=True, slots=True)
class Kerberos:
    """Who signs in: the owner of the ticket cache. `service` is what the server is to the realm,
    `csp@host.example.com`; where it is not given, `csp` at the host that is connected to.
    """

    service: str = ""

    def begin(self, address: Address) -> Ticket:
        """A token for the server at an address; NoTicket where none can be had."""
        gssapi = _gssapi()
        service = self.service or f"{SERVICE}@{address.host}"
        try:
            context = gssapi.SecurityContext(
                name=gssapi.Name(service, gssapi.NameType.hostbased_service),
                mech=gssapi.MechType.kerberos,
                flags=[gssapi.RequirementFlag.mutual_authentication],
                usage="initiate",
            )
            return Ticket(context, base64.b64encode(context.step()).decode(), service)
        except gssapi.exceptions.GSSError as error:
            raise NoTicket(f"no ticket for {service}: {error}") from error


@dataclass(frozen=True, slots=True)
class Ticket:
    """One sign-in under way."""

    context: Any
    token: str  # base64, for CFG.AUTH GSSAPI
    service: str

    def finish(self, reply: str) -> None:
        """Takes the server's token; NoTicket where it does not prove who it is."""
        try:
            self.context.step(base64.b64decode(reply))
            is_complete = bool(self.context.complete)
        except (ValueError, _gssapi().exceptions.GSSError) as error:
            raise NoTicket(f"the server is not {self.service}: {error}") from error
        if not is_complete:
            raise NoTicket(f"the server does not prove that it is {self.service}")


def _gssapi() -> Any:
    try:
        import gssapi
    except (ImportError, OSError) as error:
        raise NoTicket(f"Kerberos needs a package: pip install csp[kerberos] ({error})") from error
    return gssapi
