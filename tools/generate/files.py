"""Names every file that is made from another, and finds those that are behind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from tools.generate import c, cli, client, docs, errors, types

ROOT = Path(__file__).parent.parent.parent

# Path from the root of the repository -> what renders it.
GENERATED: dict[str, Callable[[], str]] = {
    "csp/_fastpath/tables/classes.h": c.classes_h,
    "csp/_fastpath/tables/commands.h": c.commands_h,
    "csp/_fastpath/tables/errors.h": c.errors_h,
    "csp/_fastpath/tables/stats.h": c.stats_h,
    "csp/_fastpath/tables/stats.pxd": c.stats_pxd,
    "csp/errors.py": errors.errors_py,
    "csp/client/client.py": client.client_py,
    "csp/client/objects.py": types.objects_py,
    "docs/reference/objects.md": docs.objects_md,
    "docs/reference/options.md": docs.options_md,
    "docs/reference/errors.md": docs.errors_md,
    "docs/reference/events.md": docs.events_md,
    "docs/reference/alarms.md": docs.alarms_md,
    "docs/reference/metrics.md": docs.metrics_md,
    "docs/reference/commands.md": docs.commands_md,
    "docs/reference/cli.md": cli.cli_md,
}


def behind() -> Iterator[tuple[str, str]]:
    """The generated files that are not what they should be now, and what they should be."""
    for name, render in GENERATED.items():
        path, text = ROOT / name, render()
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            yield name, text
