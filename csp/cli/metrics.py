"""csp metrics: shows what each process of a server has counted."""

from __future__ import annotations

import click

from csp.cli.connecting import Server, client_options, show_json, show_rows, signed_in
from csp.tables.metrics import METRICS


@click.command()
@client_options
def command(server: Server, as_json: bool) -> None:
    """Show what each process of a server has counted: workers, writer, auth, supervisor."""
    with signed_in(server, "metrics") as client:
        found = client.metrics()
    if as_json:
        show_json(found)
        return
    known = {one.name: one for one in METRICS}
    rows = []
    for process, counted in found.items():
        for name, value in counted.items():
            # A server of another release may count what is not known here.
            one = known.get(name)
            unit, text = (one.unit, one.help) if one is not None else ("", "")
            rows.append(
                {"process": process, "name": name, "value": value, "unit": unit, "meaning": text}
            )
    show_rows(rows, ("process", "name", "value", "unit", "meaning"))
