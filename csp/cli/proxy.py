"""`csp proxy`: runs a proxy of a configuration server, or of another proxy."""

from __future__ import annotations

import os
import sys

import click

from csp.cli.listen_options import listen_options
from csp.cli.server_options import (
    PASSWORD_FILE_VARIABLE,
    AddressType,
    ask_credentials,
    check_app_name,
    default_worker_count,
    log_settings,
    server_options,
)
from csp.cli.tls_options import take_tls, tls_options
from csp.process.context import Upstream
from csp.process.source import Source, SourceRefused, parse_source
from csp.supervisor.listeners import PORT_MAX, Address
from csp.supervisor.settings import ServerSettings
from csp.supervisor.state_folder import state_root


@click.command()
@click.option("-host", "--host", required=True, help="Host of the master.")
@click.option(
    "-port", "--port", type=click.IntRange(1, PORT_MAX), required=True, help="Port of the master."
)
@click.option("-app", "--app", "app_name", required=True, help="The proxy's Application there.")
@click.option("-l", "--license", "license_place", default="", help="Taken and ignored: no licence.")
@click.option(
    "-listen",
    "--listen",
    type=AddressType(),
    default=None,
    help="Where clients connect; default: port `default` of the Application, all addresses.",
)
@click.option(
    "--create-app", is_flag=True, help="Make Application and Host at the master if missing."
)
@click.option(
    "--password-file",
    default="",
    metavar="PATH",
    envvar=PASSWORD_FILE_VARIABLE,
    help="The password for the master, mode 0600; read anew at SIGHUP (or CSP_PASSWORD_FILE).",
)
@click.option("--tls", "is_secure", is_flag=True, help="Connect to the master by TLS.")
@tls_options
@click.option(
    "--source",
    default="",
    metavar="[ADDRESS][:PORT[:PORT]]",
    help="Where connections to the master come from, a second port those to its backup; what the"
    " connection in the Application says comes before.  [default: any]",
)
@click.option(
    "--state-dir",
    default="",
    envvar="CSP_STATE_DIR",
    metavar="FOLDER",
    help="Where the snapshot is kept (or CSP_STATE_DIR).  [default: systemd's StateDirectory,"
    " /var/lib/csp, ~/.local/state/csp]",
)
@listen_options
@server_options
def command(
    host: str,
    port: int,
    app_name: str,
    license_place: str,
    listen: Address | None,
    create_app: bool,
    password_file: str,
    is_secure: bool,
    source: str,
    state_dir: str,
    workers: int | None,
    reserve: int,
    log_file: str | None,
    log_format: str,
    log_level: str,
    default_port: dict[str, str],
    **tls_values: str,
) -> None:
    """Run a proxy of a configuration server.

    It signs in at the master as CSP_USER (default: default) with the password of --password-file,
    else with CSP_PASSWORD, or asks for it.
    """
    if create_app and listen is None:
        raise click.UsageError("--create-app needs --listen HOST:PORT: the port goes into it")
    if create_app and listen is not None and listen.port == 0:
        raise click.UsageError("--create-app needs a --listen with a port number")
    tls = take_tls(tls_values, is_secure, "say --tls too")
    if password_file:
        password_file = os.path.abspath(password_file)
    user, password = ask_credentials(password_file)
    settings = ServerSettings(
        mode="proxy",
        app_name=check_app_name(app_name),
        listen=listen,
        worker_count=workers or default_worker_count(),
        log=log_settings(log_file, log_format, log_level),
        reserve_bytes=reserve,
        default_port=default_port,
        upstream=Upstream(host, port, user, password, password_file, tls, _source(source)),
        state_root=state_root(os.environ, state_dir),
        must_create_application=create_app,
        license_place=license_place,
    )
    from csp.supervisor.start import serve

    sys.exit(serve(settings))


def _source(text: str) -> Source:
    try:
        return parse_source(text)
    except SourceRefused as problem:
        raise click.BadParameter(str(problem), param_hint="'--source'") from None
