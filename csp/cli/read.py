"""csp read: shows the objects of a class, all or those that filters choose."""

from __future__ import annotations

import click
import orjson

from csp.cli.connecting import Server, client_options, parse_filters, show_json, signed_in


@click.command()
@click.argument("class_name", metavar="CLASS")
@click.argument("filters", nargs=-1, metavar="[KEY=VALUE…]")
@client_options
@click.option("--brief", is_flag=True, help="Only what names the objects.")
@click.option("--fields", default="", metavar="A,B,…", help="Only these attributes.")
@click.option("--limit", type=click.IntRange(1), default=None, help="At most so many objects.")
def command(
    class_name: str,
    filters: tuple[str, ...],
    server: Server,
    as_json: bool,
    brief: bool,
    fields: str,
    limit: int | None,
) -> None:
    """Show the objects of a class, one line of JSON each."""
    chosen = parse_filters(filters)
    extra: list[str | int] = ["BRIEF"] if brief else []
    if fields:
        names = fields.split(",")
        extra += ["FIELDS", len(names), *names]
    with signed_in(server, "read") as client:
        objects = client.read(class_name, chosen, limit=limit or 0, extra=extra)
        for value in objects:
            if as_json:
                show_json(value)
            else:
                click.echo(orjson.dumps(value).decode())
