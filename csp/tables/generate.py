"""Writes every file that is made from the tables, or with --check says which of them are behind.

python -m csp.tables.generate [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from csp.cli.reference import cli_md
from csp.tables import render_c, render_docs, render_errors, render_types

ROOT = Path(__file__).parent.parent.parent

# Path from the root of the repository -> what renders it.
GENERATED: dict[str, Callable[[], str]] = {
    "csp/_fastpath/classes.h": render_c.classes_h,
    "csp/_fastpath/commands.h": render_c.commands_h,
    "csp/_fastpath/metrics.h": render_c.metrics_h,
    "csp/errors.py": render_errors.errors_py,
    "csp/client/objects.py": render_types.objects_py,
    "docs/reference/objects.md": render_docs.objects_md,
    "docs/reference/options.md": render_docs.options_md,
    "docs/reference/errors.md": render_docs.errors_md,
    "docs/reference/metrics.md": render_docs.metrics_md,
    "docs/reference/commands.md": render_docs.commands_md,
    "docs/reference/cli.md": cli_md,
}


def behind(root: Path = ROOT) -> list[str]:
    """The generated files whose text is not what the tables give now."""
    wrong = []
    for name, render in GENERATED.items():
        path = root / name
        if not path.exists() or path.read_text(encoding="utf-8") != render():
            wrong.append(name)
    return wrong


def main(arguments: list[str]) -> int:
    """Write, or check; the exit code is 1 where a file is behind."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: python -m csp.tables.generate [--check]\n")
        return 2
    wrong = behind()
    if arguments:
        for name in wrong:
            sys.stderr.write(f"{name} is behind its table: run python -m csp.tables.generate\n")
        return 1 if wrong else 0
    for name in wrong:
        path = ROOT / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(GENERATED[name](), encoding="utf-8")
        sys.stdout.write(f"wrote {name}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
