"""The process of the role `kerberos`: it accepts tickets for auth."""

from __future__ import annotations

from csp.external.process import run_backend
from csp.kerberos.acceptor import KerberosBackend
from csp.process.context import ProcessContext


def run_kerberos(context: ProcessContext) -> None:
    """Serves until asked to end; without its package it says so to whoever asks."""
    run_backend(context, KerberosBackend)
