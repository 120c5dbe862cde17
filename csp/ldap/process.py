"""The process that asks LDAP directories."""

from __future__ import annotations

import os

from csp.external.backend import Backend, Unusable
from csp.external.process import run_backend
from csp.process.context import ProcessContext


def run_ldap(context: ProcessContext) -> None:
    """Serves until asked to end."""
    run_backend(context, open_ldap)


def open_ldap() -> Backend:
    """The backend; raises Unusable where its package is missing."""
    # What this machine's ldap.conf says of its own tools, trust among it, holds for none of ours.
    os.environ["LDAPNOINIT"] = "1"
    try:
        from csp.ldap.directory import LdapBackend
    except ImportError as error:
        raise Unusable(f"python-ldap is missing: pip install 'csp[ldap]' ({error.name})") from None
    return LdapBackend()
