"""csp drain: leads the clients of a server to others; it goes on, and takes none back in."""

from __future__ import annotations

import click

from csp.cli.connecting import Server, client_options, show_json, signed_in
from csp.process.drain import SECONDS_DEFAULT, SECONDS_MAX


@click.command()
@click.option(
    "--over",
    "seconds",
    type=click.IntRange(1, SECONDS_MAX),
    default=SECONDS_DEFAULT,
    show_default=True,
    help="So many seconds: nobody is cut off before that.",
)
@click.option("--end", "is_end", is_flag=True, help="Take the server back in.")
@client_options
def command(seconds: int, is_end: bool, server: Server, as_json: bool) -> None:
    """Lead the clients of a server to others, for administrators.

    A half of a pair has the other one take over. A single server, or a member of a pool, stays out
    when all have gone, until `csp drain --end` or its restart.
    """
    over = 0 if is_end else seconds
    with signed_in(server, "drain") as client:
        client.call("CFG.DRAIN", "OVER", over)
    if as_json:
        show_json({"over": over})
    elif is_end:
        click.echo("Clients are let in again.")
    else:
        click.echo(f"Clients are led away over {over} seconds.")
