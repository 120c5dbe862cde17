"""Decides whether a principal may have a command carried out, before anything is looked at.

Until grants are evaluated: whoever is signed in may change objects, for oneself a password too;
other accounts' passwords and grants are an administrator's.
"""

from __future__ import annotations

from csp.errors import NoAuth, NoPerm
from csp.model.principal import Principal
from csp.model.requests import Command, Grant, Password


def authorize(principal: Principal, command: Command) -> None:
    """Raises NoAuth or NoPerm, with what is missing."""
    if principal.is_administrator:
        return
    if not principal.account_dbid:
        raise NoAuth("nobody is signed in who could write")
    if isinstance(command, Password) and command.dbid != principal.account_dbid:
        raise NoPerm("only an administrator changes the password of another account")
    if isinstance(command, Grant):
        raise NoPerm("only an administrator changes permissions")
