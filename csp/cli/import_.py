"""csp import: brings files of objects to a server, showing the plan, all or nothing."""

from __future__ import annotations

import gc
import os
import sys
import time
from typing import Any, BinaryIO

import click

from csp.cli.connecting import (
    RECONNECT_SECONDS,
    client_options,
    show_json,
    signed_in,
)
from csp.client import Address, Client
from csp.exits import EXIT_USAGE
from csp.model.types import CLASS_OF_WORD
from csp.transfer.forms import FORM_OF, FORMS
from csp.transfer.importing import Prepared, Wishes, carry_out, prepare
from csp.transfer.link import Link
from csp.transfer.problems import ImportRefused, Problems

UPDATES_SHOWN = 20


@click.command()
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@client_options
@click.option("--dry-run", is_flag=True, help="Show the plan, change nothing.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Sets a ${NAME}.")
@click.option("--create-missing", is_flag=True, help="Also make what is only referred to.")
@click.option(
    "--type",
    "section",
    callback=lambda context, option, value: _section(value),
    metavar="CLASS",
    help="The files hold bare objects of this class (or section).",
)
def command(
    files: tuple[str, ...],
    server: Address,
    as_json: bool,
    dry_run: bool,
    settings: tuple[str, ...],
    create_missing: bool,
    section: str | None,
) -> None:
    """Import files in mutagen's JSON or raw form, or in csp's own. `-` is standard input."""
    wishes = Wishes(_variables(settings), create_missing, section)
    # Nothing here is garbage until the end; looking for it takes a third of the time.
    gc.disable()
    with signed_in(server, "import", reconnect_seconds=RECONNECT_SECONDS) as client:
        code = _import(client, files, wishes, dry_run, as_json)
    sys.exit(code)


def _section(value: str | None) -> str | None:
    """The section that a class name, a section or a type word means."""
    if value is None or value in FORMS:
        return value
    class_name = CLASS_OF_WORD.get(value.lower(), value)
    if class_name in FORM_OF:
        return FORM_OF[class_name].section
    known = ", ".join(FORM_OF)
    raise click.BadParameter(f"there is no class {value!r}; there are {known}")


def _variables(settings: tuple[str, ...]) -> dict[str, str]:
    """The environment, then what --set says; never the password."""
    variables = {name: value for name, value in os.environ.items() if name != "CSP_PASSWORD"}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {setting!r} is not NAME=VALUE")
        variables[name] = value
    return variables


def _import(
    client: Client, files: tuple[str, ...], wishes: Wishes, dry_run: bool, as_json: bool
) -> int:
    link = Link(client)
    problems = Problems()
    began = time.monotonic()
    try:
        prepared = prepare(files, link, wishes, problems, open_file=_open)
        if not as_json:
            _show_plan(prepared)
        revision = prepared.revision
        planned_seconds = time.monotonic() - began
        if not dry_run and prepared.plan.count:
            revision = carry_out(prepared, link, problems, _progress())
    except ImportRefused:
        _show_problems(problems, as_json)
        return EXIT_USAGE
    seconds = time.monotonic() - began
    report = _report(prepared, revision, seconds, planned_seconds, dry_run)
    if as_json:
        show_json(report)
    elif dry_run:
        click.echo("nothing was changed (--dry-run)")
    else:
        count = prepared.plan.count
        rate = f", {count / seconds:,.0f} objects a second" if count else ""
        click.echo(f"{count} changes, revision {revision} ({seconds:.2f} s{rate})")
    return 0


def _open(file: str) -> BinaryIO:
    return sys.stdin.buffer if file == "-" else open(file, "rb")


def _progress() -> Any:
    """Tells how far it is, on one line if somebody looks."""
    shows = sys.stderr.isatty()

    def progress(done: int, of: int) -> None:
        if shows:
            click.echo(f"\r{done} of {of}", err=True, nl=done >= of)
        elif done < of:
            click.echo(f"{done} of {of}", err=True)

    return progress


def _show_plan(prepared: Prepared) -> None:
    plan = prepared.plan
    for name, counts in plan.totals().items():
        parts = [f"{verb} {count}" for verb, count in counts.items() if count]
        click.echo(f"{name}: {', '.join(parts)}")
    for update in plan.updates[:UPDATES_SHOWN]:
        click.echo(f"  update {update.item.node.shown}: {', '.join(update.paths)}")
    if len(plan.updates) > UPDATES_SHOWN:
        click.echo(f"  and {len(plan.updates) - UPDATES_SHOWN} updates more")
    for item in [one for one in plan.creates if one.note][:UPDATES_SHOWN]:
        click.echo(f"  create {item.node.shown}: {item.note}")
    click.echo(
        f"plan: create {len(plan.creates)}, update {len(plan.updates)}, unchanged {plan.unchanged}"
    )


def _show_problems(problems: Problems, as_json: bool) -> None:
    if as_json:
        shown = [
            {"file": one.file, "object": one.object, "path": one.path, "rule": one.rule}
            for one in problems.found
        ]
        show_json({"problems": shown, "count": problems.count})
    for problem in problems.found:
        click.echo(str(problem), err=True)
    if problems.count > len(problems.found):
        click.echo(f"and {problems.count - len(problems.found)} more", err=True)
    click.echo(f"csp import: refused, {problems.count} problems", err=True)


def _report(
    prepared: Prepared, revision: int, seconds: float, planned_seconds: float, dry_run: bool
) -> dict[str, Any]:
    plan = prepared.plan
    return {
        "created": len(plan.creates),
        "updated": len(plan.updates),
        "unchanged": plan.unchanged,
        "changes": plan.count,
        "classes": plan.totals(),
        "dry_run": dry_run,
        "revision": revision,
        "seconds": round(seconds, 3),
        "planned_seconds": round(planned_seconds, 3),
    }
