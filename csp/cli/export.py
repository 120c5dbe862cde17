"""csp export: writes a server's objects as a file that an import can read."""

from __future__ import annotations

import click
import orjson

from csp.cli.connecting import (
    RECONNECT_SECONDS,
    Server,
    client_options,
    fail,
    signed_in,
)
from csp.cli.output import opened
from csp.exits import EXIT_NOT_FOUND
from csp.model.types import CLASSES
from csp.transfer.exporting import NAMED, RAW, Report, export
from csp.transfer.link import Link

LAYOUTS = {"csp": NAMED, "raw": RAW}
ALIKE_SHOWN_MAX = LOST_SHOWN_MAX = 20


@click.command()
@client_options
@click.option("-o", "--output", default="-", metavar="FILE", help="Where to; `-` is stdout.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    type=click.Choice(list(CLASSES)),
    metavar="CLASS",
    help="Only this class; may be given several times.",
)
@click.option(
    "--format",
    "layout",
    default="csp",
    type=click.Choice(list(LAYOUTS)),
    show_default=True,
    help="`csp` names objects, for any database; `raw` is mutagen's raw form, by DBID.",
)
@click.option("--tenant", default="", metavar="NAME", help="Only what belongs to this tenant.")
def command(
    server: Server,
    as_json: bool,
    output: str,
    classes: tuple[str, ...],
    layout: str,
    tenant: str,
) -> None:
    """Export the objects that you may read, sorted; `csp import` reads it."""
    report = Report()
    with signed_in(server, "export", reconnect_seconds=RECONNECT_SECONDS) as client:
        pieces = export(
            Link(client), report, layout=LAYOUTS[layout], classes=classes, tenant=tenant
        )
        try:
            with opened(output) as file:
                for piece in pieces:
                    file.write(piece)
        except LookupError as problem:
            fail("export", str(problem), EXIT_NOT_FOUND)
    _tell(report, as_json, has_grants=LAYOUTS[layout].has_grants)


def _tell(report: Report, as_json: bool, *, has_grants: bool) -> None:
    if as_json:
        told = {
            "revision": report.revision,
            "until": report.until,
            "objects": dict(report.objects),
            "objects_left_out": dict(report.nameless),
            "references_left_out": dict(report.lost),
            "has_grants": has_grants,
            "grants_left_out": report.grants_left_out,
            "alike": report.alike,
        }
        click.echo(orjson.dumps(told).decode(), err=True)
        return
    click.echo(f"{sum(report.objects.values())} objects at revision {report.revision}", err=True)
    if report.until != report.revision:
        click.echo(
            f"changed meanwhile: what was read is from between revisions {report.revision} and "
            f"{report.until}; export again when nobody writes for one state",
            err=True,
        )
    for pair in report.alike[:ALIKE_SHOWN_MAX]:
        click.echo(
            f"{pair} have one name, so an import refuses this file: rename one of them", err=True
        )
    if not has_grants:
        click.echo("grants are not in this form; --format csp has them", err=True)
    if report.grants_left_out:
        click.echo(
            f"left out: the grants of {report.grants_left_out} objects, for want of Read "
            f"Permissions (RP) on them, or because an account that they name can't be read",
            err=True,
        )
    for what, count in report.nameless.most_common(LOST_SHOWN_MAX):
        click.echo(f"left out: {count} objects within {what}, which can't be read", err=True)
    for what, count in report.lost.most_common(LOST_SHOWN_MAX):
        click.echo(f"left out: {count} references to {what}, which can't be read", err=True)
