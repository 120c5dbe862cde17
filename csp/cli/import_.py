"""csp import: brings files of objects to a server, showing the plan, all or nothing."""

from __future__ import annotations

import errno
import gc
import os
import sys
import time
from collections.abc import Iterator
from typing import Any, BinaryIO

import click

from csp.cli.connecting import (
    RECONNECT_SECONDS,
    Server,
    client_options,
    show_json,
    signed_in,
)
from csp.cli.progress import Progress
from csp.client import Client
from csp.errors import CspError, ReadOnly
from csp.exits import EXIT_DONE, EXIT_INTERRUPTED, EXIT_USAGE
from csp.model.types import CLASS_OF_WORD
from csp.transfer.forms import FORM_OF, FORMS
from csp.transfer.importing import Prepared, Wishes, carry_out, prepare
from csp.transfer.link import Link
from csp.transfer.objects import Node
from csp.transfer.problems import ImportRefused, Problems

UPDATES_SHOWN = 20
WHERE_IT_LISTENS = ("portInfos", "serverInfo")  # of an Application


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
    server: Server,
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
    """The environment, then what --set says; of csp's own variables, secrets among them, none."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("CSP_")}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise click.UsageError(f"--set {setting!r} is not NAME=VALUE")
        variables[name] = value
    return variables


def _import(
    client: Client, files: tuple[str, ...], wishes: Wishes, dry_run: bool, as_json: bool
) -> int:
    progress = Progress()
    try:
        return _run(client, files, wishes, dry_run, as_json, progress)
    except KeyboardInterrupt:
        progress.close()
        click.echo(f"csp import: interrupted; {_so_far(progress)}", err=True)
        return EXIT_INTERRUPTED
    except CspError:
        progress.close()
        if progress.of:
            click.echo(f"csp import: {_so_far(progress)}", err=True)
        raise


def _so_far(progress: Progress) -> str:
    """What was done when it ended early."""
    if not progress.of:
        return "nothing was written"
    return (
        f"{progress.done} of {progress.of} changes are known to be done, what was under way may be "
        f"too; the same import again does the rest"
    )


def _run(
    client: Client,
    files: tuple[str, ...],
    wishes: Wishes,
    dry_run: bool,
    as_json: bool,
    progress: Progress,
) -> int:
    client.opened()  # waits for a server that starts
    status = client.status()
    link = Link(client)
    problems = Problems()
    began = time.monotonic()
    try:
        prepared = prepare(
            files, link, wishes, problems, open_file=_open, progress=progress.checked
        )
        progress.close()
        if not status.get("writable", 1):
            raise ReadOnly(f"{client.address} takes no writes: import at its master")
        if not as_json:
            _show_plan(prepared)
        warnings = [*prepared.warnings, *_own_application(prepared, status)]
        for warning in warnings:
            click.echo(f"csp import: warning: {warning}", err=True)
        revision = prepared.revision
        planned_seconds = time.monotonic() - began
        if not dry_run and prepared.plan.count:
            progress.begin(prepared.plan.commands)
            revision = carry_out(prepared, link, problems, progress.written)
            progress.close()
    except ImportRefused:
        progress.close()
        _show_problems(problems, as_json)
        if progress.done:
            click.echo(f"csp import: {_so_far(progress)}", err=True)
        return EXIT_USAGE
    seconds = time.monotonic() - began
    if as_json:
        report = _report(prepared, revision, seconds, planned_seconds, dry_run)
        show_json(report | {"warnings": warnings})
    elif dry_run:
        click.echo("nothing was changed (--dry-run)")
    else:
        count = prepared.plan.count
        rate = f", {count / seconds:,.0f} objects a second" if count else ""
        click.echo(f"{count} changes, revision {revision} ({seconds:.2f} s{rate})")
    return EXIT_DONE


def _own_application(prepared: Prepared, status: dict[str, Any]) -> Iterator[str]:
    """What the import would make the asked server's own Application say of where it listens."""
    for update in prepared.plan.updates:
        node = update.item.node
        if node.cls.name != "CfgApplication" or not _is_own(node, status):
            continue
        paths = [path for path in update.paths if path.partition(".")[0] in WHERE_IT_LISTENS]
        if paths:
            yield (
                f"{node.shown} is this server's own Application, and the file states another "
                f"{' and '.join(paths)}: the server listens where it does, "
                f"so where the file is another server's, leave these out or set them back"
            )


def _is_own(node: Node, status: dict[str, Any]) -> bool:
    """Whether it is the asked server's own Application; a pool's member shows the pool's as its."""
    member = status.get("member")
    return node.key[-1] == member if member else node.dbid == int(status["application_dbid"])


def _open(file: str) -> BinaryIO:
    if file != "-":
        return open(file, "rb")
    if sys.stdin is None:
        raise OSError(errno.EBADF, "standard input is closed")
    return sys.stdin.buffer


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
    for regrant in plan.regrants[:UPDATES_SHOWN]:
        click.echo(f"  grants of {regrant.item.node.shown}: {regrant.shown}")
    if len(plan.regrants) > UPDATES_SHOWN:
        click.echo(f"  and grants of {len(plan.regrants) - UPDATES_SHOWN} objects more")
    grants = f", grants {len(plan.regrants)}" if plan.regrants else ""
    click.echo(
        f"plan: create {len(plan.creates)}, update {len(plan.updates)}{grants}, "
        f"unchanged {plan.unchanged}"
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
        "grants": len(plan.regrants),
        "unchanged": plan.unchanged,
        "changes": plan.count,
        "classes": plan.totals(),
        "dry_run": dry_run,
        "revision": revision,
        "seconds": round(seconds, 3),
        "planned_seconds": round(planned_seconds, 3),
    }
