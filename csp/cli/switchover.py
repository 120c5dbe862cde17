"""csp switchover: has the other one of a pair take over, and says how it went."""

from __future__ import annotations

import time
from typing import Any

import click

from csp.cli.connecting import Server, client_options, fail, show_json, signed_in
from csp.client import CannotConnect, Client, ConnectionLost
from csp.client.address import parse_address
from csp.errors import CspError
from csp.exits import EXIT_NO_CONNECTION

VERB = "switchover"
# A server that hands over closes its clients, perhaps before it has answered.
SEEN_SECONDS_MAX = 15.0
LOOK_SECONDS = 0.2


@click.command()
@click.option("--if-seamless", is_flag=True, help="Do nothing where clients would notice it.")
@client_options
def command(if_seamless: bool, server: Server, as_json: bool) -> None:
    """Have the other server of a pair take over; for administrators.

    The server that is asked becomes the backup: it opens nothing for clients until it is the
    primary again. Where it would not be seamless, the reason is told first.
    """
    with signed_in(server, VERB) as client:
        before = client.status()
        why_not = str(before["seamless_why"])
        if before["peer"] and not before["seamless"]:
            if if_seamless:
                fail(VERB, f"nothing was done, it would not be seamless: {why_not}", 1)
            click.echo(f"csp {VERB}: not seamless: {why_not}", err=True)
        try:
            client.call("CFG.SWITCHOVER")
        except ConnectionLost as lost:
            if not _serves(client, server, before):
                fail(VERB, _unknown(before, lost), EXIT_NO_CONNECTION)
    if as_json:
        show_json({"serving": before["peer"], "backup": before["application"]})
    else:
        click.echo(f"{before['peer']} has taken over, {before['application']} is its backup now")


def _serves(asked: Client, server: Server, before: dict[str, Any]) -> bool:
    """Whether the other one is seen to serve, within SEEN_SECONDS_MAX."""
    try:
        address = parse_address(str(before["peer_address"]))
    except ValueError:
        return False
    end = time.monotonic() + SEEN_SECONDS_MAX
    while time.monotonic() < end:
        other = Client(
            address, asked.credentials, name=f"csp-{VERB}", reconnect_seconds=0, tls=server.tls
        )
        try:
            with other:
                if other.status()["role"] == "primary":
                    return True
        except (CannotConnect, ConnectionLost, CspError):
            pass  # it is about to open its ports
        time.sleep(LOOK_SECONDS)
    return False


def _unknown(before: dict[str, Any], lost: ConnectionLost) -> str:
    return (
        f"{lost.text}, and {before['peer']} at {before['peer_address'] or 'an unknown address'} "
        f"is not seen to serve: look at both with csp status"
    )
