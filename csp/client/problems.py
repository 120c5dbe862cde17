"""What can go wrong between client and server: errors by their word, and lost links."""

from __future__ import annotations

from csp.errors import CspError, from_line
from csp.resp import ErrorReply


class CannotConnect(CspError):
    """No server takes connections there."""


class ConnectionLost(CspError):
    """The connection broke; what was under way has an unknown outcome."""


class NotApplied(ConnectionLost):
    """The connection broke before the write was done; it was not done, and never will be."""


class NoTicket(CspError):
    """There is no Kerberos ticket, or the server does not prove that it is meant by it."""


def error_of(reply: ErrorReply) -> CspError:
    """The error reply as an exception of the class that its first word names."""
    return from_line(str(reply))
