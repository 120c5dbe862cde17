"""The options that say how TLS is spoken to a server: --tls-ca, --tls-cert, --tls-key, --tls-name.

They only say how; that it is spoken at all is said where the server is named. So who has them in
his environment still reaches a plain server, and who gives them on the command line to a plain one
is told that they would have been for nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click
from click.core import ParameterSource

from csp.secure import Tls

Function = TypeVar("Function", bound=Callable[..., Any])

OPTIONS: Final = (
    ("--tls-ca", "CSP_TLS_CA", "PATH", "Authorities to trust, a PEM file or folder"),
    ("--tls-cert", "CSP_TLS_CERT", "PATH", "Certificate to show, with its chain, in PEM"),
    ("--tls-key", "CSP_TLS_KEY", "PATH", "Its key, where the certificate's file has it not"),
    ("--tls-name", "CSP_TLS_NAME", "NAME", "What the server's certificate has to name"),
)
DEFAULTS: Final = {"--tls-ca": "  [default: the system's]", "--tls-name": "  [default: its host]"}


def tls_options(function: Function) -> Function:
    """The four options; `take_tls` makes of their values what connections are made with."""
    for name, variable, metavar, text in reversed(OPTIONS):
        function = click.option(
            name,
            metavar=metavar,
            envvar=variable,
            default="",
            help=f"{text} (or {variable}).{DEFAULTS.get(name, '')}",
        )(function)
    return function


def take_tls(named: dict[str, Any], is_secure: bool, how: str) -> Tls | None:
    """Takes the four values out of a command's; None for a plain connection.

    `how` tells what would have made the connection one by TLS, where they were given for nothing.
    """
    ca, certificate, key, name = (
        str(named.pop(word)) for word in ("tls_ca", "tls_cert", "tls_key", "tls_name")
    )
    if not is_secure:
        _refuse_for_nothing(how)
        return None
    try:
        return Tls(ca=ca, certificate=certificate, key=key, name=name)
    except ValueError as problem:
        raise click.UsageError(f"--tls-key and --tls-cert: {problem}") from None


def _refuse_for_nothing(how: str) -> None:
    context = click.get_current_context()
    for option, *_ in OPTIONS:
        word = option.removeprefix("--").replace("-", "_")
        if context.get_parameter_source(word) is ParameterSource.COMMANDLINE:
            raise click.UsageError(f"{option} is for TLS: {how}")
