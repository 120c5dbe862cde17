"""What a session may see is asked at one place: only a view yields a record, a count or a list."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
FASTPATH = ROOT / "csp" / "_fastpath"
RAW = re.compile(r"\braw_\w+")
RAW_METHOD = re.compile(
    r"\braw_(get|images?|next_dbid|entry|sums|grants|granted|rights|container)\b"
)
# Ways to a record, a count or a list that pass the view by, whatever their names.
AROUND = re.compile(r"\b(record_at|list_body|words_open|class_roots|class_counts|lists_root)\b")
# Those who may look at what is there without asking, and why.
COMPILED = {
    "store/read.pxi": "defines them",
    "store/tree.pxi": "defines those of governing nodes",
    "store/grants.pxi": "defines those of grants, by which a view's bits are made",
    "store/rights.pxi": "makes the picture by which a view's bits are made",
    "store/groups.pxi": "finds who is which account",
    "store/circles.pxi": "finds what is granted to whom",
    "store/scope.pxi": "finds the nodes to which a proxy is limited",
    "store/view.pxi": "asks",
    "store/nodes.pxi": "the writer's own",
    "store/probe.pxi": "checks all records, for the tools of who runs the server",
    "store/reader.pxi": "raw methods of Python's reader",
    "store/copies.pxi": "and what they copy",
    "store/reclaim.pxi": "the writer's own",
    "store/full.pxi": "the writer's own",
    "store/load.pxi": "the writer's own",
    "store/index.pxi": "the writer's own",
    "store/walk.pxi": "the writer's own",
    "store/postings.pxi": "the writer's own",
    "store/writer.pxi": "what feeds and a new generation are made of",
}
PYTHON = {
    "csp/worker/feed_server.py": "another server gets everything",
    "csp/worker/log_pages.py": "another server gets everything",
    "csp/worker/account_watch.py": "account records, to end sessions with",
    "csp/worker/tokens.py": "token keys and account records, to sign in by a token",
    "csp/worker/identity.py": "whether who signs in is still enabled",
    "csp/process/access.py": "what decides rights, for who may be told",
    "csp/worker/permissions.py": "whether somebody may see an access list",
    "csp/worker/sums.py": "sums of all records, for an administrator",
    "csp/snapshot/write.py": "a proxy's snapshot holds everything",
    "csp/auth/accounts.py": "account records, to sign in with",
    "csp/process/tenants.py": "the rules for accounts, which hold for whoever may read them or not",
    "csp/store/inspect.py": "the tools of who runs the server",
    "csp/worker/ports.py": "names the reader's methods",
    "csp/process/rights.py": "the rights by which is decided what may be told",
}


def uses(path: Path, what: re.Pattern[str]) -> list[str]:
    lines = path.read_text().splitlines()
    code = (line.partition("#")[0] for line in lines)
    return [f"{path.relative_to(ROOT)}:{n} {line}" for n, line in enumerate(code, 1)
            if what.search(line)]  # fmt: skip


@pytest.mark.parametrize("path", sorted(FASTPATH.rglob("*.pxi")), ids=lambda path: path.stem)
def test_only_named_rooms_pass_the_view_by(path: Path) -> None:
    room = str(path.relative_to(FASTPATH))
    if room not in COMPILED:
        assert not uses(path, RAW), "ask the view, or give the reason in COMPILED"
    if not room.startswith("store/"):
        assert not uses(path, AROUND), "only the view yields a record, a count or a list"


def test_only_named_modules_use_a_raw_reader() -> None:
    for path in sorted((ROOT / "csp").rglob("*.py")):
        if str(path.relative_to(ROOT)) not in PYTHON:
            assert not uses(path, RAW_METHOD), "ask the reader's view, or give the reason in PYTHON"


def test_who_is_named_uses_it() -> None:
    for room in COMPILED:
        assert uses(FASTPATH / room, RAW), f"{room} needs no exception"
    for name in PYTHON:
        assert uses(ROOT / name, RAW_METHOD), f"{name} needs no exception"
