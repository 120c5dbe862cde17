"""csp create: creates one object."""

from __future__ import annotations

import click

from csp.cli.connecting import Server, client_options, parse_json, show_json, signed_in


@click.command()
@click.argument("class_name", metavar="CLASS")
@click.argument("text", metavar="JSON")
@client_options
@click.option("--id", "write_id", default="", help="Makes a repeat do nothing.")
def command(class_name: str, text: str, server: Server, as_json: bool, write_id: str) -> None:
    """Create an object of CLASS from JSON (`-`: from standard input)."""
    value = parse_json(text, "the object")
    with signed_in(server, "create") as client:
        created = client.create(class_name, value, write_id=write_id)
    key = f"{class_name}:{created.dbid}"
    if as_json:
        show_json({"key": key, "DBID": created.dbid, "revision": created.revision})
    else:
        click.echo(f"{key} revision {created.revision}")
