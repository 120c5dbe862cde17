"""Writes every file that is made from another, or with --check says which of them are behind.

python -m csp.tables.generate [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from csp.cli.reference import cli_md
from csp.tables import render_c, render_client, render_docs, render_errors, render_types

ROOT = Path(__file__).parent.parent.parent

# Path from the root of the repository -> what renders it.
GENERATED: dict[str, Callable[[], str]] = {
    "csp/_fastpath/tables/classes.h": render_c.classes_h,
    "csp/_fastpath/tables/commands.h": render_c.commands_h,
    "csp/_fastpath/tables/errors.h": render_c.errors_h,
    "csp/_fastpath/tables/stats.h": render_c.stats_h,
    "csp/_fastpath/tables/stats.pxd": render_c.stats_pxd,
    "csp/errors.py": render_errors.errors_py,
    "csp/client/client.py": render_client.client_py,
    "csp/client/objects.py": render_types.objects_py,
    "docs/reference/objects.md": render_docs.objects_md,
    "docs/reference/options.md": render_docs.options_md,
    "docs/reference/errors.md": render_docs.errors_md,
    "docs/reference/events.md": render_docs.events_md,
    "docs/reference/alarms.md": render_docs.alarms_md,
    "docs/reference/metrics.md": render_docs.metrics_md,
    "docs/reference/commands.md": render_docs.commands_md,
    "docs/reference/cli.md": cli_md,
}


def behind() -> Iterator[tuple[str, str]]:
    """The generated files that are not what they should be now, and what they should be."""
    for name, render in GENERATED.items():
        path, text = ROOT / name, render()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield name, text


def main(arguments: list[str]) -> int:
    """Write, or check; the exit code is 1 where a file is behind."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m csp.tables.generate [--check]\n")
        return 2
    status = 0
    # Each is written before the next is made: the last ones import what the first ones make.
    for name, text in behind():
        if arguments:
            sys.stderr.write(f"{name} is behind its source: run python -m csp.tables.generate\n")
            status = 1
        else:
            path = ROOT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
