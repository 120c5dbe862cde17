"""The options of master and proxy that say how their default port is secured.

They become transport parameters of that port, which stand before those of the Application: as
--listen stands before the port that is named there. So a server whose certificates are amiss can be
started once more in the clear, and mended.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, Final, TypeVar

import click

from csp.process.port_infos import CERTIFICATE, KEY, MUTUAL, ON, REVOKED, TRUSTED

Function = TypeVar("Function", bound=Callable[..., Any])

MODES: Final[Mapping[str, Mapping[str, str]]] = {
    "unsecured": {"tls": "0"},
    "secured": {"tls": "1"},
    "auto": {"upgrade": "1"},
}
FILES: Final[Mapping[str, tuple[str, str]]] = {  # flag: transport parameter, help
    "--listen-certificate": (CERTIFICATE, "PEM file of the port's certificate and its chain."),
    "--listen-key": (KEY, "PEM file of its key, if that is another one."),
    "--listen-ca": (TRUSTED, "PEM file of authorities; clients need a certificate of them."),
    "--listen-crl": (REVOKED, "PEM file of the authorities' revocation lists."),
}
DEMANDED: Final = {MUTUAL: ON}


def listen_options(function: Function) -> Function:
    """Adds the options; their values come as one mapping, `default_port`."""

    @wraps(function)  # with the options that it has already
    def with_port(**named: Any) -> Any:
        mode = named.pop("listen_tls")
        files = {flag: named.pop(_argument(flag)) for flag in FILES}
        return function(default_port=stated(mode, files), **named)

    for flag, (_, text) in reversed(list(FILES.items())):
        with_port = click.option(flag, metavar="FILE", default="", help=text)(with_port)
    return click.option(
        "--listen-tls",
        type=click.Choice(list(MODES)),
        default=None,
        help="How the default port is secured, whatever its Application says; auto: the client's "
        "first byte decides.",
    )(with_port)  # type: ignore[return-value]


def _argument(flag: str) -> str:
    return flag.removeprefix("--").replace("-", "_")


def stated(mode: str | None, files: Mapping[str, str]) -> dict[str, str]:
    """The transport parameters that the values mean; raises UsageError."""
    given = {flag: os.path.abspath(path) for flag, path in files.items() if path}
    if mode in (None, "unsecured") and given:
        raise click.UsageError(f"{next(iter(given))} needs --listen-tls secured or auto")
    for flag, path in given.items():
        if not os.access(path, os.R_OK):
            raise click.UsageError(f"{flag} {path} can't be read")
    if mode is None:
        return {}
    found = dict(MODES[mode]) | {FILES[flag][0]: path for flag, path in given.items()}
    return found | (DEMANDED if "--listen-ca" in given else {})
