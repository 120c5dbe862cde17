"""Writes every file that is made from another, or with --check says which of them are behind.

bin/generate [--check]
"""

from __future__ import annotations

import sys

from tools.generate.files import ROOT, behind


def main(arguments: list[str]) -> int:
    """Write, or check; the exit code is 1 where a file is behind."""
    if arguments not in ([], ["--check"]):
        sys.stderr.write("usage: bin/generate [--check]\n")
        return 2
    status = 0
    # Each is written before the next is made: the last ones import what the first ones make.
    for name, text in behind():
        if arguments:
            sys.stderr.write(f"{name} is behind its source: run bin/generate\n")
            status = 1
        else:
            path = ROOT / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
