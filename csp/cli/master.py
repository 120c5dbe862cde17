"""`csp master`: runs a configuration server on a database."""

from __future__ import annotations

import os
import sys

import click

from csp.cli.listen_options import listen_options
from csp.cli.server_options import (
    AddressType,
    ask_new_password,
    check_app_name,
    default_worker_count,
    log_settings,
    server_options,
)
from csp.supervisor.listeners import Address
from csp.supervisor.settings import ServerSettings

DEFAULT_PASSWORD = "CSP_DEFAULT_PASSWORD"


@click.command()
@click.option(
    "-db",
    "--db",
    "database_url",
    required=True,
    metavar="URL",
    help="The database, e.g. sqlite:///PATH; made if it is not there.",
)
@click.option(
    "-app", "--app", "app_name", default="confserv", show_default=True, help="Its Application."
)
@click.option(
    "-listen", "--listen", type=AddressType(), required=True, help="Where clients connect."
)
@click.option(
    "--forget-memory",
    is_flag=True,
    help="Remove what an earlier run left in memory, and begin with what the database holds.",
)
@click.option(
    "--restore-default",
    is_flag=True,
    help="Give the account `default` all rights again, enabled and with a new password.",
)
@click.option(
    "--password-file",
    default="",
    metavar="PATH",
    help="The password for --restore-default, mode 0600.",
)
@listen_options
@server_options
def command(
    database_url: str,
    app_name: str,
    listen: Address,
    forget_memory: bool,
    restore_default: bool,
    password_file: str,
    workers: int | None,
    reserve: int,
    log_file: str | None,
    log_format: str,
    log_level: str,
    default_port: dict[str, str],
) -> None:
    """Run a configuration server on a database.

    The password of the account `default` of a new database comes from CSP_DEFAULT_PASSWORD.
    That for --restore-default comes from --password-file, else from there, else it is asked for.
    """
    if restore_default:
        password = ask_new_password("default", DEFAULT_PASSWORD, password_file)
        os.environ[DEFAULT_PASSWORD] = password  # the writer has it from there, and nobody else
    elif password_file:
        raise click.UsageError("--password-file is for --restore-default")
    settings = ServerSettings(
        mode="master",
        app_name=check_app_name(app_name),
        listen=listen,
        worker_count=workers or default_worker_count(),
        log=log_settings(log_file, log_format, log_level),
        reserve_bytes=reserve,
        default_port=default_port,
        database_url=database_url,
        must_forget_memory=forget_memory,
        must_restore_default=restore_default,
    )
    from csp.supervisor.start import serve

    sys.exit(serve(settings))
