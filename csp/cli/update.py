"""csp update: changes one object by a delta."""

from __future__ import annotations

import click

from csp.cli.connecting import (
    Server,
    client_options,
    fail,
    parse_json,
    resolve_key,
    show_json,
    signed_in,
)
from csp.exits import EXIT_NOT_FOUND


@click.command()
@click.argument("text_key", metavar="KEY")
@click.argument("text", metavar="DELTA")
@client_options
@click.option("--if", "at", type=click.IntRange(1), help="Only if not newer than this revision.")
@click.option("--id", "write_id", default="", help="Makes a repeat do nothing.")
def command(
    text_key: str, text: str, server: Server, as_json: bool, at: int | None, write_id: str
) -> None:
    """Change an object: DELTA is {"changed":{path:value},"added":…,"deleted":…}."""
    delta = parse_json(text, "the delta")
    with signed_in(server, "update") as client:
        key = resolve_key(client, text_key)
        if key is None:
            fail("update", f"there is no {text_key}", EXIT_NOT_FOUND)
            return
        if client.get(*key) is None:
            fail("update", f"there is no {text_key}", EXIT_NOT_FOUND)
        revision = client.update(*key, delta, if_revision=at or 0, write_id=write_id)
    if as_json:
        show_json({"key": f"{key[0]}:{key[1]}", "revision": revision})
    else:
        click.echo(f"{key[0]}:{key[1]} revision {revision}")
