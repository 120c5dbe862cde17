"""csp clients: shows who is connected to a server."""

from __future__ import annotations

import click

from csp.cli.connecting import Server, client_options, show_json, show_rows, signed_in

COLUMNS = ("id", "addr", "name", "user", "age", "idle", "sub", "lib-name", "cmd")


@click.command()
@client_options
def command(server: Server, as_json: bool) -> None:
    """Show who is connected to a server."""
    with signed_in(server, "clients") as client:
        rows = client.clients()
    if as_json:
        show_json(rows)
    else:
        show_rows(rows, COLUMNS)
