"""csp status: shows what a server says of itself, its alarms last and in words."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

import click

from csp.cli.connecting import Server, client_options, show_json, show_mapping, signed_in
from csp.exits import EXIT_ALARM
from csp.model.types import CLASSES


@click.command()
@click.option("--classes", is_flag=True, help="Also the number of objects of each class.")
@client_options
def command(classes: bool, server: Server, as_json: bool) -> None:
    """Show the state of a server: role, revision, age, objects, workers, sessions, alarms.

    The exit code is 5 where an alarm is raised: docs/reference/alarms.md says what to do.
    """
    with signed_in(server, "status") as client:
        status = client.status()
        counts: dict[str, int] = {}
        if classes:
            counts = {name: client.count(name) for name in CLASSES}
    alarms: list[dict[str, Any]] = status["alarms"]
    if as_json:
        show_json(status | ({"classes": counts} if classes else {}))
    else:
        certificates: list[dict[str, Any]] = status.pop("certificates")
        show_mapping(status | {"alarms": len(alarms) or "none"})
        for one in certificates:
            show_certificate(one)
        if classes:
            show_mapping(counts)
        for one in alarms:
            show_alarm(one)
    if alarms:
        sys.exit(EXIT_ALARM)


def show_certificate(one: dict[str, Any]) -> None:
    """What an encrypted port shows its clients, and until when."""
    ends = f"until {_when(one['until'])}"
    if one["crl_until"]:
        ends += f", list of revoked ones until {_when(one['crl_until'])}"
    click.echo(f"certificate {one['number']} of port {one['port']}: {one['subject']}, {ends}")


def show_alarm(one: dict[str, Any]) -> None:
    """An alarm in words: what, since when, and what to do."""
    click.echo(f"\nALARM {one['number']} {one['name']}, since {_when(one['since'])}")
    click.echo(f"  {one['text']}")
    click.echo(f"  What to do: {one['todo']}")


def _when(ms: int) -> str:
    return f"{datetime.fromtimestamp(ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"
