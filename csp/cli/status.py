"""csp status: shows what a server says of itself."""

from __future__ import annotations

import click

from csp.cli.connecting import client_options, show_json, show_mapping, signed_in
from csp.client import Address
from csp.model.types import CLASSES


@click.command()
@click.option("--classes", is_flag=True, help="Also the number of objects of each class.")
@client_options
def command(classes: bool, server: Address, as_json: bool) -> None:
    """Show the state of a server: role, revision, age, objects, workers, sessions."""
    with signed_in(server, "status") as client:
        status = client.status()
        counts: dict[str, int] = {}
        if classes:
            counts = {name: client.count(name) for name in CLASSES}
    if as_json:
        show_json(status | ({"classes": counts} if classes else {}))
        return
    show_mapping(status)
    if classes:
        show_mapping(counts)
