"""csp count: counts the objects of a class, all or those that filters choose."""

from __future__ import annotations

import click

from csp.cli.connecting import Server, client_options, parse_filters, show_json, signed_in


@click.command()
@click.argument("class_name", metavar="CLASS")
@click.argument("filters", nargs=-1, metavar="[KEY=VALUE…]")
@client_options
def command(class_name: str, filters: tuple[str, ...], server: Server, as_json: bool) -> None:
    """Count the objects of a class."""
    chosen = parse_filters(filters)
    with signed_in(server, "count") as client:
        count = client.count(class_name, chosen)
    if as_json:
        show_json({"class": class_name, "count": count})
    else:
        click.echo(str(count))
