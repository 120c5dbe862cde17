"""csp get: shows objects by their keys."""

from __future__ import annotations

import sys

import click

from csp.cli.connecting import (
    Server,
    client_options,
    resolve_key,
    show_object,
    signed_in,
)
from csp.exits import EXIT_DONE, EXIT_NOT_FOUND


@click.command()
@click.argument("keys", nargs=-1, required=True, metavar="KEY…")
@client_options
def command(keys: tuple[str, ...], server: Server, as_json: bool) -> None:
    """Show objects by key: CfgPerson:101 or CfgPerson/user_name=ann."""
    code = EXIT_DONE
    with signed_in(server, "get") as client:
        for text in keys:
            key = resolve_key(client, text)
            found = None if key is None else client.get(*key)
            if found is None:
                click.echo(f"csp get: there is no {text}", err=True)
                code = EXIT_NOT_FOUND
            else:
                show_object(found, as_json)
    sys.exit(code)
