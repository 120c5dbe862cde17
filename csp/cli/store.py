"""csp store: looks into the shared memory of a server on this host."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click

from csp.cli.connecting import (
    Server,
    fail,
    server_option,
    show_json,
    show_mapping,
    show_rows,
    signed_in,
)
from csp.exits import EXIT_NO_CONNECTION, EXIT_NOT_FOUND
from csp.model.types import CLASSES
from csp.store import inspect

FAULTS_SHOWN = 50

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON, for machines.")
Function = TypeVar("Function", bound=Callable[..., Any])


def instance_options(function: Function) -> Function:
    """--server and --instance: whose memory; by default that of the only server on this host."""
    function = click.option(
        "--instance", default=None, help="The server's segments, by the name in CFG.STATUS."
    )(function)
    help_text = "The server on this host, running or not (or CSP_SERVER)."
    return server_option(function, help_text, None)


@click.group()
def command() -> None:
    """Look into the shared memory of a server on this host."""


def _instance_of(server: Server | None) -> str:
    """The instance that listens there; without a server the only one on this host."""
    known = inspect.instances()
    if server is not None:
        known = [name for name in known if f"-{server.address.port}-" in name]
    if len(known) == 1:
        return known[0]
    if server is not None:
        # Its name doesn't tell the port (it came from its Application), or two names do.
        with signed_in(server, "store") as client:
            return str(client.status()["instance"])
    shown = ", ".join(known) or "none"
    fail("store", f"say which with --server or --instance; there are: {shown}", EXIT_NO_CONNECTION)


@contextmanager
def _view(server: Server | None, instance: str | None) -> Iterator[inspect.View]:
    try:
        with inspect.attached(instance or _instance_of(server)) as view:
            yield view
    except (inspect.NotHere, PermissionError) as problem:
        fail("store", str(problem), EXIT_NO_CONNECTION)


@command.command("stat")
@instance_options
@json_option
def stat_command(server: Server | None, instance: str | None, as_json: bool) -> None:
    """Show figures: generation, revision, objects, memory, readers."""
    with _view(server, instance) as view:
        found = inspect.stat(view)
    if as_json:
        show_json(found)
        return
    tables = {name: found.pop(name) for name in ("classes", "segments", "readers")}
    show_mapping(found)
    show_mapping({f"  {name}": count for name, count in tables["classes"].items() if count})
    show_rows(tables["segments"], ("generation", "reserved_bytes", "used_bytes"))
    show_rows(tables["readers"], ("slot", "pid", "generation"))


@command.command("verify")
@instance_options
@json_option
def verify_command(server: Server | None, instance: str | None, as_json: bool) -> None:
    """Check every record, name, list and count; exit 1 if one is wrong."""
    with _view(server, instance) as view:
        faults = list(inspect.verify(view))
    if as_json:
        shown = [{"key": fault.key, "problem": fault.text} for fault in faults[:FAULTS_SHOWN]]
        show_json({"sound": not faults, "faults": len(faults), "first": shown})
    else:
        for fault in faults[:FAULTS_SHOWN]:
            click.echo(f"{fault.key} {fault.text}")
        click.echo(f"{len(faults)} faults" if faults else "sound")
    sys.exit(EXIT_NOT_FOUND if faults else 0)


@command.command("dump")
@instance_options
@click.argument("class_name", required=False, type=click.Choice(list(CLASSES)), metavar="[CLASS]")
@json_option
def dump_command(
    server: Server | None, instance: str | None, class_name: str | None, as_json: bool
) -> None:
    """Print objects as they lie in memory, one line of JSON each."""
    with _view(server, instance) as view:
        for line in inspect.dump(view, class_name, lambda text: click.echo(text, err=True)):
            sys.stdout.buffer.write(line + b"\n")
        sys.stdout.buffer.flush()
