"""csp access: says what a user may do with an object, and which grant by which path decides it."""

from __future__ import annotations

from typing import Any

import click

from csp.cli.connecting import Server, client_options, resolved, show_json, signed_in


@click.command()
@click.argument("user")
@click.argument("text_key", metavar="KEY")
@client_options
def command(user: str, text_key: str, server: Server, as_json: bool) -> None:
    """Show the rights of USER on KEY, and what they come from. For administrators."""
    with signed_in(server, "access") as client:
        key = resolved(client, "access", text_key)
        found = client.access(user, *key)
    if as_json:
        show_json(found)
        return
    click.echo(f"{user} ({found['account']}) has {found['rights']} on {key[0]}:{key[1]}")
    if not found["enabled"]:
        click.echo("  the account is disabled: it has no rights")
    ways = {group["key"]: group for group in found["groups"]}
    for one in found["decided"]:
        click.echo(f"  {_decided(one, ways)}")
    if found["decided"]:
        return
    click.echo("  nothing is granted to it, nor to a group that it is in")


def _decided(one: dict[str, Any], ways: dict[str, Any]) -> str:
    """A line for one account: what it is granted, where, and how the user comes to it."""
    way = one["by"][::-1]
    where = f"on {one['at']}" + (f", handed down: {' > '.join(way)}" if len(way) > 1 else "")
    group = ways.get(one["account"])
    if group is None:
        return f"{one['account']} itself: {one['grant']} {where}"
    return f"{one['account']} {group['name']!r}: {one['grant']} {where}; in it by " + " > ".join(
        group["via"]
    )
